"""A setting comes from the last layer that names it, and says which that was."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.settings import (
    SettingFault,
    Settings,
    choose_folder,
    find_folder,
    load,
    named,
    shown,
    store,
    stored,
    value_of,
)
from runtime.data.folder import DataFolder


def test_with_nothing_set_every_setting_has_its_default() -> None:
    settings, sources = load(None, {})
    assert settings == Settings()
    assert set(sources.values()) == {"default"}
    assert all(value_of(settings, s.name) == s.default for s in named())


def test_the_last_layer_wins_and_is_named(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    store(folder, "server.port", 1)
    store(folder, "server.host", "::1")
    store(folder, "workers.slots", "3")
    environ = {"TRIMTAB_SERVER_PORT": "2", "TRIMTAB_SERVER_HOST": "localhost"}
    settings, sources = load(folder, environ, {"server.port": 3, "server.host": None})
    assert (settings.server.port, sources["server.port"]) == (3, "flag")
    assert (settings.server.host, sources["server.host"]) == ("localhost", "environment")
    assert (settings.workers.slots, sources["workers.slots"]) == (3, "settings.json")


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"TRIMTAB_SERVER_PORT": "many"}, "environment: server.port wants a whole number"),
        ({"TRIMTAB_RECORD_ENABLED": "perhaps"}, "environment: record.enabled wants on or off"),
        ({"TRIMTAB_SERVER_PORT": "70000"}, "server.port wants 0 to 65535, not 70000"),
        ({"TRIMTAB_WORKERS_SLOTS": "0"}, "workers.slots wants 1 to 1024, not 0"),
        ({"TRIMTAB_SERVER_GRACE_S": "nan"}, "server.grace_s wants 0 or more"),
        ({"TRIMTAB_REVIEW_PROFILE": "wild"}, "review.profile wants production, demo or the path"),
        ({"TRIMTAB_OPTIMIZE_CRON": "hourly"}, "optimize.cron wants cron text or nothing"),
        ({"TRIMTAB_OBJECTS_URL": "bucket/x"}, "objects.url wants a URL that begins with s3://"),
        ({"TRIMTAB_OPTIMIZE_ZONE": "Mars"}, "optimize.zone wants a time zone"),
    ],
)
def test_a_value_that_cannot_be_says_where_it_stands(environ: dict[str, str], told: str) -> None:
    with pytest.raises(SettingFault, match=told):
        load(None, environ)


def test_an_unknown_name_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with pytest.raises(SettingFault, match="no setting `server\\.prot`"):
        store(folder, "server.prot", 1)
    assert stored(folder) == {}


def test_a_forgotten_setting_has_its_default_again(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    store(folder, "server.port", 1)
    store(folder, "server.port", None)
    assert load(folder, {})[0] == Settings()


def test_every_default_is_a_value_that_may_be() -> None:
    assert [s.name for s in named() if s.may(s.default)] == []


def test_a_secret_and_the_password_of_an_address_are_not_shown() -> None:
    assert "hunter2" not in str(shown("record.qdrant_key", "hunter2"))
    assert shown("record.qdrant_key", "") == ""
    assert "hunter2" not in str(shown("record.clickhouse", "clickhouse://me:hunter2@host/db"))
    assert shown("server.host", "127.0.0.1") == "127.0.0.1"


def test_the_folder_is_the_flags_then_the_environments_then_the_one_here(tmp_path: Path) -> None:
    environ = {"TRIMTAB_DATA": str(tmp_path / "env")}
    assert find_folder(tmp_path / "flag", environ, tmp_path).root == tmp_path / "flag"
    assert find_folder(None, environ, tmp_path).root == tmp_path / "env"
    (tmp_path / ".trimtab").mkdir()
    assert find_folder(None, {}, tmp_path).root == tmp_path / ".trimtab"
    assert find_folder(None, {}, Path("/")).root.name == "trimtab"


def test_why_a_folder_is_the_one_is_said_with_how_to_choose_another(tmp_path: Path) -> None:
    environ = {"TRIMTAB_DATA": str(tmp_path)}
    assert choose_folder(tmp_path, environ, tmp_path)[1] == "named by --data"
    assert choose_folder(None, environ, tmp_path)[1] == "named by TRIMTAB_DATA"
    own = choose_folder(None, {}, tmp_path)[1]
    assert own.startswith("your own")
    assert "--data FOLDER" in own
    (tmp_path / ".trimtab").mkdir()
    assert choose_folder(None, {}, tmp_path)[1] == "the one of this directory"

"""Our import names are ordinary words, so it is noticed when somebody else has one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from control_plane.names import NameTaken, check_names, foreign_names, shadowed_names


def test_here_the_names_are_ours() -> None:
    assert foreign_names() == {}
    check_names(thoroughly=True)


def test_a_package_that_comes_first_on_the_path_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("")
    monkeypatch.delitem(sys.modules, "agents", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert shadowed_names() == {"agents": f"{tmp_path}/"}
    with pytest.raises(NameTaken, match="`agents` is claimed by") as taken:
        check_names()
    assert "virtual environment of its own" in taken.value.hint


def test_a_distribution_that_brings_the_same_name_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("trimtab-like", "openai-agents"):
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "top_level.txt").write_text("agents\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert foreign_names()["agents"] == "openai-agents and trimtab-like"

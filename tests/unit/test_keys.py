"""Keys are shown once, roles imply roles, and a sign-in link works once."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.auth import (
    DECIDING,
    ROLES,
    KeyFault,
    Keys,
    csrf_holds,
    granted,
    open_keys,
    read_key,
)
from runtime.data.folder import DataFolder


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def keys(tmp_path: Path, clock: Hand) -> Iterator[Keys]:
    opened = Keys(tmp_path / "keys.db", clock)
    yield opened
    opened.close()


def test_a_key_tells_who_holds_it_and_is_kept_only_as_a_hash(keys: Keys, tmp_path: Path) -> None:
    view, secret = keys.make("ada", ["approver"])
    who = keys.who(secret)
    assert who is not None
    assert (who.name, who.key, who.via) == ("ada", view.prefix, "bearer")
    assert who.may("reviewer")
    assert not who.may("author")
    everything = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert secret.encode() not in everything


@pytest.mark.parametrize("wrong", ["", "tt_", "tt_00000000_" + "0" * 64, "Bearer x"])
def test_a_wrong_key_is_nobodys(keys: Keys, wrong: str) -> None:
    keys.make("ada", ["viewer"])
    assert keys.who(wrong) is None


def test_a_revoked_key_ends_its_sessions_too(keys: Keys) -> None:
    view, secret = keys.make("ada", ["viewer"])
    who = keys.who(secret)
    assert who is not None
    cookie = keys.redeem(keys.link(who, minutes=1), hours=1)
    assert cookie is not None
    keys.revoke(view.prefix)
    assert keys.who(secret) is None
    assert keys.session(cookie) is None
    assert keys.revoke("nobody") is None


@pytest.mark.parametrize("role", sorted(DECIDING))
def test_an_agent_can_hold_no_role_that_decides(keys: Keys, role: str) -> None:
    with pytest.raises(KeyFault, match="never decides"):
        keys.make("robot", ["agent", role])
    assert DECIDING.isdisjoint(granted(["agent", role]))  # type: ignore[list-item]


@pytest.mark.parametrize("roles", [[], ["king"], ["viewer", "king"]])
def test_an_unknown_role_is_refused_with_the_known_ones(keys: Keys, roles: list[str]) -> None:
    with pytest.raises(KeyFault, match="policy_admin"):
        keys.make("ada", roles)


def test_a_key_has_somebodys_name(keys: Keys) -> None:
    for nobody in ("", "  ", "a\nb"):
        with pytest.raises(KeyFault, match="whose"):
            keys.make(nobody, ["viewer"])


def test_a_file_of_keys_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    path.touch(mode=0o644)
    Keys(path, Hand()).close()
    assert path.stat().st_mode & 0o077 == 0


def test_every_role_may_at_least_look() -> None:
    for role in ROLES:
        assert "viewer" in granted([role]), role


def test_a_sign_in_link_works_once_and_not_for_ever(keys: Keys, clock: Hand) -> None:
    _, secret = keys.make("ada", ["viewer"])
    who = keys.who(secret)
    assert who is not None
    token, late = keys.link(who, minutes=5), keys.link(who, minutes=5)
    assert keys.redeem(token, hours=1) is not None
    assert keys.redeem(token, hours=1) is None
    clock.at += 301
    assert keys.redeem(late, hours=1) is None
    assert keys.redeem("made up", hours=1) is None


def test_a_session_ends_by_itself_or_by_signing_out(keys: Keys, clock: Hand) -> None:
    _, secret = keys.make("ada", ["viewer"])
    who = keys.who(secret)
    assert who is not None
    first, second = (keys.redeem(keys.link(who, 5), hours=1) for _ in range(2))
    assert first is not None
    assert second is not None
    signed_in = keys.session(first)
    assert signed_in is not None
    assert signed_in.via == "session"
    keys.sign_out(second)
    assert keys.session(second) is None
    clock.at += 3601
    assert keys.session(first) is None


def test_a_browser_must_send_its_own_token_back_and_a_key_need_not(keys: Keys) -> None:
    _, secret = keys.make("ada", ["viewer"])
    who = keys.who(secret)
    assert who is not None
    first, second = (keys.session(keys.redeem(keys.link(who, 5), 1) or "") for _ in range(2))
    assert first is not None
    assert second is not None
    assert csrf_holds(who, None)
    assert csrf_holds(first, first.csrf)
    assert not csrf_holds(first, None)
    assert not csrf_holds(first, second.csrf)


def test_the_first_start_makes_an_admin_key_that_only_the_owner_reads(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    keys = open_keys(folder, Hand())
    secret = read_key(folder.admin_key)
    assert secret is not None
    who = keys.who(secret)
    assert who is not None
    assert who.roles == set(ROLES) - {"agent"}
    assert stat.S_IMODE(folder.admin_key.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.keys.stat().st_mode) == 0o600
    keys.close()
    again = open_keys(folder, Hand())
    assert len(again.list()) == 1
    again.close()

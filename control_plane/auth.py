"""Who is asking, and what they may do.

A key is 256 bits of chance shown once; only its hash is kept, in ``keys.db``. A browser
signs in with a one-time link made from a key, and then carries a cookie that is good for
as long as its key is. Roles are a closed list and most imply others; a key with the role
``agent`` can never hold one that decides. The first start makes an admin key.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast, get_args

from sqlalchemy.orm import registry
from sqlmodel import Field, Session, SQLModel, col, delete, select

from control_plane.clock import Clock
from control_plane.database import sqlite_engine
from runtime.data.folder import DataFolder, write_bytes

Role: TypeAlias = Literal[
    "viewer", "submitter", "author", "reviewer", "approver", "operator", "policy_admin", "agent"
]
Chance: TypeAlias = Callable[[int], bytes]
"""Returns that many random bytes."""

ROLES: Final[tuple[Role, ...]] = get_args(Role)
ADMIN: Final[tuple[Role, ...]] = tuple(role for role in ROLES if role != "agent")
IMPLIED: Final[dict[Role, frozenset[Role]]] = {
    "viewer": frozenset(),
    "submitter": frozenset({"viewer"}),
    "author": frozenset({"viewer", "submitter"}),
    "reviewer": frozenset({"viewer"}),
    "approver": frozenset({"viewer", "reviewer"}),
    "operator": frozenset({"viewer"}),
    "policy_admin": frozenset({"viewer"}),
    "agent": frozenset({"viewer"}),
}
"""What a role brings with it."""

DECIDING: Final[frozenset[Role]] = frozenset({"reviewer", "approver", "operator", "policy_admin"})
"""Roles that an agent never has, whatever its key says."""


class KeyFault(Exception):
    """A key cannot be made like this."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking: a name, what it may do, and the door it came in by."""

    name: str
    roles: frozenset[Role]
    key: str
    via: Literal["bearer", "session"] = "bearer"
    csrf: str = ""

    def may(self, *roles: Role) -> bool:
        """Whether any of these roles is held."""
        return not self.roles.isdisjoint(roles)


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key as it may be shown: everything but the key."""

    prefix: str
    principal: str
    roles: tuple[Role, ...]
    made_at: float
    revoked_at: float | None


class _Table(SQLModel, registry=registry()):
    """The tables of ``keys.db``, apart from everybody else's."""


class KeyRow(_Table, table=True):
    """A key, by its hash."""

    __tablename__ = "api_key"
    prefix: str = Field(primary_key=True)
    digest: str = Field(unique=True, index=True)
    principal: str
    roles: str
    made_at: float
    revoked_at: float | None = None


class LinkRow(_Table, table=True):
    """A one-time sign-in link that was not used yet."""

    __tablename__ = "sign_in_link"
    digest: str = Field(primary_key=True)
    key: str
    expires_at: float


class SessionRow(_Table, table=True):
    """A signed-in browser."""

    __tablename__ = "browser_session"
    digest: str = Field(primary_key=True)
    key: str
    expires_at: float


def granted(roles: Iterable[Role]) -> frozenset[Role]:
    """Return the roles with all they imply; an agent loses those that decide.

    >>> sorted(granted(["author"]))
    ['author', 'submitter', 'viewer']
    """
    held: frozenset[Role] = frozenset(roles)
    for role in roles:
        held |= IMPLIED[role]
    return held - DECIDING if "agent" in held else held


class Keys:
    """The keys of one installation. Every process that holds the folder sees the same."""

    def __init__(self, path: Path, clock: Clock, chance: Chance = secrets.token_bytes) -> None:
        path.touch(mode=0o600)
        path.chmod(0o600)
        self._clock, self._chance = clock, chance
        self._engine = sqlite_engine(f"sqlite:///{path}")
        _Table.metadata.create_all(self._engine)

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def make(self, principal: str, roles: Iterable[str]) -> tuple[KeyView, str]:
        """Make a key and return how it is shown, and the key itself: the only time it is seen.

        Raises:
            KeyFault: the name is empty, a role is not known, or an agent was to have one
                that decides.
        """
        if not principal.strip() or not principal.isprintable():
            raise KeyFault("a key needs a name: whose is it?")
        checked = _checked(roles)
        secret = f"tt_{self._text(4)}_{self._text(32)}"
        row = KeyRow(
            prefix=secret[3:11], digest=_digest(secret), principal=principal,
            roles=" ".join(checked), made_at=self._clock(),
        )  # fmt: skip
        with Session(self._engine) as db:
            db.add(row)
            db.flush()
            view = _view(row)
            db.commit()
        return view, secret

    def list(self) -> list[KeyView]:
        """Return every key, the oldest first."""
        with Session(self._engine) as db:
            return [_view(row) for row in db.exec(select(KeyRow).order_by(col(KeyRow.made_at)))]

    def revoke(self, prefix: str) -> KeyView | None:
        """End a key and the sessions made from it; None when there is no such key."""
        with Session(self._engine) as db:
            row = db.get(KeyRow, prefix)
            if row is None:
                return None
            row.revoked_at = row.revoked_at or self._clock()
            db.add(row)
            db.exec(delete(SessionRow).where(col(SessionRow.key) == prefix))
            db.exec(delete(LinkRow).where(col(LinkRow.key) == prefix))
            db.flush()
            view = _view(row)
            db.commit()
        return view

    def who(self, secret: str) -> Principal | None:
        """Return whose key this is, or None when it is nobody's or revoked."""
        with Session(self._engine) as db:
            query = select(KeyRow).where(KeyRow.digest == _digest(secret))
            return _principal(db.exec(query).first())

    def link(self, principal: Principal, minutes: float) -> str:
        """Return a token that signs a browser in as this principal, once, for some minutes."""
        token = self._text(32)
        expires = self._clock() + minutes * 60
        with Session(self._engine) as db:
            db.add(LinkRow(digest=_digest(token), key=principal.key, expires_at=expires))
            db.commit()
        return token

    def redeem(self, token: str, hours: float) -> str | None:
        """Use up a sign-in token and return the session's cookie, or None when it is no good."""
        now = self._clock()
        with Session(self._engine) as db:
            row = db.get(LinkRow, _digest(token))
            if row is None:
                return None
            used = db.exec(delete(LinkRow).where(col(LinkRow.digest) == row.digest))
            cookie = self._text(32)
            if row.expires_at > now and used.rowcount == 1:
                expires = now + hours * 3600
                db.add(SessionRow(digest=_digest(cookie), key=row.key, expires_at=expires))
                good = True
            else:
                good = False
            db.exec(delete(SessionRow).where(col(SessionRow.expires_at) <= now))
            db.commit()
        return cookie if good else None

    def session(self, cookie: str) -> Principal | None:
        """Return who is signed in by this cookie, or None."""
        with Session(self._engine) as db:
            row = db.get(SessionRow, _digest(cookie))
            if row is None or row.expires_at <= self._clock():
                return None
            return _principal(db.get(KeyRow, row.key), csrf_of(cookie))

    def sign_out(self, cookie: str) -> None:
        """End a session."""
        with Session(self._engine) as db:
            db.exec(delete(SessionRow).where(col(SessionRow.digest) == _digest(cookie)))
            db.commit()

    def _text(self, size: int) -> str:
        return self._chance(size).hex()


def open_keys(folder: DataFolder, clock: Clock) -> Keys:
    """Open the keys of a data folder; where there are none yet, make the admin key."""
    keys = Keys(folder.keys, clock)
    if not keys.list():
        _, secret = keys.make("admin", ADMIN)
        write_bytes(folder.admin_key, secret.encode(), mode=0o600)
    return keys


def read_key(path: Path) -> str | None:
    """Return the key in a file, or None when there is no such file."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None


def csrf_of(cookie: str) -> str:
    """Return the token that a page of this session sends back with whatever it changes."""
    return hmac.new(cookie.encode(), b"csrf", hashlib.sha256).hexdigest()


def csrf_holds(principal: Principal, token: str | None) -> bool:
    """Whether a request that changes something came from a page of ours."""
    if principal.via == "bearer":
        return True
    return token is not None and hmac.compare_digest(token.encode(), principal.csrf.encode())


def _checked(roles: Iterable[str]) -> tuple[Role, ...]:
    asked = tuple(dict.fromkeys(roles))
    unknown = [role for role in asked if role not in ROLES]
    if unknown or not asked:
        raise KeyFault(f"no role {', '.join(unknown) or 'given'}; there are {', '.join(ROLES)}")
    checked = cast("tuple[Role, ...]", asked)
    if "agent" in checked and not DECIDING.isdisjoint(checked):
        raise KeyFault("an agent never decides: its key cannot also be "
                       + ", ".join(sorted(DECIDING.intersection(checked))))  # fmt: skip
    return checked


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _view(row: KeyRow) -> KeyView:
    roles = cast("tuple[Role, ...]", tuple(row.roles.split()))
    return KeyView(row.prefix, row.principal, roles, row.made_at, row.revoked_at)


def _principal(row: KeyRow | None, csrf: str = "") -> Principal | None:
    if row is None or row.revoked_at is not None:
        return None
    roles = granted(cast("list[Role]", row.roles.split()))
    return Principal(row.principal, roles, row.prefix, "session" if csrf else "bearer", csrf)

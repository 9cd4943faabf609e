"""Where the record of a data folder is reached, and with which right.

The recorder listens on loopback at a port it writes to ``recorder.json``. Two tokens in
``tokens.json`` separate those who read (shipped statements alone) from the recorder, who
writes. ``settings.json`` may name servers instead of the embedded engines, under
``record``: ``{"clickhouse": "https://user:pw@host:8443/db", "qdrant": "https://host:6333",
"qdrant_key": "…", "embedder": "…"}``.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from runtime.data.folder import DataFolder, read_json, write_json

Role: TypeAlias = Literal["read", "write"]
ROLES: Final[tuple[Role, ...]] = ("write", "read")
SINKS: Final = ("clickhouse", "qdrant")
_START_S: Final = 20.0
_LONGEST_DAYS: Final = 10_000
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Loopback is reached directly, whatever proxy the environment names."""


class RecordError(Exception):
    """The record could not answer.

    ::

        RecordError
        ├─ RecorderAway      no recorder answers for this data folder
        ├─ UnknownStatement  no statement of that name ships with us
        └─ RecordBehind      the record did not catch up in time
    """


class RecorderAway(RecordError):
    """No recorder answers for this data folder."""

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(
            f"no recorder answers for {folder}: {why}. `trimtab dev` and `trimtab run` start one; "
            f"{folder / 'logs' / 'recorder.log'} says what it last did."
        )


class RecordBehind(RecordError):
    """The record did not catch up in time."""


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """Which engines keep the record. None means the embedded one."""

    clickhouse: str | None = None
    """DSN of a ClickHouse server."""
    qdrant: str | None = None
    """URL of a Qdrant server."""
    qdrant_key: str | None = None
    """Its API key."""
    embedder: str | None = None
    """Name or path of a sentence-transformers model; None is the model that ships with us."""
    keep_days: int | None = None
    """Days after which ClickHouse may drop events, transitions, attempts and runs; None: never."""
    keep_sums_days: int | None = None
    """Days after which it may drop the sums by the hour; those by the day stay."""
    memory_mb: int | None = None
    """Most memory of the embedded ClickHouse, MiB; None: 1,500."""

    def __post_init__(self) -> None:
        """Refuse days that ClickHouse cannot reckon with: its times end in 2106."""
        for name in ("keep_days", "keep_sums_days"):
            days = getattr(self, name)
            if days is not None and not (type(days) is int and 1 <= days <= _LONGEST_DAYS):
                raise RecordError(
                    f"settings.json, record.{name}: {days!r} is no number of days from 1 to "
                    f"{_LONGEST_DAYS}; 0 or nothing keeps all"
                )

    @classmethod
    def of(cls, folder: DataFolder) -> RecordSettings:
        """Read the folder's settings; a missing file means all embedded."""
        kept = (read_json(folder.root / "settings.json") or {}).get("record") or {}
        return cls(**{name: kept.get(name) or None for name in cls.__dataclass_fields__})

    def places(self) -> dict[str, str]:
        """Return under which name the ledger keeps each sink: one a place that is written to.

        The place stays the same when its password changes.
        """
        points = f"{_place(self.qdrant) or 'edge'} {self.embedder or 'static'}"
        return {"clickhouse": _named(_place(self.clickhouse) or "chdb"), "qdrant": _named(points)}


def _place(url: str | None) -> str | None:
    """Return a URL without its password."""
    if url is None:
        return None
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}{at}{host}").geturl()


def _named(place: str) -> str:
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def tokens(folder: DataFolder) -> dict[Role, str]:
    """Return the folder's tokens; make them the first time."""
    kept = read_json(folder.tokens)
    if kept is None:
        kept = {role: secrets.token_urlsafe(32) for role in ROLES}
        write_json(folder.tokens, kept)
    return {role: str(kept[role]) for role in ROLES}


def port(folder: DataFolder, wait_s: float = _START_S) -> int:
    """Return the recorder's port; wait for a recorder that is starting.

    Raises:
        RecorderAway: there is none after ``wait_s``.
    """
    deadline = time.monotonic() + wait_s
    while True:
        found = read_json(folder.recorder_json)
        if found is not None and found.get("port"):
            return int(found["port"])
        if time.monotonic() > deadline:
            raise RecorderAway(folder.root, "it has written no address (recorder.json)")
        time.sleep(0.05)


def ask(
    folder: DataFolder, path: str, body: dict[str, Any] | None = None, *,
    wait_s: float = _START_S, timeout_s: float = 30.0,
) -> Any:  # fmt: skip
    """Ask one of the recorder's own routes and return its JSON answer.

    A recorder that is just restarting is asked again until ``wait_s`` have passed.

    Raises:
        RecorderAway: it did not answer.
        RecordError: it answered that it cannot.
    """
    deadline = time.monotonic() + wait_s
    while True:
        left = max(0.0, deadline - time.monotonic())
        url = f"http://127.0.0.1:{port(folder, left)}{path}"
        try:
            return _fetch(url, tokens(folder)["read"], body, timeout_s)
        except urllib.error.HTTPError as error:
            raise RecordError(f"{path}: {error.read().decode(errors='replace')}") from None
        except OSError as error:
            if time.monotonic() > deadline:
                raise RecorderAway(folder.root, str(error)) from error
            time.sleep(0.05)


def _fetch(url: str, token: str, body: dict[str, Any] | None, timeout_s: float) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 loopback
    with _OPENER.open(request, timeout=timeout_s) as answer:
        return json.load(answer)


def status(folder: DataFolder, wait_s: float = _START_S) -> dict[str, Any]:
    """Return what the recorder says of itself: cursor, lag and sinks."""
    answer: dict[str, Any] = ask(folder, "/status", wait_s=wait_s)
    return answer


def await_caught_up(
    folder: DataFolder, cursor: dict[int, int], timeout_s: float = 30.0,
    sinks: Sequence[str] = SINKS,
) -> dict[str, Any]:  # fmt: skip
    """Wait until these sinks of the record hold all events up to ``cursor``.

    Returns the recorder's status.

    Raises:
        RecordBehind: it does not within ``timeout_s``; the message says how far it is.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        left = max(0.05, deadline - time.monotonic())
        asked = {
            "cursor": {str(w): p for w, p in cursor.items()}, "wait_s": min(left, 5.0),
            "sinks": list(sinks),
        }  # fmt: skip
        said: dict[str, Any] = ask(folder, "/caught-up", asked, wait_s=left)
        if said["caught_up"]:
            return said
        if time.monotonic() > deadline:
            late = {
                n: (said["sinks"][n]["behind_events"], said["sinks"][n]["error"]) for n in sinks
            }
            raise RecordBehind(
                f"the record of {folder.root} is behind after {timeout_s:g} s: {late}"
            )

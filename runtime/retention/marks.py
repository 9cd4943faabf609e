"""Marks: which objects the journal's events refer to, and for how long that holds them.

A follower reads the journal from its cursor and writes down, for every run, the objects
that its events name: a *value* of a step, or a *result* (what the run returned or `set`),
which is kept longer. The cursor moves in the transaction of what was read, so a crash
between any two reads loses nothing; a file that is lost is made again from the journal.

Bodies are searched as text: in compact JSON a reference is the only place where the
letters ``"$ref":"`` can stand, since a quote inside a text is escaped.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from runtime.data import reference

_REF: Final = re.compile(r'"\$ref":"([0-9a-f]{64}\.[a-z]+)"')
_ENDS: Final = frozenset({"run.completed", "run.failed", "run.cancelled"})
_GOES_ON: Final = frozenset({"run.submitted", "run.started", "run.paused", "run.resumed",
                             "run.failing", "run.cancel.requested"})  # fmt: skip
_PAGE: Final = 5_000
_STILL_HOLDS: Final = """
  mark left join run using (run) where mark.kind = 'always' or run.ended_at is null
  or run.ended_at > case mark.kind when 'result' then :results else :values end"""


class Rows(Protocol):
    """A journal, as this follower reads it."""

    def follow_rows(self, cursor: dict[int, int], limit: int = 1000) -> list[tuple[Any, ...]]:
        """Return up to ``limit`` rows of events past the cursor."""
        ...


@dataclass(frozen=True, slots=True)
class Ended:
    """What a run's end still holds: values and results of those that ended after this."""

    values: float
    results: float


class Marks:
    """The marks in a file. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma temp_store = memory")
        self._db.executescript(files("runtime.retention").joinpath("marks.sql").read_text("utf-8"))

    def read(self, journal: Rows) -> int:
        """Read what the journal has that was not read yet; how many events."""
        count = 0
        while rows := journal.follow_rows(self._cursor(), _PAGE):
            self._take(rows)
            count += len(rows)
        return count

    def choose(self, ended: Ended) -> None:
        """Let the objects that an event still holds be the live ones."""
        self._db.execute("create temp table if not exists live (name text primary key)")
        self._db.execute("delete from live")
        self._db.execute(
            f"insert into live select distinct name from {_STILL_HOLDS}",  # noqa: S608
            {"values": ended.values, "results": ended.results},
        )
        self._inner()

    @property
    def live(self) -> int:
        """How many objects are live."""
        return int(self._db.execute("select count(*) from live").fetchone()[0])

    def unread(self) -> list[str]:
        """The live JSON objects that were not yet read for what is inside them."""
        sql = (
            "select name from live where name like '%.json'"
            " and not exists (select 1 from inside where outer_name = live.name)"
        )
        return [name for (name,) in self._db.execute(sql)]

    def contain(self, outer: str, inner: set[str]) -> None:
        """Write down what a JSON object refers to; it never changes."""
        rows = [(outer, name) for name in inner or {""}]
        self._db.executemany("insert or ignore into inside values (?, ?)", rows)
        self._inner()

    def holds(self, name: str) -> bool:
        """Whether the object is one of the live ones."""
        return (
            self._db.execute("select 1 from live where name = ?", (name,)).fetchone() is not None
        )

    def forget(self, ended: Ended) -> None:
        """Drop the marks that hold nothing any more, and the runs that have none left."""
        times = {"values": ended.values, "results": ended.results}
        kept = f"select mark.name, mark.run, mark.kind from {_STILL_HOLDS}"  # noqa: S608
        drop = f"delete from mark where (name, run, kind) not in ({kept})"  # noqa: S608
        with self._db:
            self._db.execute("begin")
            self._db.execute(drop, times)
            self._db.execute(
                "delete from run where ended_at <= min(:values, :results)"
                " and not exists (select 1 from mark where mark.run = run.run)", times,
            )  # fmt: skip

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _cursor(self) -> dict[int, int]:
        return dict(self._db.execute("select writer, pos from read"))

    def _take(self, rows: list[tuple[Any, ...]]) -> None:
        marks = [mark for row in rows for mark in _marks(row)]
        with self._db:
            self._db.execute("begin")
            self._db.executemany("insert or ignore into mark values (?, ?, ?)", marks)
            self._db.executemany("insert or replace into run values (?, ?)", _runs(rows))
            at = [(row[0], row[1]) for row in rows]
            self._db.executemany("insert or replace into read values (?, ?)", dict(at).items())

    def _inner(self) -> None:
        """Let what a live object refers to be live too, however deep."""
        self._db.execute(
            "with recursive inner_of (name) as (select name from live union"
            " select i.name from inside i join inner_of o on i.outer_name = o.name)"
            " insert or ignore into live select name from inner_of where name <> ''"
        )


def _runs(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, float | None]]:
    for _, _, stream, _, type_, _, at, _ in rows:
        if type_ in _ENDS or type_ in _GOES_ON:
            yield stream.removeprefix("run/"), at if type_ in _ENDS else None


def _marks(row: tuple[Any, ...]) -> Iterator[tuple[str, str, str]]:
    """``(object, run, kind)`` of every reference in an event."""
    _, _, stream, _, type_, _, _, body = row
    if '"$ref"' not in body:
        return
    if not stream.startswith("run/"):
        yield from ((name, stream, "always") for name in _REF.findall(body))
        return
    run = stream.removeprefix("run/")
    kept = "result" if type_ in ("run.completed", "context.set") else "value"
    yield from ((name, run, kept) for name in _REF.findall(body))
    if kept == "value" and '"sets":' in body:
        sets = msgspec.json.decode(body).get("sets")
        yield from ((ref["$ref"], run, "result") for ref in reference.references(sets))

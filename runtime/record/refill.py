"""Rows of new tables from events that the record already holds.

A release that adds a table must not leave it empty for what happened before. The record has
every event with the journal's own bytes, so it is its own journal here: what the rows of a
table follow from is read from ``events``, and so is what they look up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from runtime.journal.wire import decode
from runtime.record.derive import SOURCES, derive
from runtime.record.follow import Fact
from runtime.record.tables import Rows
from runtime.run.events import Recorded

_PAGE: Final = 2_000
_SELECT: Final = (
    "SELECT writer, pos, stream, stream_seq, type, version, toUnixTimestamp64Micro(at) / 1e6, body"
    " FROM events"
)


class RecordedJournal:
    """The journal as ClickHouse holds it: enough of it to derive rows again."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def event(self, stream: str, seq: int) -> Recorded | None:
        """Return one event, or None."""
        found = self._ask("WHERE stream = {s:String} AND stream_seq = {n:UInt64}", s=stream, n=seq)
        return next((fact.recorded for fact in found), None)

    def read(self, stream: str, after: int = 0) -> Iterator[Recorded]:
        """Yield the events of a stream, in order."""
        where = "WHERE stream = {s:String} AND stream_seq > {n:UInt64} ORDER BY stream_seq"
        return (fact.recorded for fact in self._ask(where, s=stream, n=after))

    def of_types(self, types: Sequence[str]) -> Iterator[list[Fact]]:
        """Yield the facts of these types, page by page."""
        writer, pos = 0, 0
        where = (
            "WHERE type IN {t:Array(String)} AND (writer, pos) > ({w:UInt32}, {p:UInt64})"
            f" ORDER BY writer, pos LIMIT {_PAGE}"
        )
        while page := list(self._ask(where, t=list(types), w=writer, p=pos)):
            yield page
            writer, pos = page[-1].recorded.writer, page[-1].recorded.pos

    def _ask(self, where: str, **values: Any) -> Iterator[Fact]:
        for row in self._client.query(f"{_SELECT} {where}", parameters=values).result_rows:
            writer, pos, stream, seq, type_, version, at, body = row
            event = decode(type_, version, body.encode())
            yield Fact(Recorded(writer, pos, stream, seq, at, event), version, body)


def refilled(client: Any, tables: Sequence[str]) -> Iterable[Rows]:
    """Yield the rows of these tables that follow from the events that are there."""
    journal = RecordedJournal(client)
    types = sorted({cls.TYPE for name in tables for cls in SOURCES[name]})
    for facts in journal.of_types(types):
        yield {name: rows for name, rows in derive(facts, journal).items() if name in tables}

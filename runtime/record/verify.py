"""Is the record what the journal says? Both sides are computed anew and compared.

The journal's side comes from its own bytes, ClickHouse's in SQL from the stored columns,
Qdrant's from the ids it holds. Everything is compared at a cursor, so a live server may go
on writing: what is checked is the journal up to where it was when the check began.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from runtime.data.folder import DataFolder
from runtime.journal.sqlite import SqliteReader
from runtime.record.access import RecordSettings, await_caught_up
from runtime.record.derive import derive
from runtime.record.follow import Batch, Fact, Known, next_batch
from runtime.record.history import History
from runtime.record.points import marks
from runtime.record.search import Search
from runtime.record.tables import ATTEMPT, TABLES, Row

_MOD: Final = 1 << 64
_AT: Final = ATTEMPT.names.index("at")
_ATTEMPT_PARTS: Final = (
    "stream", "stream_seq", "attempt", "playbook", "step", "outcome", "config", "items",
    "retried", "arm",
)  # fmt: skip


@dataclass(slots=True)
class Sum:
    """Count and checksums of a set of rows, whatever their order.

    A row that is there twice changes ``sum``, a pair of them escapes ``xor`` alone.
    """

    rows: int = 0
    xor: int = 0
    sum: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it with the checksums as text: they are longer than JSON's exact numbers."""
        return {"rows": self.rows, "xor": f"{self.xor:016x}", "sum": f"{self.sum:016x}"}

    def add(self, parts: Iterable[Any]) -> None:
        """Add one row, made of these parts."""
        text = "\0".join(str(p) for p in parts)
        mark = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
        self.rows += 1
        self.xor ^= mark
        self.sum = (self.sum + mark) % _MOD


@dataclass(slots=True)
class Verification:
    """Both sides of the record, and whether they are the same."""

    cursor: dict[int, int]
    since: int = 0
    """Rows from before are not compared: settings let them go."""
    journal_events: Sum = field(default_factory=Sum)
    journal_attempts: Sum = field(default_factory=Sum)
    clickhouse_events: Sum = field(default_factory=Sum)
    clickhouse_attempts: Sum = field(default_factory=Sum)
    journal_rows: dict[str, int] = field(default_factory=dict)
    clickhouse_rows: dict[str, int] = field(default_factory=dict)
    qdrant_points: int = 0
    qdrant_expected: int = 0
    missing: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the record equals the journal."""
        return not self.differences()

    def differences(self) -> list[str]:
        """Return what differs, in words; nothing when the record is exact."""
        said = []
        for name, ours, theirs in (
            ("events", self.journal_events, self.clickhouse_events),
            ("attempts", self.journal_attempts, self.clickhouse_attempts),
        ):
            if ours != theirs:
                said.append(f"{name}: the journal has {ours}, ClickHouse {theirs}")
        for table, rows in self.journal_rows.items():
            found = self.clickhouse_rows.get(table, 0)
            if rows != found:
                said.append(f"{table}: {rows} rows follow from the journal, {found} are there")
        if self.missing:
            said.append(f"points: {len(self.missing)} are missing, {self.missing[0]} is one")
        if self.strange:
            said.append(f"points: {len(self.strange)} stand for nothing, {self.strange[0]} is one")
        return said

    def to_json(self) -> dict[str, Any]:
        """Return all of it, with ``ok`` and the flat ``rows`` of the demo's report."""
        sums = (
            "journal_events", "journal_attempts", "clickhouse_events", "clickhouse_attempts",
        )  # fmt: skip
        return (
            asdict(self)
            | {name: getattr(self, name).to_json() for name in sums}
            | {
                "cursor": {str(writer): pos for writer, pos in self.cursor.items()},
                "ok": self.ok,
                "differences": self.differences(),
                "rows": {
                    "journal_events": self.journal_events.rows,
                    "journal_attempts": self.journal_attempts.rows,
                    "clickhouse_events": self.clickhouse_events.rows,
                    "clickhouse_attempts": self.clickhouse_attempts.rows,
                    "qdrant_points": self.qdrant_points,
                    "qdrant_expected": self.qdrant_expected,
                },
            }
        )


def verify(folder: DataFolder, timeout_s: float = 60.0) -> Verification:
    """Recompute both sides of a data folder's record, up to where its journal is now.

    Raises:
        RecordBehind: the record did not catch up within ``timeout_s``.
        RecorderAway: no recorder answers.
    """
    source = SqliteReader.open(folder.journal)
    try:
        cursor = source.heads()
        await_caught_up(folder, cursor, timeout_s)
        result = Verification(cursor, kept_since(RecordSettings.of(folder).keep_days))
        _read_clickhouse(result, folder)
        found = Search.open(folder).ids()
        _read_journal(result, source, found)
        return result
    finally:
        source.close()


def kept_since(keep_days: int | None) -> int:
    """Return the second from which on rows are there for sure, with a day to spare."""
    return 0 if keep_days is None else int(time.time()) - (keep_days - 1) * 86_400


def _read_clickhouse(result: Verification, folder: DataFolder) -> None:
    history = History.open(folder)
    at = {
        "writers": list(result.cursor), "positions": list(result.cursor.values()),
        "since": result.since,
    }  # fmt: skip
    try:
        for name, into in (
            ("checksum_events", result.clickhouse_events),
            ("checksum_attempts", result.clickhouse_attempts),
        ):
            row = history.rows(name, **at)[0]
            into.rows, into.xor, into.sum = row["rows"], row["checksum_xor"], row["checksum_sum"]
        result.clickhouse_rows = {r["table"]: r["rows"] for r in history.rows("counts", **at)}
    finally:
        history.close()


def _read_journal(result: Verification, source: SqliteReader, found: set[str]) -> None:
    """Add up the journal; points may already stand for what came after the cursor."""
    known, expected, later = Known(source), set[str](), set[str]()
    rows = dict.fromkeys((t.name for t in TABLES), 0)
    for batch in batches(source, source.heads()):
        known.take(batch)
        due = [f for f in batch.facts if f.recorded.pos <= result.cursor.get(batch.span.writer, 0)]
        expected |= {m.point for m in marks((f.recorded for f in due), known)}
        later |= {m.point for m in marks((f.recorded for f in batch.facts), known)}
        for fact in due:
            r = fact.recorded
            if r.at >= result.since:
                result.journal_events.add((r.stream, r.stream_seq, fact.body))
        for table, derived in derive(due, known).items():
            made = [row for row in derived if row[_AT] >= result.since]
            rows[table] += len(made)
            if table == ATTEMPT.name:
                _add_attempts(result.journal_attempts, made)
    result.journal_rows = rows
    result.qdrant_expected, result.qdrant_points = len(expected), len(found - (later - expected))
    result.missing, result.strange = sorted(expected - found), sorted(found - later)


def _add_attempts(into: Sum, rows: Iterable[Row]) -> None:
    places = [ATTEMPT.names.index(name) for name in _ATTEMPT_PARTS]
    for row in rows:
        into.add(row[place] for place in places)


def batches(source: SqliteReader, until: dict[int, int]) -> Iterator[Batch]:
    """Yield the journal in batches, from the start to a cursor."""
    cursor: dict[int, int] = {}
    while (batch := next_batch(source, cursor)) is not None:
        cursor = cursor | {batch.span.writer: batch.span.last}
        facts: tuple[Fact, ...] = tuple(
            f for f in batch.facts if f.recorded.pos <= until.get(batch.span.writer, 0)
        )
        if facts:
            yield Batch(batch.span, facts)
        elif all(cursor.get(writer, 0) >= pos for writer, pos in until.items()):
            return

"""Following the journal: what comes next past a vector cursor, in spans that can be read again.

A cursor is ``{writer: pos}``. A `Batch` holds the facts of one writer without a gap, so
the three numbers of its `Span` name it for good: read again, it is the same batch. Facts
carry the journal's own bytes beside the decoded event, because what is compared later is
what was written. Who needs few events says which, and the others are passed over without being
decoded: most of the journal means nothing to search. `Known` answers look-ups of earlier facts
and remembers the recent ones; facts never change, so remembering them cannot make an answer wrong.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from runtime.journal.wire import decode
from runtime.run.events import (
    AttemptScheduled,
    ConfigStored,
    ProposalDrafted,
    Recorded,
    RunSubmitted,
)

BATCH_EVENTS: Final = 16_000
BATCH_BYTES: Final = 16 << 20
_PAGE: Final = 1_000
_REMEMBERED: Final = 20_000
"""Earlier facts that are not read from the journal again."""
_LOOKED_UP: Final = (AttemptScheduled, ConfigStored, ProposalDrafted, RunSubmitted)


Needs: TypeAlias = Callable[[str, int, str], bool]
"""Type, version and body of an event → whether it is needed."""


class JournalGap(Exception):
    """The journal lacks a position that a follower has not read yet."""

    def __init__(self, writer: int, expected: int, found: int) -> None:
        super().__init__(
            f"journal: writer {writer} goes from {expected - 1} to {found}, position {expected} "
            "is missing. Restore journal.db from a backup, or remove recorder.db, clickhouse/ and "
            "qdrant/ to record again what is left."
        )


class FactSource(Protocol):
    """What following needs of a journal; `runtime.journal.sqlite.SqliteReader` has it."""

    def follow_rows(self, cursor: dict[int, int], limit: int = 1000) -> list[tuple[Any, ...]]: ...

    def event(self, stream: str, seq: int) -> Recorded | None: ...

    def read(self, stream: str, after: int = 0) -> Iterator[Recorded]: ...

    def heads(self) -> dict[int, int]: ...


class Fact(NamedTuple):
    """An event with the version and the text under which it stands in the journal."""

    recorded: Recorded
    version: int
    body: str


@dataclass(frozen=True, slots=True)
class Span:
    """The facts of ``writer`` from ``first`` to ``last``, both included."""

    writer: int
    first: int
    last: int

    @property
    def events(self) -> int:
        """How many events of the journal it stands for."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.writer}:{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Batch:
    """All facts of a span, in order, or those of them that are needed."""

    span: Span
    facts: tuple[Fact, ...]


def next_batch(
    source: FactSource, cursor: dict[int, int], needs: Needs | None = None
) -> Batch | None:
    """Return the facts that come right after the cursor, or None when there are none yet."""
    rows: list[tuple[Any, ...]] = []
    size, writer, after = 0, -1, cursor
    while len(rows) < BATCH_EVENTS and size < BATCH_BYTES:
        # By the page: a body may have 64 KiB, and thousands of them at once would be felt.
        page = source.follow_rows(after, _PAGE)
        if not rows and page:
            writer = int(page[0][0])
        mine = [row for row in page if row[0] == writer]
        rows += mine
        if len(mine) < _PAGE:
            break
        size += sum(len(row[7]) for row in mine)
        after = cursor | {writer: mine[-1][1]}
    return _batch(writer, rows, cursor.get(writer, 0), needs) if rows else None


def is_full(batch: Batch) -> bool:
    """Whether a batch is so large that more is likely waiting behind it."""
    return batch.span.events >= BATCH_EVENTS // 2


def read_again(source: FactSource, span: Span, needs: Needs | None = None) -> Batch:
    """Return the batch that a span names, the same as when it was first read."""
    cursor = source.heads() | {span.writer: span.first - 1}
    rows = source.follow_rows(cursor, span.last - span.first + 1)
    mine = [r for r in rows if r[0] == span.writer]
    if not mine or len(mine) <= span.last - span.first:
        raise JournalGap(span.writer, span.first + len(mine), span.last)
    return _batch(span.writer, mine, span.first - 1, needs)


def advanced(cursor: dict[int, int], span: Span) -> dict[int, int]:
    """Return the cursor after a span."""
    return cursor | {span.writer: span.last}


def behind(cursor: dict[int, int], heads: dict[int, int]) -> int:
    """Return how many events of ``heads`` the cursor has not reached."""
    return sum(max(0, pos - cursor.get(writer, 0)) for writer, pos in heads.items())


def _batch(writer: int, rows: Sequence[tuple[Any, ...]], after: int, needs: Needs | None) -> Batch:
    for pos, row in enumerate(rows, after + 1):
        if row[1] != pos:
            raise JournalGap(writer, pos, row[1])
    kept = rows if needs is None else [row for row in rows if needs(row[4], row[5], row[7])]
    return Batch(Span(writer, after + 1, after + len(rows)), tuple(map(_fact, kept)))


def _fact(row: tuple[Any, ...]) -> Fact:
    writer, pos, stream, seq, type_, version, at, body = row
    recorded = Recorded(writer, pos, stream, seq, at, decode(type_, version, body))
    return Fact(recorded, version, body)


class Known:
    """Look-ups of single facts, with the recent ones kept in memory."""

    def __init__(self, source: FactSource) -> None:
        self._source = source
        self._kept: OrderedDict[tuple[str, int], Recorded] = OrderedDict()
        self._taken: tuple[Fact, ...] = ()
        self._by_stream: dict[str, list[Recorded]] | None = None

    def take(self, batch: Batch) -> None:
        """Remember those facts of a batch that others are joined with."""
        self._taken, self._by_stream = batch.facts, None
        for fact in batch.facts:
            if isinstance(fact.recorded.event, _LOOKED_UP):
                self._keep(fact.recorded)

    def event(self, stream: str, seq: int) -> Recorded | None:
        """Return one event of the journal, or None."""
        found = self._kept.get((stream, seq))
        if found is None:
            found = self._source.event(stream, seq)
            if found is not None:
                self._keep(found)
        return found

    def read(self, stream: str, after: int = 0) -> Iterator[Recorded]:
        """Yield the events of a stream, in order, at least as far as the last batch goes.

        A run often begins and ends within one batch: then nothing is read or decoded again.
        """
        begun = self._begun(stream) if after == 0 else None
        return self._source.read(stream, after) if begun is None else iter(begun)

    def _begun(self, stream: str) -> list[Recorded] | None:
        """Return a stream as the last batch has it, if it has it whole from its start."""
        if self._by_stream is None:
            self._by_stream = {}
            for fact in self._taken:
                self._by_stream.setdefault(fact.recorded.stream, []).append(fact.recorded)
        mine = self._by_stream.get(stream, [])
        whole = bool(mine) and mine[0].stream_seq == 1 and mine[-1].stream_seq == len(mine)
        return mine if whole else None

    def _keep(self, recorded: Recorded) -> None:
        self._kept[(recorded.stream, recorded.stream_seq)] = recorded
        if len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)

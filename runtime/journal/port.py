"""The journal's port: append facts of one stream at an expected place, read them back.

Promises, each with a contract test run over every implementation: an append is all or
nothing and durable when it returns; a stream's sequence has no gaps; a stale
``expected`` raises `StreamMoved` and writes nothing; ``pos`` counts without gaps within
the writer; a follower that reads by ``pos`` sees each event once, in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from runtime.run.events import Event, Recorded


class JournalError(Exception):
    """The journal could not do what was asked."""


class StreamMoved(JournalError):
    """Somebody appended to the stream first: read it again and decide again."""

    def __init__(self, stream: str, expected: int, actual: int) -> None:
        super().__init__(f"{stream}: expected to be at {expected}, is at {actual}")
        self.stream, self.expected, self.actual = stream, expected, actual


class JournalUnreadable(JournalError):
    """The file is no journal, or a damaged one."""


class FolderInUse(JournalError):
    """Another process owns this data folder."""


class Append(Struct, frozen=True, gc=False):
    """Events for one stream. ``expected`` is the stream's length before them."""

    stream: str
    expected: int
    at: float
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class RunRow:
    """A line of the run index: kept in the same transaction as the events it follows from."""

    run: str
    playbook: str
    version: str
    number: int
    state: str
    submitted_at: float
    started_at: float | None
    ended_at: float | None
    actor: str
    key: str | None
    system: bool
    length: int


class JournalReader(Protocol):
    """Reading, in the words of those who read."""

    def read(self, stream: str, after: int = 0) -> Iterator[Recorded]:
        """Yield the events of a stream whose sequence is above ``after``, in order."""
        ...

    def follow(self, cursor: dict[int, int], limit: int = 1000) -> list[Recorded]:
        """Return up to ``limit`` events past the cursor ``{writer: pos}``, oldest writer first."""
        ...

    def event(self, stream: str, seq: int) -> Recorded | None:
        """Return one event, or None."""
        ...

    def length(self, stream: str) -> int:
        """Return how many events the stream has."""
        ...

    def streams(self, prefix: str) -> list[str]:
        """Return the names of the streams that start with ``prefix``, sorted."""
        ...

    def runs(
        self, *, state: str | None = None, playbook: str | None = None,
        system: bool | None = False, limit: int = 100, before: str | None = None,
    ) -> list[RunRow]:  # fmt: skip
        """Return runs, newest first; state ``live`` means not ended, ``before`` is a run id."""
        ...

    def run(self, run: str) -> RunRow | None:
        """Return one run's line, or None."""
        ...

    def run_by_key(self, key: str) -> RunRow | None:
        """Return the run submitted under an idempotency key, or None."""
        ...

    def forks(self, run: str) -> list[str]:
        """Return the runs that go on from a run, the oldest first."""
        ...

    def was_held(self, run: str) -> bool:
        """Whether a step of the run waits, or has waited, for its hours of the day. Quick."""
        ...

    def heads(self) -> dict[int, int]:
        """Return the last ``pos`` of each writer: the cursor of a follower that is up to date."""
        ...


def in_order(journal: JournalReader, *prefixes: str) -> list[Recorded]:
    """Return the events of all streams with these prefixes, in the order of their commits.

    Folds over several streams need it: read one stream after another, a trial that ended
    long ago would take the place of the one that began after it.
    """
    found = [
        recorded
        for prefix in prefixes
        for stream in journal.streams(prefix)
        for recorded in journal.read(stream)
    ]
    return sorted(found, key=lambda r: (r.writer, r.pos))


class Journal(JournalReader, Protocol):
    """Reading and writing."""

    writer: int

    def append(self, appends: Sequence[Append]) -> list[Recorded]:
        """Write all of it in one durable transaction, or nothing.

        Raises:
            StreamMoved: a stream is not where an append expected it.
        """
        ...

    def close(self) -> None:
        """Close; what was appended stays."""
        ...

"""A feed: one thread that carries the journal into one sink, span by span.

``begin`` the span in the ledger, ``write`` it, ``settle`` the cursor. After a crash, and
after an error whose effect is unknown, the open span is mended first. A sink that is down
is tried again with growing pauses; nothing is skipped, and the other feeds go on. A batch
costs much the same whatever its size, so a feed that keeps up lets events gather for as long
as they are still in time, and leaves the machine to the runs; one that is behind takes whole
batches in a row. While somebody waits for it to catch up it does not pause.
No more than one batch is ever in memory: what is not read yet waits in the journal.

Ledger, sink and journal are three files that can be lost or restored one by one. So a feed
begins by asking whether they agree, and where they do not it fills the sink anew.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from runtime.journal.sqlite import SqliteReader
from runtime.record.derive import Lookup
from runtime.record.follow import (
    Batch,
    Known,
    Needs,
    advanced,
    behind,
    is_full,
    next_batch,
    read_again,
)
from runtime.record.ledger import Ledger

_POLL_S: Final = 1.0
_GATHER_S: Final = 0.25
"""A feed that keeps up pauses at least so long between two batches."""
WITHIN_S: Final = 1.5
"""How late an event may be in a sink whose feed keeps up."""
POINTS_WITHIN_S: Final = 3.5
"""The same for points: a batch of them waits for many files, however few there are."""
_FIRST_RETRY_S: Final = 0.1
_SLOWEST_RETRY_S: Final = 5.0


class Sink(Protocol):
    """Where a feed writes. A batch that is written twice is there once."""

    def is_new(self) -> bool:
        """Whether it was never made ready to its end."""
        ...

    def prepare(self) -> None:
        """Make ready what is not there yet."""
        ...

    def holds(self, cursor: dict[int, int]) -> bool:
        """Whether what is there can be the journal up to this cursor, and no more."""
        ...

    def clear(self) -> None:
        """Remove everything, so that it is new again."""
        ...

    def write(self, batch: Batch, lookup: Lookup) -> None:
        """Write a batch."""
        ...

    def mend(self, batch: Batch, lookup: Lookup) -> None:
        """Write a batch that may have been written wholly, in part or not at all."""
        ...

    def close(self) -> None:
        """Make durable what was written and let go."""
        ...


@runtime_checkable
class Renewable(Sink, Protocol):
    """A sink that can be made anew while what it holds goes on serving."""

    def beside(self) -> Sink:
        """Return an empty sink, to be filled in place of this one."""
        ...

    def become(self, other: Sink) -> None:
        """Serve from now on what was filled beside it."""
        ...


@runtime_checkable
class Selective(Sink, Protocol):
    """A sink that most events mean nothing to: the others are not even decoded."""

    def needs(self, type_: str, version: int, body: str) -> bool:
        """Whether an event of this text can change what is there."""
        ...


@dataclass(slots=True)
class Progress:
    """How far a feed is; read by other threads."""

    cursor: dict[int, int] = field(default_factory=dict)
    ready: bool = False
    error: str | None = None
    down_since: float | None = None
    """Since when it cannot write, in seconds since the epoch; None while it can."""
    events: int = 0
    batches: int = 0
    write_s: float = 0.0
    """How long the last batch took to write."""
    renewing: bool = False


class StrangeSink(Exception):
    """A server holds rows that this data folder's ledger does not know."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(
            f"{name}: {why}. It is a server, so nothing is removed: name an empty database in "
            "settings.json, or drop the record's tables there, and it is filled from the journal."
        )


class Feed:
    """Carries the journal into one sink, on a thread of its own.

    ``kept_as`` names the place that is written to in the ledger: another server, or another
    embedder's collection, is another place with a cursor of its own. ``ours`` says that the
    place belongs to this data folder alone, so that it may be cleared. ``within_s`` is how
    late an event may be while the feed keeps up: the later, the fewer and larger its batches.
    """

    def __init__(
        self, name: str, kept_as: str, journal: Path, ledger: Path,
        open_sink: Callable[[], Sink], say: Callable[[str], None], ours: bool = True,
        within_s: float = WITHIN_S,
    ) -> None:  # fmt: skip
        self.name, self.progress, self._ours = name, Progress(), ours
        self._within_s = within_s
        self._journal, self._ledger_path, self._kept_as = journal, ledger, kept_as
        self._open_sink, self._say = open_sink, say
        self._wake, self._stop = threading.Event(), threading.Event()
        self._renew = threading.Event()
        self._moved, self._waiting = threading.Condition(), 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to feed."""
        self._thread.start()

    def wake(self) -> None:
        """Say that the journal has grown."""
        self._wake.set()

    def renew(self) -> bool:
        """Have the sink made anew from the journal's start; False while it already is."""
        begun = not (self.progress.renewing or self._renew.is_set())
        self._renew.set()
        self._wake.set()
        return begun

    def tell_to_stop(self) -> None:
        """Say that the batch under way is the last."""
        self._stop.set()
        self._wake.set()
        with self._moved:
            self._moved.notify_all()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """End after the batch under way; return whether it ended in time."""
        self.tell_to_stop()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def caught_up(self, cursor: dict[int, int], wait_s: float) -> bool:
        """Wait up to ``wait_s`` until the sink holds everything up to ``cursor``."""
        self._wake.set()
        with self._moved:
            self._waiting += 1
            self._moved.notify_all()
            try:
                return self._moved.wait_for(
                    lambda: not behind(self.progress.cursor, cursor), wait_s
                )
            finally:
                self._waiting -= 1

    def _run(self) -> None:
        pause = _FIRST_RETRY_S
        while not self._stop.is_set():
            events = self.progress.events
            try:
                self._carry()
            except Exception as error:
                if self.progress.events > events:
                    pause = _FIRST_RETRY_S
                said = f"{type(error).__name__}: {error}"
                if said != self.progress.error:
                    self._say(f"{self.name}: {traceback.format_exc()}")
                self.progress.error = said
                self.progress.down_since = self.progress.down_since or time.time()
                self._stop.wait(pause)
                pause = min(pause * 2, _SLOWEST_RETRY_S)

    def _carry(self) -> None:
        """Open the sink and feed it until told to stop; any error starts this over."""
        if not self._journal_is_there():
            return
        source, ledger = SqliteReader.open(self._journal), Ledger(self._ledger_path, self._kept_as)
        try:
            sink = self._open_sink()
            try:
                self._feed(sink, ledger, source)
            finally:
                sink.close()
        finally:
            ledger.close()
            source.close()

    def _journal_is_there(self) -> bool:
        while not self._stop.is_set():
            if self._journal.exists() and _has_schema(self._journal):
                return True
            self._rest()
        return False

    def _feed(self, sink: Sink, ledger: Ledger, source: SqliteReader) -> None:
        known = Known(source)
        cursor = self._begin(sink, ledger, source, known)
        self.progress.ready = True
        self._advance(cursor)
        while not self._stop.is_set():
            if self._renew.is_set() and isinstance(sink, Renewable):
                cursor = self._made_anew(sink, ledger, source, cursor)
            found = next_batch(source, cursor, _needs(sink))
            if found is None:
                self._is_well()
                self._rest()
                continue
            began = time.monotonic()
            known.take(found)
            ledger.begin(found.span)
            sink.write(found, known)
            cursor = self._settle(ledger, cursor, found)
            self.progress.write_s = time.monotonic() - began
            if not is_full(found):
                self._gather(self.progress.write_s)

    def _made_anew(
        self, sink: Renewable, ledger: Ledger, source: SqliteReader, cursor: dict[int, int]
    ) -> dict[int, int]:
        """Fill another sink from the journal's start, and let it take the place of this one.

        A death before the end leaves this one as it is; one right after leaves points beyond
        the cursor, whose events are merged once more and change nothing.
        """
        self.progress.renewing, reached, known = True, dict[int, int](), Known(source)
        self._renew.clear()
        try:
            fresh = sink.beside()
            fresh.prepare()
            while not self._stop.is_set():
                batch = next_batch(source, reached, _needs(fresh))
                if batch is None:
                    break
                known.take(batch)
                fresh.write(batch, known)
                reached = advanced(reached, batch.span)
            if self._stop.is_set():
                return cursor
            sink.become(fresh)
            ledger.settle(reached)
            self._advance(reached)
            self._say(f"{self.name}: made anew up to {reached}")
            return reached
        finally:
            self.progress.renewing = False

    def _begin(
        self, sink: Sink, ledger: Ledger, source: SqliteReader, known: Known
    ) -> dict[int, int]:
        """Return the cursor to go on from, once ledger, sink and journal agree."""
        if sink.is_new():
            # Before anything is made: a death in between finds the sink new once more.
            ledger.reset()
        sink.prepare()
        cursor, span = ledger.cursor(), ledger.open_batch()
        reached = cursor if span is None else advanced(cursor, span)
        if behind(source.heads(), reached):
            return self._start_over(sink, ledger, "it is ahead of the journal, a restored one")
        if span is not None:
            batch = read_again(source, span, _needs(sink))
            known.take(batch)
            sink.mend(batch, known)
            cursor = self._settle(ledger, cursor, batch)
            self._say(f"{self.name}: mended {span}")
        if not sink.holds(cursor):
            return self._start_over(sink, ledger, f"it does not hold the journal up to {cursor}")
        return cursor

    def _start_over(self, sink: Sink, ledger: Ledger, why: str) -> dict[int, int]:
        """Empty the sink. The ledger comes first: without a cursor it is never half believed."""
        if not self._ours:
            raise StrangeSink(self.name, why)
        self._say(f"{self.name}: {why}; it is filled anew")
        ledger.reset()
        sink.clear()
        sink.prepare()
        return {}

    def _gather(self, took_s: float) -> None:
        pause = gather_s(self._within_s, took_s)
        with self._moved:
            self._moved.wait_for(lambda: self._waiting or self._stop.is_set(), pause)

    def _is_well(self) -> None:
        self.progress.error = self.progress.down_since = None

    def _settle(self, ledger: Ledger, cursor: dict[int, int], batch: Batch) -> dict[int, int]:
        cursor = advanced(cursor, batch.span)
        ledger.settle(cursor)
        self.progress.events += batch.span.events
        self.progress.batches += 1
        self._is_well()
        self._advance(cursor)
        return cursor

    def _advance(self, cursor: dict[int, int]) -> None:
        with self._moved:
            self.progress.cursor = cursor
            self._moved.notify_all()

    def _rest(self) -> None:
        self._wake.wait(_POLL_S)
        self._wake.clear()


def gather_s(within_s: float, took_s: float) -> float:
    """Return how long events may gather so that the first of them is written in time.

    It came right after a batch was read: that was written, then it waited, then it is written.

    >>> gather_s(1.5, 0.3), gather_s(1.5, 0.01), gather_s(1.5, 2.0)
    (0.9, 1.0, 0.25)
    """
    return min(max(_GATHER_S, within_s - 2 * took_s), within_s * 2 / 3)


def _needs(sink: Sink) -> Needs | None:
    return sink.needs if isinstance(sink, Selective) else None


def _has_schema(path: Path) -> bool:
    """Whether the server has made its tables yet."""
    reader = SqliteReader.open(path)
    try:
        reader.heads()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return False
    else:
        return True
    finally:
        reader.close()


def describe(feed: Feed, source: Any, clock: Callable[[], float] = time.time) -> dict[str, Any]:
    """Return a feed's place and lag as JSON, measured against the journal now."""
    p = feed.progress
    late = behind(p.cursor, source.heads())
    rows = source.follow_rows(p.cursor, 1) if late else []
    return {
        "cursor": {str(w): pos for w, pos in p.cursor.items()}, "ready": p.ready,
        "behind_events": late, "behind_s": max(0.0, clock() - rows[0][6]) if rows else 0.0,
        "events": p.events, "batches": p.batches, "write_s": p.write_s, "error": p.error,
        "down_since": p.down_since, "renewing": p.renewing,
    }  # fmt: skip

"""The commit thread: groups what everybody decided since its last commit into one.

The loop hands over requests and goes on; the thread writes all that wait in one durable
transaction and calls back on the loop, in order. A request that lost a race fails alone.
A full disk or a locked file stops nothing for good: the group is tried again, and until
it is written none of its effects happen.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from runtime.journal.port import Append, JournalError, StreamMoved
from runtime.journal.sqlite import SqliteJournal
from runtime.run.events import Recorded

_LOG: Final = logging.getLogger("trimtab.journal")
_RETRY_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)

Done = Callable[["list[Recorded] | Exception"], None]


class CommitThreadDied(JournalError):
    """The commit thread ended; the server cannot go on and must be restarted."""


@dataclass(slots=True)
class _Request:
    appends: Sequence[Append]
    done: Done


@dataclass(slots=True)
class _Box:
    lock: threading.Condition = field(default_factory=threading.Condition)
    waiting: list[_Request] = field(default_factory=list)
    stop: bool = False


class Committer:
    """Owns the journal's writing connection and the thread that uses it."""

    def __init__(
        self, journal: SqliteJournal, loop: asyncio.AbstractEventLoop,
        on_death: Callable[[], None], after: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._journal, self._loop, self._on_death = journal, loop, on_death
        self._after = after
        self._box = _Box()
        self.stalled: str | None = None
        self._put: list[_Request] = []
        """What was put in this turn of the loop, which alone touches it."""
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    def put(self, appends: Sequence[Append], done: Done) -> None:
        """Write ``appends`` all or nothing; ``done`` is called on the loop with the outcome.

        What is put in one turn of the loop is written together; when all of a group have
        been told, ``after`` is called once.
        """
        if not self._put:
            self._loop.call_soon(self._wake)
        self._put.append(_Request(appends, done))

    def hurry(self) -> None:
        """Write what was put now: the turn is over."""
        if self._put:
            self._wake()

    def _wake(self) -> None:
        put, self._put = self._put, []
        if put:
            with self._box.lock:
                self._box.waiting += put
                self._box.lock.notify()

    def close(self) -> None:
        """Write what `hurry` or the end of a turn has handed over, then end the thread."""
        with self._box.lock:
            self._box.stop = True
            self._box.lock.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while (group := self._next()) is not None:
                answers = self._write(group)
                self._loop.call_soon_threadsafe(self._answer, answers)
        except BaseException:
            self._loop.call_soon_threadsafe(self._on_death)
            raise

    def _answer(self, answers: list[tuple[Done, list[Recorded] | Exception]]) -> None:
        """Tell everybody; one who fails on the news keeps it from nobody else."""
        for done, answer in answers:
            try:
                done(answer)
            except Exception:
                _LOG.exception("what was written had an effect that failed")
        self._after()

    def _next(self) -> list[_Request] | None:
        box = self._box
        with box.lock:
            while not box.waiting:
                if box.stop:
                    return None
                box.lock.wait()
            group, box.waiting = box.waiting, []
        return group

    def _write(self, group: list[_Request]) -> list[tuple[Done, list[Recorded] | Exception]]:
        good, answers = self._sort(group)
        if good:
            recorded = iter(self._append([a for r in good for a in r.appends]))
            for request in good:
                n = sum(len(a.events) for a in request.appends)
                answers[id(request)] = [next(recorded) for _ in range(n)]
        return [(r.done, answers[id(r)]) for r in group]

    def _sort(
        self, group: list[_Request]
    ) -> tuple[list[_Request], dict[int, list[Recorded] | Exception]]:
        """Part the requests that fit from those that lost a race to an earlier one."""
        heads: dict[str, int] = {}
        good: list[_Request] = []
        answers: dict[int, list[Recorded] | Exception] = {}
        for request in group:
            after = dict[str, int]()
            for a in request.appends:
                head = after.get(a.stream, heads.get(a.stream, -1))
                head = self._journal.head(a.stream) if head < 0 else head
                if head != a.expected:
                    answers[id(request)] = StreamMoved(a.stream, a.expected, head)
                    break
                after[a.stream] = head + len(a.events)
            else:
                heads.update(after)
                good.append(request)
        return good, answers

    def _append(self, appends: list[Append]) -> list[Recorded]:
        tries = 0
        while True:
            try:
                recorded = self._journal.append(appends)
            except sqlite3.OperationalError as error:
                if self._box.stop:
                    raise
                self.stalled = str(error)
                time.sleep(_RETRY_S[min(tries, len(_RETRY_S) - 1)])
                tries += 1
            else:
                self.stalled = None
                return recorded

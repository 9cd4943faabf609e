"""The machine under the engine: what a decision sets in motion, and what sets one in motion.

A command changes a run's state by the events it decides; those are handed to the commit
thread, and only when they are durable do their effects follow. This is its core; each room
around it adds one thing: `sending` to workers, `due` times, the `family` of runs above and
below one another, the `effects` of what is durable, `recovery` after a crash, and
`branching` off runs that are over.
"""

from __future__ import annotations

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from filelock import FileLock

from runtime.data.folder import DataFolder
from runtime.engine.actor import ENDING, Actor, Listener, Parked, settle
from runtime.engine.catalogue import Catalogue
from runtime.engine.dispatch import Dispatch
from runtime.engine.edge import Configurations
from runtime.engine.errors import CannotSteer, EngineError, UnknownRun
from runtime.engine.poison import Poison
from runtime.engine.prices import LivePrices
from runtime.engine.retry_budgets import RetryBudgets
from runtime.engine.timers import Timers
from runtime.ids import run_stream
from runtime.journal.commit import Committer, CommitThreadDied
from runtime.journal.port import Append, RunRow
from runtime.journal.sqlite import SqliteJournal, SqliteReader
from runtime.run.decide import Decision, Ended
from runtime.run.events import (
    AttemptFinished,
    Json,
    Recorded,
    RunEvent,
    RunFailing,
    StepHeld,
    TimerSet,
)
from runtime.run.layers import Layers
from runtime.run.life import Status
from runtime.workers.limits import Limits as AttemptLimits
from runtime.workers.port import Pool

_LOG: Final = logging.getLogger("trimtab.engine")
_AT_ONCE: Final = frozenset({AttemptFinished, TimerSet, StepHeld, RunFailing})


class Machine(ABC):
    """Actors over a journal and a pool."""

    def __init__(
        self, folder: DataFolder, pool: Pool, lock: FileLock, clock: Callable[[], float],
        chance: random.Random, services: Mapping[str, Json], attempt: AttemptLimits,
    ) -> None:  # fmt: skip
        self.folder, self.layers, self.catalogue = folder, Layers(), Catalogue(folder)
        self._loop = asyncio.get_running_loop()
        self._lock, self._clock, self._chance, self._pool = lock, clock, chance, pool
        self._writing = SqliteJournal(folder.journal, clock())
        self.journal: SqliteReader = self._writing.reader()
        self._commit = Committer(self._writing, self._loop, self._died, self._pump)
        prices = LivePrices(folder.root, clock)
        self._dispatch = Dispatch(pool, folder, prices, services, clock, attempt)
        self._timers = Timers(self._loop, clock, self._due)
        self.poison = Poison()
        self._poison_lengths: dict[str, int] = {}
        self._configs = Configurations()
        self._budgets = RetryBudgets()
        self._actors: dict[str, Actor] = {}
        self.parked: dict[str, Parked] = {}
        """Runs that cannot go on here, and why."""
        self._keys: dict[str, asyncio.Future[str]] = {}
        self._waiters: defaultdict[str, list[asyncio.Future[RunRow]]] = defaultdict(list)
        self._listeners: list[Listener] = []
        self._leasing: set[str] = set()
        self._late: dict[str, str] = {}
        """Tries that take long and may be hedged, with their runs."""
        self._taken_back: set[str] = set()
        self._rate_timer: asyncio.TimerHandle | None = None
        self._landed: defaultdict[str, list[Ended]] = defaultdict(list)
        """How attempts ended that were reported and are not decided on yet, by run."""
        self._closed = self._draining = self._turning = False
        self.dead: asyncio.Future[None] = self._loop.create_future()

    @abstractmethod
    def _committed(self, recorded: Sequence[Recorded]) -> None:
        """The effects of what is now durable."""

    @abstractmethod
    def _pump(self) -> None:
        """Send what is ready to workers that have room."""

    @abstractmethod
    def _take_in(self) -> None:
        """Decide on what workers reported."""

    @abstractmethod
    def _due(self, run: str) -> None:
        """Something of a run is due."""

    @abstractmethod
    def _end_losers(self, actor: Actor) -> None:
        """End what works for a join that has fired without it."""

    @abstractmethod
    def _cancel_below(self, actor: Actor, *, now: bool = False) -> None:
        """Cancel the runs that a run which is ending waits for."""

    @abstractmethod
    def _cancel_child(self, attempt: str, why: str, *, now: bool = False) -> None:
        """Cancel the run that an attempt waits for."""

    async def _durably(
        self, actor: Actor, command: Callable[[Decision], object],
        *more: Callable[[Decision], object],
    ) -> None:  # fmt: skip
        """Decide commands, and return once what the first of them decided is durable."""
        written: asyncio.Future[None] = self._loop.create_future()
        self._act(actor, command, lambda: settle(written, None))
        for another in more:
            self._act(actor, another)
        await written

    def _act(
        self, actor: Actor, command: Callable[[Decision], object],
        then: Callable[[], object] | None = None,
    ) -> None:  # fmt: skip
        """Decide one command of a run and hand its events to the commit thread.

        ``then`` is called once they are durable; at once when there are none. What was
        reported before the command came is decided before it.
        """
        if self._landed:
            self._take_in()
        before, status = actor.state.seq, actor.state.status
        decision = Decision(actor.state, actor.version.playbook, actor.edge)
        try:
            command(decision)
        except Exception as error:
            self._fell(actor, status, before, error)
            raise
        if not decision.events:
            if then is not None:
                then()
            return
        appends = [self._stamp(f"config/{c.config}", 0, c) for c in self._configs.take()]
        stream = run_stream(actor.state.run)
        appends.append(Append(stream, before, decision.at, tuple(decision.events)))
        self._put(appends, self._and_end_losers(actor, then) if actor.state.marking.lost else then)
        for event in decision.events:
            if type(event) in _AT_ONCE:
                self._at_once(actor, event)
        if actor.version.has_queue_timeouts:
            self._arm(actor)

    def _fell(self, actor: Actor, status: Status, length: int, error: Exception) -> None:
        """Park a run that was left between two events: memory is ahead of the journal."""
        state, path = actor.state, actor.version.registered.path
        why = f"what follows could not be decided: {type(error).__name__}: {error}"
        del self._actors[state.run]
        self.parked[state.run] = Parked(path, why, status, length, state.parent)

    def _at_once(self, actor: Actor, event: RunEvent) -> None:
        """What follows from a decision whether or not it is durable yet."""
        if isinstance(event, AttemptFinished):
            if event.retry_at is not None:
                self._timers.at(event.retry_at, actor.state.run)
            if event.outcome in ("timed_out", "cancelled"):
                self._cancel_child(event.attempt, "waits no longer")
        elif isinstance(event, (TimerSet, StepHeld)):
            self._timers.at(event.due, actor.state.run)
        elif isinstance(event, RunFailing):
            self._cancel_below(actor)

    def _and_end_losers(
        self, actor: Actor, then: Callable[[], object] | None
    ) -> Callable[[], object]:
        """What to do once it is durable that a join has fired: end its losers, beside ``then``."""

        def both() -> None:
            if then is not None:
                then()
            self._end_losers(actor)

        return both

    def _arm(self, actor: Actor) -> None:
        """Wake the run when its next thing is due."""
        state = actor.state
        due = [*(p.at for p in state.pauses.values()), *state.timers.values()]
        if actor.version.has_queue_timeouts:
            due += self._patience(actor)
        if due:
            self._timers.at(min(due), state.run)

    def _patience(self, actor: Actor) -> Iterator[float]:
        """When each try that waits for a slot gives up."""
        for tried in actor.state.attempts.values():
            limit = actor.gives_up_at(tried)
            if limit is not None and not self._dispatch.flies(tried.attempt):
                yield limit

    def _put(self, appends: Sequence[Append], then: Callable[[], object] | None = None) -> None:
        def done(answer: list[Recorded] | Exception) -> None:
            if isinstance(answer, Exception):
                _LOG.error("an append of a run was refused: %s", answer)
                self._died()
                return
            self._committed(answer)
            if then is not None:
                then()

        self._commit.put(appends, done)

    def _stamp(self, stream: str, expected: int, *events: Any) -> Append:
        return Append(stream, expected, self._clock(), events)

    def _row(self, run: str) -> RunRow:
        row = self.journal.run(run)
        if row is None:
            raise UnknownRun(f"no run has the id {run}")
        return row

    def _live(self, run: str) -> Actor:
        actor = self._actors.get(run)
        if actor is None:
            if run in self.parked:
                raise CannotSteer(f"run {run} waits, {self.parked[run].why}: it can be cancelled")
            row = self._row(run)
            raise EngineError(f"run {run} has ended: it is {row.state}")
        return actor

    def _steerable(self, run: str, what: str) -> Actor:
        """A run that goes on; one that is ending only ends.

        Raises:
            CannotSteer: it is ending, or has ended.
        """
        actor = self._live(run)
        if actor.state.status in ENDING:
            raise CannotSteer(
                f"run {run} is {actor.state.status}: one that runs or is paused can be {what}"
            )
        return actor

    def _died(self) -> None:
        """Nothing can be written any more: stop sending, and let the owner end the process."""
        self._closed = self._draining = True
        if not self.dead.done():
            self.dead.set_exception(CommitThreadDied("the journal cannot be written"))

"""The machine under the engine: what a decision sets in motion, and what sets one in motion.

A command changes a run's state by the events it decides; those are handed to the commit
thread, and only when they are durable do their effects follow: tasks to workers, child
runs, answers to those who wait, news to subscribers. After a crash the same fold brings
every unfinished run back, and what was in flight is `lost`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from filelock import FileLock

from runtime.data.folder import DataFolder
from runtime.engine import children
from runtime.engine.catalogue import Catalogue, Version
from runtime.engine.dispatch import Dispatch
from runtime.engine.edge import Configurations, RunEdge
from runtime.engine.errors import EngineError, UnknownPlaybook, UnknownRun
from runtime.engine.prices import load_prices
from runtime.engine.queue import Ready
from runtime.engine.submit import Submit, check_overrides, full_workload
from runtime.engine.timers import Timers
from runtime.ids import run_stream
from runtime.journal.commit import Committer, CommitThreadDied
from runtime.journal.port import Append, RunRow, in_order
from runtime.journal.sqlite import SqliteJournal, SqliteReader
from runtime.net.net import NetError
from runtime.playbook.faults import PlaybookError
from runtime.run.decide import LET_RUN, Decision, Ended
from runtime.run.events import (
    AttemptFinished,
    AttemptLeased,
    AttemptScheduled,
    ConfigStored,
    ExperimentEnded,
    ExperimentPaused,
    ExperimentRamped,
    ExperimentResumed,
    ExperimentStarted,
    Fault,
    Json,
    KillSet,
    OverlayAppended,
    PlaybookRegistered,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunFailing,
    RunSubmitted,
    TimerSet,
)
from runtime.run.evolve import evolve
from runtime.run.layers import Layers
from runtime.run.state import RunState, Try, new_run
from runtime.workers.port import Pool
from runtime.workers.protocol import Report

_LOG: Final = logging.getLogger("trimtab.engine")
FOLDED: Final = ("playbook/", "config/", "overlay/", "experiment/", "kill")
"""Streams that are folded when the engine opens."""
_LAYER_EVENTS: Final = (
    OverlayAppended, ExperimentStarted, ExperimentRamped, ExperimentPaused,
    ExperimentResumed, ExperimentEnded, KillSet,
)  # fmt: skip

CANCEL_GRACE_S: Final = 2.0
ROOM_S: Final = 0.5
"""How long to wait before a full disk is tried again."""
ENDING: Final = ("failing", "cancelling")
"""States of a run in which nothing new of its flow may begin."""
UNREADABLE: Final = (PlaybookError, NetError, UnknownPlaybook)
"""What a stored version may raise once the language has moved on."""

T = TypeVar("T")
Listener = Callable[[Sequence[Recorded]], None]


@dataclass(slots=True)
class Actor:
    """A live run: its state, its version and the edge that answers for it."""

    state: RunState
    version: Version
    edge: RunEdge

    def gives_up_at(self, tried: Try) -> float | None:
        """When a try that no worker took has waited long enough, or None for never."""
        patience_s = self.version.playbook.step(tried.step).queue_timeout_s
        return None if patience_s is None else tried.at + patience_s


class Machine:
    """Actors over a journal and a pool. `runtime.engine.engine` opens it and gives it verbs."""

    def __init__(
        self, folder: DataFolder, pool: Pool, lock: FileLock, clock: Callable[[], float],
        chance: random.Random, services: Mapping[str, Json],
    ) -> None:  # fmt: skip
        self.folder, self.layers, self.catalogue = folder, Layers(), Catalogue(folder)
        self._loop = asyncio.get_running_loop()
        self._lock, self._clock, self._chance, self._pool = lock, clock, chance, pool
        self._writing = SqliteJournal(folder.journal, clock())
        self.journal: SqliteReader = self._writing.reader()
        self._commit = Committer(self._writing, self._loop, self._died, self._pump)
        self._dispatch = Dispatch(pool, folder, load_prices(folder.root), services, clock)
        self._timers = Timers(self._loop, clock, self._due)
        self._configs = Configurations()
        self._actors: dict[str, Actor] = {}
        self._keys: dict[str, asyncio.Future[str]] = {}
        self._waiters: defaultdict[str, list[asyncio.Future[RunRow]]] = defaultdict(list)
        self._listeners: list[Listener] = []
        self._leasing: set[str] = set()
        self._taken_back: set[str] = set()
        self._rate_timer: asyncio.TimerHandle | None = None
        self._closed = self._pumping = False
        self.dead: asyncio.Future[None] = self._loop.create_future()

    # ---- folding and recovery -----------------------------------------------------------

    def _fold(self) -> None:
        for recorded in in_order(self.journal, *FOLDED):
            self._fold_one(recorded)
        for published in self.journal.of_type("product.published"):
            event: Any = published.event
            self._dispatch.products.seen(event.product, event.number)

    def _fold_one(self, recorded: Recorded) -> None:
        event = recorded.event
        if isinstance(event, PlaybookRegistered):
            self.catalogue.add(event)
        elif isinstance(event, ConfigStored):
            self._configs.known[event.config] = event.effective
        elif isinstance(event, _LAYER_EVENTS):
            self.layers.evolve(event)
            if isinstance(event, ExperimentEnded) and event.reason not in LET_RUN:
                self._taken_back.add(event.experiment)

    def _recover(self) -> None:
        """Go on with every run that has not ended: what was in flight is lost."""
        for row in reversed(self.journal.runs(state="live", system=None, limit=1_000_000)):
            try:
                self._actors[row.run] = self._folded(row.run)
            except UNREADABLE as error:
                self._give_up(row, error)
                continue
            self._go_on(self._actors[row.run])
        for actor in list(self._actors.values()):
            for tried in [t for t in actor.state.attempts.values() if t.kind == "playbook"]:
                self._begin_child(actor, tried)
            if actor.state.status in ENDING:
                self._cancel_below(actor)

    def _go_on(self, actor: Actor) -> None:
        """Go on with a run after a restart."""
        self._act(actor, Decision.begin)
        for experiment in sorted(_tried_in(actor.state) & self._taken_back):
            self._act(actor, lambda d, x=experiment: d.rescue(x))  # type: ignore[misc]
        fault = Fault("lost", "the server was restarted while this ran")
        in_flight = [t.attempt for t in actor.state.attempts.values() if not t.waits_here]
        for attempt in in_flight:
            lost = Ended(attempt, "lost", fault)
            self._act(actor, lambda d, lost=lost: d.ended(lost))  # type: ignore[misc]
        self._act(actor, Decision.due)
        self._arm(actor)

    def _give_up(self, row: RunRow, error: Exception) -> None:
        """End a run whose playbook this version of the runtime cannot read any more."""
        _LOG.error("run %s is ended: %s", row.run, error)
        fault = Fault("permanent", _unreadable(row.playbook, error))
        self._put([self._stamp(run_stream(row.run), row.length, RunFailed("", fault))])

    def _folded(self, run: str) -> Actor:
        row = self._row(run)
        actor = self._actor(run, self.catalogue.get(row.playbook, row.version))
        for event, at in self.journal.story(run_stream(run)):
            evolve(actor.state, event, at)  # type: ignore[arg-type]
        return actor

    def _actor(self, run: str, version: Version) -> Actor:
        self._limit(version.registered.path)
        edge = RunEdge(version, self.layers, self._configs, self.folder, self._clock, self._chance)
        return Actor(new_run(run, version.net), version, edge)

    def _limit(self, path: str) -> None:
        """Make a playbook's limits known: those of its newest version that can be read."""
        for version in reversed(self.catalogue.versions(path)):
            try:
                self._dispatch.ready.limit(version.limits)
            except UNREADABLE:
                continue
            return

    # ---- beginning ----------------------------------------------------------------------

    def _submitted(
        self, version: Version, request: Submit, parent: Try | None = None, depth: int = 0
    ) -> RunSubmitted:
        """The first event of a run.

        Raises:
            BadWorkload, BadOverride: the request does not fit the playbook.
        """
        workload = full_workload(version.playbook, request.workload)
        check_overrides(version, request.overrides)
        named = version.registered
        return RunSubmitted(
            named.path, named.version, named.number, workload, request.actor, request.key,
            request.overrides, request.labels, request.priority, request.system,
            parent.attempt if parent is not None else None, depth,
            children.pins(version.playbook, self.catalogue),
        )  # fmt: skip

    def _begin(
        self, run: str, version: Version, submitted: RunSubmitted,
        written: Callable[[str], object] = lambda _: None,
    ) -> None:  # fmt: skip
        """Write a run down and let it start; ``written`` is told once that is durable."""
        actor = self._actor(run, version)
        self._actors[run] = actor
        evolve(actor.state, submitted, self._clock())
        self._put([self._stamp(run_stream(run), 0, submitted)], lambda: written(run))
        self._act(actor, Decision.begin)

    async def _go_on_from(self, run: str, version: Version, made: Sequence[RunEvent]) -> None:
        """Write a forked run's history down and go on from it."""
        actor = self._actor(run, version)
        self._actors[run] = actor
        for event in made:
            evolve(actor.state, event, self._clock())
        written: asyncio.Future[None] = self._loop.create_future()
        append = self._stamp(run_stream(run), 0, *made)
        self._put([append], lambda: settle(written, None))
        await written
        fault = Fault("lost", "it was in flight where the run was forked")
        for tried in [t for t in actor.state.attempts.values() if not t.waits_here]:
            self._act(actor, lambda d, a=tried.attempt: d.ended(Ended(a, "lost", fault)))  # type: ignore[misc]
        self._act(actor, Decision.begin)
        self._act(actor, Decision.due)
        self._arm(actor)

    def _copy_scratch(self, run: str, new: str) -> None:
        """Copy a run's scratch folder for the run that goes on from it."""
        if self.folder.run(run).is_dir():
            shutil.copytree(self.folder.run(run), self.folder.run(new), dirs_exist_ok=True)

    def _begin_child(self, actor: Actor, tried: Try) -> None:
        """Start the run that an attempt asks for, unless it was; hear its end if it has ended."""
        run = children.child_id(tried.attempt)
        if run in self._actors:
            return
        try:
            if self.journal.run(run) is not None:
                self._child_ended(self._folded(run).state)
                return
            wanted = children.request(actor.state, tried, actor.version)
            version = self.catalogue.get(wanted.playbook, wanted.version)
            depth = actor.state.depth + 1
            self._begin(run, version, self._submitted(version, wanted, tried, depth))
        except EngineError as error:
            fault = Fault("permanent", str(error))
            self._act(actor, lambda d: d.ended(Ended(tried.attempt, "failed", fault)))
        except UNREADABLE as error:
            fault = Fault("permanent", _unreadable(str(_path_of(tried)), error))
            self._act(actor, lambda d: d.ended(Ended(tried.attempt, "failed", fault)))

    def _child_ended(self, child: RunState) -> None:
        """Tell the attempt that waits for a run how it ended."""
        if child.parent is None:
            return
        run, attempt = children.parent_of(child.parent)
        actor = self._actors.get(run)
        if actor is not None:
            self._act(actor, lambda d: d.ended(children.ended(attempt, child)))

    def _cancel(
        self, actor: Actor, who: str, reason: str, then: Callable[[], object] | None = None
    ) -> None:
        """Ask a run and the runs below it to end; ``then`` is called once that is durable."""
        self._act(actor, lambda d: d.cancel(who, reason), then)
        self._cancel_below(actor)
        self._loop.call_later(CANCEL_GRACE_S, self._end_flights, actor.state.run)

    def _cancel_below(self, actor: Actor) -> None:
        """Cancel the runs that a run which is ending waits for; not those that end it."""
        for tried in list(actor.state.attempts.values()):
            if tried.kind == "playbook" and tried.step not in actor.version.net.beside:
                self._cancel_child(tried.attempt, f"is {actor.state.status}")

    def _cancel_child(self, attempt: str, why: str) -> None:
        child = self._actors.get(children.child_id(attempt))
        if child is not None and not child.state.ended:
            run, _ = children.parent_of(attempt)
            self._cancel(child, f"run {run}", f"run {run} {why}")

    # ---- deciding and committing --------------------------------------------------------

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

        ``then`` is called once they are durable; at once when there are none.
        """
        before = actor.state.seq
        decision = Decision(actor.state, actor.version.playbook, actor.edge)
        command(decision)
        if not decision.events:
            if then is not None:
                then()
            return
        appends = [self._stamp(f"config/{c.config}", 0, c) for c in self._configs.take()]
        stream = run_stream(actor.state.run)
        appends.append(Append(stream, before, decision.at, tuple(decision.events)))
        self._put(appends, then)
        for event in decision.events:
            if isinstance(event, AttemptFinished):
                if event.retry_at is not None:
                    self._timers.at(event.retry_at, actor.state.run)
                if event.outcome == "timed_out":
                    self._cancel_child(event.attempt, "waits no longer")
            elif isinstance(event, TimerSet):
                self._timers.at(event.due, actor.state.run)
            elif isinstance(event, RunFailing):
                self._cancel_below(actor)
        if actor.version.has_queue_timeouts:
            self._arm(actor)

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

    def _committed(self, recorded: Sequence[Recorded]) -> None:
        """The effects of what is now durable."""
        for r in recorded:
            event = r.event
            if isinstance(event, AttemptScheduled):
                self._queue(r.stream[4:], event.attempt)
            elif isinstance(event, AttemptLeased):
                self._queue(r.stream[4:], event.attempt, first=True)
            elif isinstance(event, RunCompleted | RunFailed | RunCancelled):
                self._ended(r.stream[4:])
            else:
                self._fold_one(r)
        self._tell(recorded)
        for r in recorded:
            if isinstance(r.event, ExperimentEnded) and r.event.reason not in LET_RUN:
                self._rescue(r.event.experiment)

    def _queue(self, run: str, attempt: str, *, first: bool = False) -> None:
        """Let a durable attempt wait for a worker, unless it waits for something else."""
        actor = self._actors.get(run)
        tried = actor.state.attempts.get(attempt) if actor is not None else None
        if actor is None or tried is None:
            return
        if tried.waits_here:
            if tried.kind == "playbook" and not self._withholds(actor, tried):
                self._begin_child(actor, tried)
            return
        uses = actor.version.uses(tried.step)
        pace = self._dispatch.pace(actor.version, tried.step)
        ready = Ready(run, attempt, actor.state.priority, uses, pace)
        self._dispatch.ready.put(ready, first=first)

    def _tell(self, recorded: Sequence[Recorded]) -> None:
        for listener in list(self._listeners):
            try:
                listener(recorded)
            except Exception:
                _LOG.exception("a listener failed on %s", recorded[0].stream)

    def _rescue(self, experiment: str) -> None:
        for actor in list(self._actors.values()):
            self._act(actor, lambda d: d.rescue(experiment))

    def _ended(self, run: str) -> None:
        actor = self._actors.pop(run, None)
        if actor is not None:
            self._child_ended(actor.state)
        for future in self._waiters.pop(run, []):
            if not future.done():
                future.set_result(self._row(run))

    # ---- workers ------------------------------------------------------------------------

    def _pump(self) -> None:
        """Send what is ready to workers that have room."""
        queue = self._dispatch.ready
        while not self._closed:
            ready, again = queue.next(self._clock(), self._dispatch.fits)
            if ready is None:
                self._look_again(again)
                break
            actor = self._actors.get(ready.run)
            try:
                if actor is None or not self._send(actor, ready.attempt):
                    queue.done(ready.attempt)
            except OSError as error:
                self._wait_for_room(ready, error)
                break
        self._dispatch.flush()

    def _wait_for_room(self, ready: Ready, error: OSError) -> None:
        """A run's folder or its code cannot be written: it stays first, and is sent later."""
        _LOG.warning("%s is not sent yet: %s", ready.attempt, error)
        self._dispatch.ready.done(ready.attempt)
        self._dispatch.ready.put(ready, first=True)
        self._look_again(self._clock() + ROOM_S)

    def _pump_soon(self) -> None:
        """Send what is ready, once for all reports that came together."""
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump_now)

    def _pump_now(self) -> None:
        self._pumping = False
        self._pump()

    def _look_again(self, at: float) -> None:
        """Look at the queue again when a rate lets the next one pass."""
        if at == math.inf or self._rate_timer is not None:
            return

        def look() -> None:
            self._rate_timer = None
            self._dispatch.ready.retry()
            self._pump()

        self._rate_timer = self._loop.call_later(max(at - self._clock(), 0.0), look)

    def _send(self, actor: Actor, attempt: str) -> bool:
        """Give an attempt to a worker; False when it is not one to send, or not yet."""
        tried = actor.state.attempts.get(attempt)
        if tried is None:
            return False
        if self._withholds(actor, tried):
            return False
        if actor.version.playbook.step(tried.step).effect == "once" and not tried.leased:
            self._lease(actor, attempt, tried.step)
            return False
        fault = self._dispatch.send(actor.state, actor.version, actor.edge, tried)
        if fault is not None:
            self._act(actor, lambda d: d.ended(Ended(attempt, "failed", fault)))
        return fault is None

    def _withholds(self, actor: Actor, tried: Try) -> bool:
        """Whether a run that is ending keeps a try back; it is then over."""
        ending = actor.state.status in ENDING
        if not ending or tried.step in actor.version.net.beside:
            return False
        self._act(actor, lambda d: d.ended(_withheld(tried.attempt)))
        return True

    def _lease(self, actor: Actor, attempt: str, step: str) -> None:
        """Write that a worker may act, before it does: its effect happens at most once."""
        if attempt in self._leasing:
            return
        self._leasing.add(attempt)
        before, leased = actor.state.seq, AttemptLeased(attempt, step, "")
        evolve(actor.state, leased, self._clock())
        stream = run_stream(actor.state.run)
        self._put([self._stamp(stream, before, leased)], lambda: self._leasing.discard(attempt))

    def _report(self, worker: str, report: Report) -> None:
        landed = self._dispatch.landed(worker, report)
        if landed is None:
            return
        run, ended = landed
        actor = self._actors.get(run)
        if actor is not None:
            self._act(actor, lambda d: d.ended(ended))
        self._pump_soon()

    def _due(self, run: str) -> None:
        actor = self._actors.get(run)
        if actor is None:
            return
        self._act(actor, Decision.due)
        for tried in list(actor.state.attempts.values()):
            why = self._overdue(actor, tried)
            if why and not self._dispatch.kill(tried.attempt, "timed_out"):
                ended = Ended(tried.attempt, "timed_out", Fault("timeout", why))
                self._act(actor, lambda d, ended=ended: d.ended(ended))  # type: ignore[misc]
        self._arm(actor)

    def _overdue(self, actor: Actor, tried: Try) -> str:
        """Why a try has no time left, or nothing."""
        beside = tried.step in actor.version.net.beside
        if actor.state.status == "failing" and not actor.state.fault_step and not beside:
            return "the run's deadline has passed"
        if tried.step in actor.state.expired:
            return "total_timeout has passed"
        limit = actor.gives_up_at(tried)
        if limit is None or limit > self._clock() or self._dispatch.flies(tried.attempt):
            return ""
        return f"no slot was free for {limit - tried.at:g} s (queue_timeout)"

    def _end_flights(self, run: str) -> None:
        """End what a cancelled run still has in flight, less what runs because it ends."""
        actor = self._actors.get(run)
        if actor is None:
            return
        for tried in list(actor.state.attempts.values()):
            if tried.step in actor.version.net.beside:
                continue
            if tried.kind == "playbook" and children.child_id(tried.attempt) in self._actors:
                continue
            if not self._dispatch.kill(tried.attempt, "cancelled"):
                gone = tried.attempt
                self._act(actor, lambda d, gone=gone: d.ended(_withheld(gone)))  # type: ignore[misc]

    # ---- small things -------------------------------------------------------------------

    def _row(self, run: str) -> RunRow:
        row = self.journal.run(run)
        if row is None:
            raise UnknownRun(f"no run has the id {run}")
        return row

    def _live(self, run: str) -> Actor:
        actor = self._actors.get(run)
        if actor is None:
            row = self._row(run)
            raise EngineError(f"run {run} has ended: it is {row.state}")
        return actor

    def _died(self) -> None:
        """Nothing can be written any more: stop sending, and let the owner end the process."""
        self._closed = True
        if not self.dead.done():
            self.dead.set_exception(CommitThreadDied("the journal cannot be written"))


def settle(future: asyncio.Future[T], value: T) -> None:
    """Give a future its result, unless whoever waited has left."""
    if not future.done():
        future.set_result(value)


def _tried_in(state: RunState) -> set[str]:
    """The experiments that blocks of a run's unfinished steps were drawn for."""
    blocks = (block for _, each in state.active_each() for block in each.blocks)
    return {block.experiment for block in blocks if block.experiment is not None}


def _path_of(tried: Try) -> Json:
    return (tried.args or {}).get("tool", {}).get("path", "")


def _unreadable(path: str, error: Exception) -> str:
    return f"its version of {path} can no longer be read: {str(error)[:2000]}"


def _withheld(attempt: str) -> Ended:
    return Ended(attempt, "cancelled", Fault("cancelled", "the run was ending before it began"))

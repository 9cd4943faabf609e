"""The engine: one actor a run, over one journal and one pool.

Everything happens on the loop's thread. A command changes a run's state by the events it
decides; those are handed to the commit thread, and only when they are durable do their
effects follow: tasks to workers, answers to those who wait, news to subscribers. After a
crash the same fold brings every unfinished run back, and what was in flight is `lost`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from filelock import FileLock, Timeout

from runtime.data.folder import DataFolder
from runtime.data.objects import Objects
from runtime.engine.catalogue import Catalogue, Version
from runtime.engine.dispatch import Dispatch
from runtime.engine.edge import Configurations, RunEdge
from runtime.engine.errors import EngineError, KeyConflict, UnknownLimit, UnknownRun
from runtime.engine.prices import load_prices
from runtime.engine.queue import Ready
from runtime.engine.submit import Submit, check_overrides, full_workload
from runtime.engine.timers import Timers
from runtime.ids import new_id, run_stream
from runtime.journal.commit import Committer, CommitThreadDied
from runtime.journal.port import Append, FolderInUse, RunRow, StreamMoved, in_order
from runtime.journal.sqlite import ENDED, SqliteJournal, SqliteReader
from runtime.playbook.bundle import Bundle
from runtime.playbook.model import Limit
from runtime.run.decide import LET_RUN, Decision, Ended
from runtime.run.events import (
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
    RunSubmitted,
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


class Engine:
    """Runs playbooks. Open it with `open`; use it from the loop it was opened on."""

    def __init__(
        self, folder: DataFolder, pool: Pool, lock: FileLock, clock: Callable[[], float],
        chance: random.Random, services: Mapping[str, Json],
    ) -> None:  # fmt: skip
        self.folder, self.layers, self.catalogue = folder, Layers(), Catalogue(folder)
        self._loop = asyncio.get_running_loop()
        self._lock, self._clock, self._chance, self._pool = lock, clock, chance, pool
        self._writing = SqliteJournal(folder.journal, clock())
        self.journal: SqliteReader = self._writing.reader()
        self._commit = Committer(self._writing, self._loop, self._died)
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
        self._closed = False
        self.dead: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def open(
        cls, folder: DataFolder, pool: Pool, *, clock: Callable[[], float] = time.time,
        chance: random.Random | None = None, services: Mapping[str, Json] | None = None,
        limits: Mapping[str, Limit] | None = None,
    ) -> Engine:  # fmt: skip
        """Take the data folder, fold what it holds, and go on with every unfinished run.

        ``limits`` are those of the whole installation, for any playbook's steps to use.

        Raises:
            FolderInUse: another process owns the folder.
        """
        folder.prepare()
        lock = FileLock(folder.lock)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise FolderInUse(
                f"{folder.root} is in use by another process (see server.json in it)"
            ) from None
        Objects(folder.objects).sweep()
        engine = cls(folder, pool, lock, clock, chance or random.SystemRandom(), services or {})
        engine._dispatch.ready.limit(limits or {})
        engine._fold()
        pool.start(engine._loop, engine._report)
        engine._recover()
        return engine

    # ---- verbs --------------------------------------------------------------------------

    async def register(self, bundle: Bundle, actor: str) -> PlaybookRegistered:
        """Enter a playbook in the catalogue; the same bundle again is the same version."""
        versions = self.catalogue.versions(bundle.path)
        for known in versions:
            if known.registered.version == bundle.version:
                return known.registered
        registered = PlaybookRegistered(
            bundle.path, bundle.version, len(versions) + 1, bundle.source, dict(bundle.files),
            actor, bundle.playbook.description, dict(bundle.playbook.labels),
        )  # fmt: skip
        version = Version(registered, self.folder)
        version.net  # noqa: B018  # refuses an unsound net before it is written
        self._know_limits(version)
        await self.append([self._stamp(f"playbook/{bundle.path}", len(versions), registered)])
        return registered

    def _know_limits(self, version: Version) -> None:
        """Refuse a playbook that uses a limit which neither it nor this installation has."""
        for step in version.playbook.steps:
            for name in version.uses(step.name):
                if not self._dispatch.ready.knows(name) and name not in version.limits:
                    raise UnknownLimit(f"{step.name} uses {name}, and no limit has that name")

    async def submit(self, request: Submit) -> str:
        """Write a run down and start it; returns its id once that is durable.

        Raises:
            UnknownPlaybook, BadWorkload, BadOverride, KeyConflict: nothing was written.
        """
        version = self.catalogue.get(request.playbook, request.version)
        workload = full_workload(version.playbook, request.workload)
        check_overrides(version, request.overrides)
        if request.key is not None:
            known = await self._same_key(request, workload)
            if known is not None:
                return known
        run = new_id(self._clock(), self._chance.getrandbits(80))
        named = version.registered
        submitted = RunSubmitted(
            named.path, named.version, named.number, workload, request.actor, request.key,
            request.overrides, request.labels, request.priority, request.system,
        )  # fmt: skip
        written: asyncio.Future[str] = self._loop.create_future()
        if request.key is not None:
            self._keys[request.key] = written
        actor = self._actor(run, version)
        self._actors[run] = actor
        evolve(actor.state, submitted, self._clock())
        self._put([self._stamp(run_stream(run), 0, submitted)], lambda: written.set_result(run))
        self._act(actor, Decision.begin)
        await written
        self._keys.pop(request.key or "", None)
        return run

    async def append(self, appends: Sequence[Append]) -> list[Recorded]:
        """Write events of other streams than runs, durably, all or nothing.

        Raises:
            StreamMoved: a stream is not where it was expected; nothing was written.
        """
        written: asyncio.Future[list[Recorded]] = self._loop.create_future()

        def done(answer: list[Recorded] | Exception) -> None:
            if isinstance(answer, Exception):
                written.set_exception(answer)
                return
            self._committed(answer)
            written.set_result(answer)

        self._commit.put(appends, done)
        return await written

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear of every committed event from now on, in order; returns how to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def cancel(self, run: str, actor: str, reason: str = "") -> None:
        """Ask a run to end: nothing new fires, and after a grace what runs is ended."""
        live = self._live(run)
        self._act(live, lambda d: d.cancel(actor, reason))
        self._loop.call_later(CANCEL_GRACE_S, self._end_flights, run)

    async def pause(self, run: str, actor: str, reason: str = "") -> None:
        """Let nothing new of a run fire."""
        self._act(self._live(run), lambda d: d.pause(actor, reason))

    async def resume(self, run: str, actor: str) -> None:
        """Let a paused run go on."""
        live = self._live(run)
        self._act(live, lambda d: d.resume(actor))
        self._act(live, Decision.due)

    async def signal(self, run: str, name: str, value: Json, actor: str) -> None:
        """Send a signal: the step that waits for it goes on, or the next that will."""
        self._act(self._live(run), lambda d: d.signal(name, value, actor))

    async def approve(
        self, run: str, step: str, *, approved: bool, actor: str, note: str = ""
    ) -> None:
        """Answer an ``approval`` step: yes lets it succeed, no fails it (class permanent)."""
        value = {"approved": approved, "by": actor, "note": note}
        await self.signal(run, f"approval:{step}", value, actor)

    async def wait(self, run: str) -> RunRow:
        """Return the run's line once it has ended."""
        row = self._row(run)
        if row.state in ENDED:
            return row
        future: asyncio.Future[RunRow] = self._loop.create_future()
        self._waiters[run].append(future)
        return await future

    def state(self, run: str) -> RunState:
        """The state of a run: live, or folded from the journal."""
        if run in self._actors:
            return self._actors[run].state
        return self._folded(run).state

    def values(self, run: str) -> dict[str, Json]:
        """What each finished step of a run gave."""
        steps = self.state(run).steps.items()
        return {name: s.value for name, s in steps if s.status in ("done", "failed")}

    def version_of(self, run: str) -> Version:
        """The playbook version a run runs."""
        row = self._row(run)
        return self.catalogue.get(row.playbook, row.version)

    @property
    def status(self) -> dict[str, Json]:
        """What the engine is doing, for people and probes."""
        return {
            "runs": len(self._actors), "ready": len(self._dispatch.ready),
            "in_flight": self._dispatch.in_flight, "stalled": self._commit.stalled,
            "writer": self._writing.writer, "commits": self._writing.commits,
            "workers": self._pool.workers(),
        }  # fmt: skip

    async def close(self, grace_s: float = 2.0) -> None:
        """Stop: unfinished runs go on at the next start."""
        if self._closed:
            return
        self._closed = True
        self._timers.close()
        if self._rate_timer is not None:
            self._rate_timer.cancel()
        await self._pool.stop(grace_s)
        await self._loop.run_in_executor(None, self._commit.close)
        await asyncio.sleep(0)
        self.journal.close()
        self._writing.close()
        self._lock.release()

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
            self._dispatch.ready.limit(self.catalogue.latest(event.path).limits)
        elif isinstance(event, ConfigStored):
            self._configs.known[event.config] = event.effective
        elif isinstance(event, _LAYER_EVENTS):
            self.layers.evolve(event)
            if isinstance(event, ExperimentEnded) and event.reason not in LET_RUN:
                self._taken_back.add(event.experiment)

    def _recover(self) -> None:
        """Go on with every run that has not ended: what was in flight is lost."""
        for row in reversed(self.journal.runs(state="live", system=None, limit=1_000_000)):
            actor = self._folded(row.run)
            self._actors[row.run] = actor
            self._act(actor, Decision.begin)
            for experiment in sorted(_tried_in(actor.state) & self._taken_back):
                self._act(actor, lambda d, x=experiment: d.rescue(x))  # type: ignore[misc]
            fault = Fault("lost", "the server was restarted while this ran")
            in_flight = [t.attempt for t in actor.state.attempts.values() if not t.waits_here]
            for attempt in in_flight:
                lost = Ended(attempt, "lost", fault)
                self._act(actor, lambda d, lost=lost: d.ended(lost))  # type: ignore[misc]
            self._act(actor, Decision.due)

    def _folded(self, run: str) -> Actor:
        row = self._row(run)
        actor = self._actor(run, self.catalogue.get(row.playbook, row.version))
        for recorded in self.journal.read(run_stream(run)):
            evolve(actor.state, recorded.event, recorded.at)  # type: ignore[arg-type]
        return actor

    def _actor(self, run: str, version: Version) -> Actor:
        edge = RunEdge(version, self.layers, self._configs, self.folder, self._clock, self._chance)
        return Actor(new_run(run, version.net), version, edge)

    # ---- deciding and committing --------------------------------------------------------

    def _act(self, actor: Actor, command: Callable[[Decision], object]) -> None:
        """Decide one command of a run and hand its events to the commit thread."""
        before = actor.state.seq
        decision = Decision(actor.state, actor.version.playbook, actor.edge)
        command(decision)
        if not decision.events:
            return
        appends = [self._stamp(f"config/{c.config}", 0, c) for c in self._configs.take()]
        stream = run_stream(actor.state.run)
        appends.append(Append(stream, before, decision.at, tuple(decision.events)))
        self._put(appends)
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

    def _put(self, appends: Sequence[Append], then: Callable[[], None] | None = None) -> None:
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
        self._pump()

    def _queue(self, run: str, attempt: str, *, first: bool = False) -> None:
        """Let a durable attempt wait for a worker, unless it waits for something else."""
        actor = self._actors.get(run)
        tried = actor.state.attempts.get(attempt) if actor is not None else None
        if actor is None or tried is None or tried.waits_here:
            return
        uses = actor.version.uses(tried.step)
        self._dispatch.ready.put(Ready(run, attempt, actor.state.priority, uses), first=first)

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
        self._actors.pop(run, None)
        for future in self._waiters.pop(run, []):
            if not future.done():
                future.set_result(self._row(run))

    # ---- workers ------------------------------------------------------------------------

    def _pump(self) -> None:
        """Send what is ready to free workers."""
        queue = self._dispatch.ready
        while not self._closed and self._dispatch.free() > 0:
            ready, again = queue.next(self._clock())
            if ready is None:
                self._look_again(again)
                return
            actor = self._actors.get(ready.run)
            if actor is None or not self._send(actor, ready.attempt):
                queue.done(ready.attempt)

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
        ending = actor.state.status in ("failing", "cancelling")
        if ending and tried.step not in actor.version.net.beside:
            self._act(actor, lambda d: d.ended(_withheld(attempt)))
            return False
        if actor.version.playbook.step(tried.step).effect == "once" and not tried.leased:
            self._lease(actor, attempt, tried.step)
            return False
        fault = self._dispatch.send(actor.state, actor.version, actor.edge, tried)
        if fault is not None:
            self._act(actor, lambda d: d.ended(Ended(attempt, "failed", fault)))
        return fault is None

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
        self._pump()

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
        if actor.state.status == "failing" and not actor.state.fault_step:
            return "the run's deadline has passed"
        if tried.step in actor.state.expired:
            return "total_timeout has passed"
        limit = actor.gives_up_at(tried)
        if limit is None or limit > self._clock() or self._dispatch.flies(tried.attempt):
            return ""
        return f"no slot was free for {limit - tried.at:g} s (queue_timeout)"

    def _end_flights(self, run: str) -> None:
        actor = self._actors.get(run)
        for attempt in list(actor.state.attempts) if actor is not None else []:
            if not self._dispatch.kill(attempt, "cancelled") and actor is not None:
                gone = attempt
                self._act(actor, lambda d, gone=gone: d.ended(_withheld(gone)))  # type: ignore[misc]

    # ---- small things -------------------------------------------------------------------

    async def _same_key(self, request: Submit, workload: dict[str, Json]) -> str | None:
        """The run that was submitted under this key, or None."""
        key = str(request.key)
        if key in self._keys:
            await asyncio.shield(self._keys[key])
        row = self.journal.run_by_key(key)
        if row is None:
            return None
        first = self.journal.event(run_stream(row.run), 1)
        event = first.event if first is not None else None
        asked = (request.playbook, workload, request.overrides)
        if isinstance(event, RunSubmitted) and asked == (
            event.playbook, event.workload, event.overrides,
        ):  # fmt: skip
            return row.run
        raise KeyConflict(f"key {key} was used for another request (run {row.run})")

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


def _tried_in(state: RunState) -> set[str]:
    """The experiments that blocks of a run's unfinished steps were drawn for."""
    blocks = (block for _, each in state.active_each() for block in each.blocks)
    return {block.experiment for block in blocks if block.experiment is not None}


def _withheld(attempt: str) -> Ended:
    return Ended(attempt, "cancelled", Fault("cancelled", "the run was ending before it began"))


__all__ = ["Engine", "Listener", "RunEvent", "StreamMoved", "Submit"]

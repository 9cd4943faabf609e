"""The engine: runs playbooks, one actor a run, over one journal and one pool.

Everything happens on the thread of the loop that it was opened on.
"""

from __future__ import annotations

import asyncio
import gc
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from runtime.data.folder import DataFolder
from runtime.data.store import FolderStore
from runtime.engine.actor import Actor, Listener, settle
from runtime.engine.branching import Branching, Retried, Wanted
from runtime.engine.catalogue import Version
from runtime.engine.errors import Draining, KeyConflict, NotWaiting, UnknownHardware, UnknownLimit
from runtime.engine.hardware import Hardware
from runtime.engine.pinning import pin
from runtime.engine.submit import Submit
from runtime.ids import new_id, run_stream
from runtime.journal.port import Append, FolderInUse, RunRow, StreamMoved
from runtime.journal.sqlite import ENDED, SqliteReader
from runtime.net.faults import refuse_flow
from runtime.net.net import Net
from runtime.playbook.bundle import Bundle
from runtime.playbook.model import Limit
from runtime.run.decide import Decision
from runtime.run.ending import APPROVAL
from runtime.run.events import (
    Json,
    PlaybookRegistered,
    Recorded,
    RunEvent,
    RunSubmitted,
    StepCleared,
)
from runtime.run.evolve import evolve
from runtime.run.state import RunState, new_run
from runtime.workers.limits import Limits as AttemptLimits
from runtime.workers.port import Pool
from runtime.workers.protocol import Progress

_GARBAGE: Final = (10_000, 10, 10)
"""Runs are thousands of small values that last, with hardly a cycle: cycles are sought seldom.

With the interpreter's own threshold of 700 a sixth of a step's time went into the search.
"""


def seek_cycles_seldom() -> None:
    """Have this process look for cycles no oftener than `_GARBAGE`; its own choice may be less."""
    if 0 < gc.get_threshold()[0] < _GARBAGE[0]:
        gc.set_threshold(*_GARBAGE)


class Engine(Branching):
    """Runs playbooks. Open it with `open`; use it from the loop it was opened on."""

    @classmethod
    async def open(
        cls, folder: DataFolder, pool: Pool, *, clock: Callable[[], float] = time.time,
        chance: random.Random | None = None, services: Mapping[str, Json] | None = None,
        limits: Mapping[str, Limit] | None = None, attempt: AttemptLimits | None = None,
    ) -> Engine:  # fmt: skip
        """Take the data folder, fold what it holds, and go on with every unfinished run.

        ``limits`` are those of the whole installation, for any playbook's steps to use;
        ``attempt`` is what one attempt may take where its step does not say.

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
        FolderStore(folder.objects).sweep(math.inf)
        folder.sweep()
        seek_cycles_seldom()
        engine = cls(
            folder, pool, lock, clock, chance or random.SystemRandom(), services or {},
            attempt or AttemptLimits(),
        )  # fmt: skip
        engine._dispatch.ready.limit(limits or {})
        engine._fold()
        pool.start(engine._loop, engine._report, engine._pump_soon)
        engine._recover()
        return engine

    # ---- verbs --------------------------------------------------------------------------

    async def register(self, bundle: Bundle, actor: str) -> PlaybookRegistered:
        """Enter a playbook in the catalogue as its newest version.

        The newest bundle again changes nothing; an older one again, after an edit was taken
        back say, is the newest once more, under a new number.

        Raises:
            PlaybookFaults: a run of it could not end properly.
            UnknownLimit: it uses a limit that nobody has declared.
            UnknownHardware: it asks for a class of workers that is not there.
        """
        versions = self.catalogue.versions(bundle.path)
        if versions and versions[-1].registered.version == bundle.version:
            return versions[-1].registered
        registered = PlaybookRegistered(
            bundle.path, bundle.version, len(versions) + 1, bundle.source, dict(bundle.files),
            actor, bundle.playbook.description, dict(bundle.playbook.labels),
        )  # fmt: skip
        refuse_flow(bundle.playbook, bundle.name)
        self._know_limits(Version(registered, self.folder))
        self._know_hardware(bundle)
        await self.append([self._stamp(f"playbook/{bundle.path}", len(versions), registered)])
        self._limit(bundle.path)
        return registered

    def _know_limits(self, version: Version) -> None:
        """Refuse a playbook that uses a limit which neither it nor this installation has."""
        for step in (*version.playbook.steps, *version.playbook.finally_):
            for name in version.uses(step.name):
                if not self._dispatch.ready.knows(name) and name not in version.limits:
                    raise UnknownLimit(f"{step.name} uses {name}, and no limit has that name")

    def _know_hardware(self, bundle: Bundle) -> None:
        """Refuse a playbook of which a step could only wait for workers that are not there."""
        self._dispatch.look_at_hardware()
        for step in (*bundle.playbook.steps, *bundle.playbook.finally_):
            if why := self._dispatch.hardware.why_not(step.runs_on):
                raise UnknownHardware(f"{step.name} cannot run: {why}")

    @property
    def hardware(self) -> Hardware:
        """The classes of workers that there are now."""
        return self._dispatch.hardware

    def look_at_hardware(self) -> None:
        """Take a changed catalogue, and send what its slots held back so far."""
        self._dispatch.look_at_hardware()
        self._pump_soon()

    async def submit(self, request: Submit) -> str:
        """Write a run down and start it; returns its id once that is durable.

        Raises:
            UnknownPlaybook, BadWorkload, BadOverride, KeyConflict: nothing was written.
            Draining: the engine is about to close.
        """
        if self._draining:
            raise Draining("the server is ending and takes no more runs; submit again later")
        version = self.catalogue.get(request.playbook, request.version)
        submitted = self._submitted(version, request)
        await pin(self.folder, submitted.workload)
        if request.key is not None:
            known = await self._same_key(request, submitted.workload)
            if known is not None:
                return known
        run = new_id(self._clock(), self._chance.getrandbits(80))
        written: asyncio.Future[str] = self._loop.create_future()
        if request.key is not None:
            self._keys[request.key] = written

        def begun(run: str) -> None:
            self._keys.pop(request.key or "", None)
            settle(written, run)

        self._begin(run, version, submitted, begun)
        return await asyncio.shield(written)

    async def append(self, appends: Sequence[Append]) -> list[Recorded]:
        """Write events of other streams than runs, durably, all or nothing.

        Raises:
            StreamMoved: a stream is not where it was expected; nothing was written.
            Gone: a value that an event refers to was collected; nothing was written.
        """
        await pin(self.folder, [event for append in appends for event in append.events])
        written: asyncio.Future[list[Recorded]] = self._loop.create_future()

        def done(answer: list[Recorded] | Exception) -> None:
            if isinstance(answer, Exception):
                if not written.done():
                    written.set_exception(answer)
                return
            self._committed(answer)
            settle(written, answer)

        self._commit.put(appends, done)
        return await written

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hear of every committed event from now on, in order; returns how to stop."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def cancel(self, run: str, actor: str, reason: str = "", *, now: bool = False) -> None:
        """Ask a run and all below it to end: nothing new fires, after a grace what runs is ended.

        With ``now`` there is no grace, and what it does because it is ending is ended too.
        A run that is parked ends at once, and does nothing because of it.
        To cancel again changes nothing, unless it is ``now``.
        """
        if run in self.parked:
            self._end_parked(run, actor, reason)
            await self.wait(run)
            return
        if run not in self._actors and self._row(run).state == "cancelled":
            return
        written: asyncio.Future[None] = self._loop.create_future()
        done = lambda: settle(written, None)  # noqa: E731
        self._cancel(self._live(run), actor, reason, done, now=now)
        await written

    async def pause(self, run: str, actor: str, reason: str = "") -> None:
        """Let nothing new of a run fire.

        Raises:
            CannotSteer: it is ending already.
        """
        live = self._steerable(run, "paused")
        await self._durably(live, lambda d: d.pause(actor, reason))

    async def resume(self, run: str, actor: str, reason: str = "") -> None:
        """Let a paused run go on.

        Raises:
            CannotSteer: it is ending already.
        """
        live = self._steerable(run, "resumed")
        rescues = self._rescues(live)
        await self._durably(live, lambda d: d.resume(actor, reason), *rescues, Decision.due)

    async def signal(self, run: str, name: str, value: Json, actor: str, reason: str = "") -> None:
        """Send a signal: the step that waits for it goes on, or the next that will.

        Raises:
            NotWaiting: the name is that of an approval, which has to be answered.
            CannotSteer: the run is ending already.
        """
        if name.startswith(APPROVAL):
            raise NotWaiting(f"{name} is no signal: {name.removeprefix(APPROVAL)} is answered")
        await pin(self.folder, value)
        live = self._steerable(run, "sent a signal")
        await self._durably(live, lambda d: d.signal(name, value, actor, reason))

    async def approve(
        self, run: str, step: str, *, approved: bool, actor: str, note: str = ""
    ) -> None:
        """Answer an ``approval`` step: yes lets it succeed, no fails it (class permanent).

        Raises:
            NotWaiting: the step asks nothing now; an answer is never kept for later.
        """
        live = self.asks(run, step)
        value = {"approved": approved, "by": actor, "note": note}
        await self._durably(live, lambda d: d.signal(APPROVAL + step, value, actor, note))

    def asks(self, run: str, step: str) -> Actor:
        """Return the run whose step asks for an answer now.

        Raises:
            NotWaiting: it asks nothing.
        """
        live = self._live(run)
        asking = [t.step for t in live.state.attempts.values() if t.kind == "approval"]
        if step not in asking:
            instead = f"it asks in {', '.join(sorted(asking))}" if asking else "it asks nothing"
            raise NotWaiting(f"{step} of run {run} waits for no answer: {instead}")
        return live

    async def wait(self, run: str) -> RunRow:
        """Return the run's line once it has ended."""
        if run not in self._actors:
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

    def said(self, run: str) -> dict[str, Progress]:
        """What running attempts of a run told of their progress last, by attempt."""
        every = self._pool.said()
        return {attempt: said for attempt, said in every.items() if attempt.startswith(f"{run}/")}

    def values(self, run: str) -> dict[str, Json]:
        """What each finished step of a run gave."""
        return _values(self.state(run))

    async def values_apart(self, run: str) -> dict[str, Json]:
        """The same; a run that is not live is folded in another thread."""
        if run in self._actors:
            return self.values(run)
        net, journal = self.version_of(run).net, self.folder.journal
        return _values(await asyncio.to_thread(_folded_from, journal, run, net))

    def version_of(self, run: str) -> Version:
        """The playbook version a run runs."""
        row = self._row(run)
        return self.catalogue.get(row.playbook, row.version)

    @property
    def held_since(self) -> float:
        """Since when a worker may hold what no event names yet; infinity when none is busy."""
        return self._dispatch.held_since

    @property
    def status(self) -> dict[str, Json]:
        """What the engine is doing, for people and probes."""
        return {
            "runs": len(self._actors), "ready": len(self._dispatch.ready), "held": self._held(),
            "in_flight": self._dispatch.in_flight, "stalled": self._commit.stalled,
            "draining": self._draining, "pool": self._pool.health(),
            "poison": [
                {**step._asdict(), "deaths": entry.deaths, "told": entry.told,
                 "since": entry.since}
                for step, entry in self.poison.known.items()
            ],
            "parked": [
                {"run": run, "playbook": parked.playbook, "why": parked.why}
                for run, parked in self.parked.items()
            ],
            "writer": self._writing.writer, "commits": self._writing.commits,
            "workers": self._pool.workers(), "hardware": dict(self.hardware.slots),
        }  # fmt: skip

    def _held(self) -> int:
        """How many steps wait for their hours of the day."""
        states = (actor.state for actor in self._actors.values())
        return sum(pause.is_held for state in states for pause in state.pauses.values())

    async def clear(self, playbook: str, step: str, actor: str, reason: str = "") -> int:
        """Let a step that is poison run again; returns how many versions of it were."""
        found = self.poison.of(playbook, step)
        events = [StepCleared(*version, actor, reason) for version in found]
        if events:
            await self.append([self._of_poison(event) for event in events])
        return len(events)

    def drain(self) -> None:
        """Begin nothing more: no run is taken, no attempt sent. What runs goes on to its end."""
        self._draining = True

    async def close(self, grace_s: float = 2.0) -> None:
        """Stop: unfinished runs go on at the next start."""
        if self._closed:
            return
        self._closed = self._draining = True
        self._timers.close()
        if self._rate_timer is not None:
            self._rate_timer.cancel()
        await self._pool.stop(grace_s)
        self._commit.hurry()
        await self._loop.run_in_executor(None, self._commit.close)
        await asyncio.sleep(0)
        self.journal.close()
        self._writing.close()
        self._lock.release()

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


def _values(state: RunState) -> dict[str, Json]:
    steps = state.steps.items()
    return {name: step.value for name, step in steps if step.status in ("done", "failed")}


def _folded_from(journal: Path, run: str, net: Net) -> RunState:
    """A run's state by a connection of this thread's own."""
    state = new_run(run, net)
    with closing(SqliteReader.open(journal)) as reader:
        for event, at in reader.story(run_stream(run)):
            evolve(state, event, at)  # type: ignore[arg-type]
    return state


__all__ = ["Engine", "Listener", "Retried", "RunEvent", "StreamMoved", "Submit", "Wanted"]

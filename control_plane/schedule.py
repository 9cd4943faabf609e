"""Schedules: playbooks that start by themselves, each time exactly once.

The truth is the schedule's stream in the journal; `Table` is its projection and holds the
claims. A fire may be repeated after a crash and still starts one run, because the run's
idempotency key is the schedule's name and time. APScheduler only says when to look; its
memory store holds nothing that matters.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger

from control_plane.appending import append_last
from control_plane.clock import Clock
from control_plane.cron import Cron, CronFault
from control_plane.errors import Conflict, Invalid, NotFound
from control_plane.schedule_table import FireView, ScheduleRow, Table
from runtime.engine.engine import Engine, Submit
from runtime.run.events import Event, Json, Recorded, ScheduleFired, ScheduleRemoved, ScheduleSet

LOG: Final = logging.getLogger("trimtab.schedule")
Workload: TypeAlias = Callable[[], dict[str, Json]]
"""Makes the inputs of a playbook at the moment it is fired."""

TICK_S: Final = 5.0
CATCH_UP_LIMIT: Final = 100
LOOKED_AT: Final = 100
"""So many of the last runs of a schedule are looked at for one that has not ended."""
SYSTEM: Final = "system/"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_EVENTS: Final = (ScheduleSet, ScheduleRemoved, ScheduleFired)


@dataclass(frozen=True, slots=True)
class ScheduleView:
    """A schedule with the next times at which it is due."""

    name: str
    cron: str
    text: str
    zone: str
    playbook: str
    workload: dict[str, Json]
    enabled: bool
    catch_up: str
    overlap: str
    actor: str
    set_at: float
    next: list[float]
    last: FireView | None


class _Due(BaseTrigger):  # type: ignore[misc]
    """Cron times for APScheduler, as cron means them."""

    def __init__(self, cron: Cron) -> None:
        self._cron = cron

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        base = max(now, previous) if previous else now
        due = self._cron.after(base.timestamp(), 1)
        return datetime.fromtimestamp(due[0], UTC) if due else None


class Schedules:
    """Keeps, fires and shows schedules.

    ``workloads`` makes the inputs of playbooks whose inputs depend on the moment; other
    schedules carry their own.
    """

    def __init__(
        self, engine: Engine, table: Table, clock: Clock, workloads: Mapping[str, Workload]
    ) -> None:
        self._engine, self._table, self._clock = engine, table, clock
        self._workloads = workloads
        self._ticks = AsyncIOScheduler(timezone=UTC)
        self._unsubscribe: Callable[[], None] = lambda: None
        self.ticked_at: float | None = None

    def open(self) -> None:
        """Read the schedules, and hear of changes to them from now on."""
        self._table.clear()
        for stream in self._engine.journal.streams("schedule/"):
            for recorded in self._engine.journal.read(stream):
                self._table.evolve(recorded)
        self._unsubscribe = self._engine.subscribe(self._heard)

    async def start(self) -> None:
        """Start ticking, and catch up with what was missed."""
        self._ticks.start()
        self._ticks.add_job(self._tick, IntervalTrigger(seconds=TICK_S), id="tick")
        for row in self._table.rows():
            self._arm(row)
        await self._tick()
        for row in self._table.rows():
            await self._catch_up(row)

    async def close(self) -> None:
        """Stop ticking."""
        self._unsubscribe()
        if self._ticks.running:
            self._ticks.shutdown(wait=False)
        self._table.close()

    def list(self) -> list[ScheduleView]:
        """Return every schedule by name."""
        return [self._view(row) for row in self._table.rows()]

    def get(self, name: str) -> ScheduleView:
        """Return one schedule.

        Raises:
            NotFound: there is no such schedule.
        """
        return self._view(self._row(name))

    def fires(self, name: str | None = None, limit: int = 50) -> Sequence[FireView]:
        """Return scheduled times and what came of them, the latest first."""
        return self._table.fires(name, limit)

    async def set(self, wanted: ScheduleSet) -> ScheduleView:
        """Make or change a schedule.

        Raises:
            Invalid: its cron text, zone or playbook cannot be; nothing was written.
        """
        self._check(wanted)
        await self._append(wanted.name, wanted)
        return self.get(wanted.name)

    async def switch(self, name: str, enabled: bool, actor: str) -> ScheduleView:
        """Pause a schedule or let it go on."""
        now = _set_of(self._row(name))
        return await self.set(now.but(enabled=enabled, actor=actor))

    async def remove(self, name: str, actor: str) -> None:
        """Remove a schedule; its fires stay readable."""
        self._row(name)
        await self._append(name, ScheduleRemoved(name, actor))

    async def fire(self, name: str, at: float) -> FireView:
        """Fire a schedule for a time, unless somebody has; the answer says what came of it.

        Whoever asks for it means it: a run of it that has not ended is no reason not to.

        Raises:
            Conflict: the time is claimed by somebody who is not done yet.
        """
        row = self._row(name)
        claimed = self._table.claim(name, at, self._clock())
        fired = self._table.fire(name, at)
        if fired is None or (not claimed and fired.state == "claimed"):
            raise Conflict("claimed", f"{name} is being fired for this time", "look again soon")
        return await self._fire(row, fired, _key(row, at)) if claimed else fired

    async def _fire_or_skip(self, row: ScheduleRow, claimed: FireView) -> None:
        """Fire at a scheduled time, unless a run of an earlier one is to be let end first."""
        key = _key(row, claimed.scheduled_for)
        begun = self._engine.journal.run_by_key(key) is not None
        going = None if begun or row.overlap != "skip" else self._going(row.name)
        if going is None:
            await self._fire(row, claimed, key)
        else:
            error = f"run {going} of an earlier time has not ended"
            self._table.settle(replace(claimed, state="skipped", error=error))

    def _going(self, name: str) -> str | None:
        """A run of a schedule that has not ended, or None."""
        rows = (self._engine.journal.run(run) for run in self._table.begun(name, LOOKED_AT))
        return next((row.run for row in rows if row is not None and row.ended_at is None), None)

    async def _fire(self, row: ScheduleRow, claimed: FireView, key: str) -> FireView:
        try:
            run = await self._engine.submit(Submit(
                playbook=row.playbook, version=None, workload=self._workload(row),
                actor=f"schedule:{row.name}", key=key, labels={"schedule": row.name},
                system=row.playbook.startswith(SYSTEM),
            ))  # fmt: skip
            await self._append(row.name, ScheduleFired(row.name, claimed.scheduled_for, run))
            done = replace(claimed, state="submitted", run=run)
        except Exception as fault:
            LOG.exception("schedule %s could not start its run", row.name)
            done = replace(claimed, state="failed", error=f"{type(fault).__name__}: {fault}")
        self._table.settle(done)
        return done

    def _workload(self, row: ScheduleRow) -> dict[str, Json]:
        make = self._workloads.get(row.playbook)
        own: dict[str, Json] = json.loads(row.workload)
        return {**make(), **own} if make is not None else own

    async def _append(self, name: str, event: Event) -> None:
        await append_last(self._engine, f"schedule/{name}", event, self._clock)

    def _heard(self, batch: Sequence[Recorded]) -> None:
        for recorded in batch:
            if not isinstance(recorded.event, _EVENTS):
                continue
            self._table.evolve(recorded)
            if not isinstance(recorded.event, ScheduleFired):
                self._rearm(recorded.event.name)

    def _rearm(self, name: str) -> None:
        if self._ticks.running and self._ticks.get_job(f"fire:{name}") is not None:
            self._ticks.remove_job(f"fire:{name}")
        row = self._table.row(name)
        if row is not None:
            self._arm(row)

    def _arm(self, row: ScheduleRow) -> None:
        if not row.enabled or not self._ticks.running:
            return
        self._ticks.add_job(
            self._due, _Due(Cron(row.cron, row.zone)), args=[row.name], id=f"fire:{row.name}",
            coalesce=True, misfire_grace_time=None, max_instances=1,
        )  # fmt: skip

    async def _due(self, name: str) -> None:
        row = self._table.row(name)
        if row is None or not row.enabled:
            return
        at = Cron(row.cron, row.zone).latest(self._clock())
        if at is not None and at > row.set_at:
            await self._claim_and_fire(row, at)

    async def _tick(self) -> None:
        self.ticked_at = self._clock()
        for name, at in self._table.abandoned(self.ticked_at):
            row = self._table.row(name)
            if row is not None:
                await self._claim_and_fire(row, at)

    async def _catch_up(self, row: ScheduleRow) -> None:
        if not row.enabled or row.catch_up == "none":
            return
        last = self._table.fires(row.name, 1)
        since = max(row.set_at, last[0].scheduled_for if last else 0.0)
        limit = 1 if row.catch_up == "latest" else CATCH_UP_LIMIT
        for at in Cron(row.cron, row.zone).missed(since, self._clock(), limit):
            await self._claim_and_fire(row, at)

    async def _claim_and_fire(self, row: ScheduleRow, at: float) -> None:
        if self._table.claim(row.name, at, self._clock()):
            claimed = self._table.fire(row.name, at)
            if claimed is not None:
                await self._fire_or_skip(row, claimed)

    def _check(self, wanted: ScheduleSet) -> None:
        faults: list[str] = []
        if not NAME.fullmatch(wanted.name):
            faults.append("a schedule's name has 1 to 100 letters, digits, and . _ - between them")
        try:
            Cron(wanted.cron, wanted.zone)
        except CronFault as fault:
            faults.append(str(fault))
        if wanted.playbook not in self._engine.catalogue.paths():
            faults.append(f"there is no playbook {wanted.playbook!r}")
        if faults:
            raise Invalid(faults)

    def _row(self, name: str) -> ScheduleRow:
        row = self._table.row(name)
        if row is None:
            raise NotFound("schedule", name)
        return row

    def _view(self, row: ScheduleRow) -> ScheduleView:
        cron = Cron(row.cron, row.zone)
        last = self._table.fires(row.name, 1)
        return ScheduleView(
            row.name, row.cron, cron.text, row.zone, row.playbook, json.loads(row.workload),
            row.enabled, row.catch_up, row.overlap, row.actor, row.set_at,
            cron.after(self._clock(), 5) if row.enabled else [], last[0] if last else None,
        )  # fmt: skip


def _set_of(row: ScheduleRow) -> ScheduleSet:
    return ScheduleSet(
        row.name, row.cron, row.zone, row.playbook, json.loads(row.workload), row.actor,
        row.enabled, row.catch_up, row.overlap,
    )  # fmt: skip


def _key(row: ScheduleRow, at: float) -> str:
    """The idempotency key of the run of a scheduled time: firing twice is one run."""
    return f"schedule:{row.name}:{at:.0f}"


def next_times(cron: str, zone: str, now: float, count: int = 5) -> dict[str, Any]:
    """Return when cron text would fire, in words and as times: to look before setting.

    Raises:
        CronFault: the text or the zone cannot be read.
    """
    parsed = Cron(cron, zone)
    return {"cron": cron, "zone": zone, "text": parsed.text, "next": parsed.after(now, count)}

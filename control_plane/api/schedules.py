"""Schedules and jobs over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from litestar import Controller, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from control_plane.api.guards import requires
from control_plane.api.problems import Anyone
from control_plane.api.schemas import ScheduleSend
from control_plane.clock import Clock
from control_plane.run_views import RunLine
from control_plane.runs import Runs
from control_plane.schedule import Schedules, ScheduleView, next_times
from control_plane.schedule_table import FireView
from runtime.run.events import ScheduleSet

Limit = Annotated[int, QueryParameter(ge=1, le=1000)]


@dataclass(frozen=True, slots=True)
class Job:
    """A scheduled time with the run that came of it."""

    fire: FireView
    run: RunLine | None


class SchedulesController(Controller):
    """What there is to do with schedules."""

    path = "/api/schedules"
    tags = ("schedules",)

    @get(guards=[requires("viewer")], operation_id="listSchedules", sync_to_thread=False)
    def page(self, schedules: NamedDependency[Schedules]) -> list[ScheduleView]:
        """List schedules with the next five times of each."""
        return schedules.list()

    @get("/next", guards=[requires("viewer")], operation_id="nextTimes", sync_to_thread=False)
    def next(
        self, cron: FromQuery[str], clock: NamedDependency[Clock], zone: FromQuery[str] = "UTC",
        count: Limit = 5,
    ) -> dict[str, Any]:  # fmt: skip
        """Say when cron text would fire, before it is set."""
        return next_times(cron, zone, clock(), min(count, 100))

    @get(
        "/{name:str}", guards=[requires("viewer")], operation_id="getSchedule",
        sync_to_thread=False,
    )  # fmt: skip
    def read(self, name: FromPath[str], schedules: NamedDependency[Schedules]) -> ScheduleView:
        """Read one schedule."""
        return schedules.get(name)

    @get(
        "/{name:str}/fires", guards=[requires("viewer")], operation_id="listFires",
        sync_to_thread=False,
    )  # fmt: skip
    def fires(
        self, name: FromPath[str], schedules: NamedDependency[Schedules], limit: Limit = 50
    ) -> Sequence[FireView]:
        """List a schedule's past times and what came of them, the latest first."""
        return schedules.fires(name, limit)

    @put("/{name:str}", guards=[requires("operator")], operation_id="setSchedule")
    async def set(
        self, name: FromPath[str], data: JSONBody[ScheduleSend], request: Anyone,
        schedules: NamedDependency[Schedules],
    ) -> ScheduleView:  # fmt: skip
        """Make or change a schedule."""
        return await schedules.set(ScheduleSet(
            name, data.cron, data.zone, data.playbook, data.workload, request.user.name,
            data.enabled, data.catch_up, data.overlap,
        ))  # fmt: skip

    @delete("/{name:str}", guards=[requires("operator")], operation_id="removeSchedule")
    async def remove(
        self, name: FromPath[str], request: Anyone, schedules: NamedDependency[Schedules]
    ) -> None:
        """Remove a schedule; what it fired stays."""
        await schedules.remove(name, request.user.name)

    @post(
        "/{name:str}/pause", guards=[requires("operator")], status_code=200,
        operation_id="pauseSchedule",
    )  # fmt: skip
    async def pause(
        self, name: FromPath[str], request: Anyone, schedules: NamedDependency[Schedules]
    ) -> ScheduleView:
        """Fire no more until it is resumed."""
        return await schedules.switch(name, False, request.user.name)

    @post(
        "/{name:str}/resume", guards=[requires("operator")], status_code=200,
        operation_id="resumeSchedule",
    )  # fmt: skip
    async def resume(
        self, name: FromPath[str], request: Anyone, schedules: NamedDependency[Schedules]
    ) -> ScheduleView:
        """Fire again."""
        return await schedules.switch(name, True, request.user.name)

    @post(
        "/{name:str}/fire", guards=[requires("operator")], status_code=202,
        operation_id="fireSchedule",
    )  # fmt: skip
    async def fire(
        self, name: FromPath[str], schedules: NamedDependency[Schedules],
        clock: NamedDependency[Clock],
    ) -> FireView:  # fmt: skip
        """Fire now, beside its times."""
        return await schedules.fire(name, float(int(clock())))


@get(
    "/api/jobs", guards=[requires("viewer")], operation_id="listJobs", tags=["schedules"],
    sync_to_thread=False,
)  # fmt: skip
def jobs(
    schedules: NamedDependency[Schedules], runs: NamedDependency[Runs], limit: Limit = 50
) -> list[Job]:
    """List what schedules fired, the latest first, each with its run."""
    return [
        Job(fire, runs.line(fire.run) if fire.run else None)
        for fire in schedules.fires(None, limit)
    ]

"""How the installation is, over HTTP: for probes, and for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency

from control_plane.api.guards import requires
from control_plane.clock import Clock
from control_plane.readings import Readings
from control_plane.schedule import TICK_S, Schedules
from runtime.engine.engine import Engine
from runtime.record.access import RecordError

TICK_LATE_S = 6 * TICK_S


@dataclass(frozen=True, slots=True)
class Ready:
    """Whether work is taken, and what is in the way."""

    ready: bool
    journal: str
    scheduler_tick_age_s: float
    workers: int
    problems: list[str]


@get("/health/live", opt={"public": True}, operation_id="live", tags=["health"],
     sync_to_thread=False)  # fmt: skip
def live() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "live"}


@get("/health/ready", opt={"public": True}, operation_id="ready", tags=["health"],
     sync_to_thread=False)  # fmt: skip
def ready(
    engine: NamedDependency[Engine], schedules: NamedDependency[Schedules],
    clock: NamedDependency[Clock],
) -> Response[Ready]:  # fmt: skip
    """Say whether work is taken: the journal can be written, workers live, schedules tick."""
    state = engine.status
    ticked = schedules.ticked_at
    age = 0.0 if ticked is None else clock() - ticked
    stalled = bool(state["stalled"]) or engine.dead.done()
    problems = [
        *(["the journal cannot be written"] if stalled else []),
        *(["no worker process is there"] if not state["workers"] else []),
        *(["the scheduler has stopped ticking"] if age > TICK_LATE_S else []),
    ]
    told = Ready(
        not problems, "stalled" if stalled else "ok", age, len(state["workers"]), problems
    )
    return Response(told, status_code=503 if problems else 200)


@get("/api/status", guards=[requires("viewer")], operation_id="status", tags=["health"])
async def status(
    engine: NamedDependency[Engine], readings: NamedDependency[Readings]
) -> dict[str, Any]:
    """Return what engine and recorder say of themselves, the record's lag included."""
    told = {name: value for name, value in engine.status.items() if name != "workers"}
    try:
        record = await readings.lag()
    except RecordError as fault:
        record = {"problem": str(fault)}
    return {"engine": told, "record": record, "killed": sorted(engine.layers.killed)}


@get("/api/workers", guards=[requires("viewer")], operation_id="listWorkers", tags=["health"],
     sync_to_thread=False)  # fmt: skip
def workers(engine: NamedDependency[Engine]) -> list[dict[str, Any]]:
    """List the worker processes and what each is at."""
    listed: list[dict[str, Any]] = engine.status["workers"]
    return listed

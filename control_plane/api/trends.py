"""Trends over HTTP: percentiles, cost and failures over time."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from control_plane.api.guards import requires
from control_plane.clock import Clock
from control_plane.measures import GRAINS, Dimension, Grain, Measure
from control_plane.readings import MeasuresQuestion, Readings, TrendQuestion
from control_plane.trend_changes import Change
from control_plane.watch import Watch

DAY_S = 86_400.0
Bucket = Annotated[int, QueryParameter(ge=60, le=31 * 86_400)]


@get("/api/trends", guards=[requires("viewer")], operation_id="trends", tags=["trends"])
async def trends(
    readings: NamedDependency[Readings], clock: NamedDependency[Clock],
    playbook: FromQuery[str] = "", step: FromQuery[str] = "", bucket_s: Bucket = 3600,
    since: FromQuery[float | None] = None, until: FromQuery[float | None] = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return p50, p95, p99, cost and failures per bucket, playbook, step and configuration.

    Times are seconds since the epoch; without them the last day.
    """
    start, end = _span(since, until, clock)
    return await readings.trends(TrendQuestion(start, end, bucket_s, playbook, step))


@get(
    "/api/trends/measures", guards=[requires("viewer")], operation_id="trend_measures",
    tags=["trends"],
)  # fmt: skip
async def measures(
    readings: NamedDependency[Readings], clock: NamedDependency[Clock],
    by: FromQuery[Dimension] = "step", label: FromQuery[str] = "", playbook: FromQuery[str] = "",
    step: FromQuery[str] = "", bucket_s: Bucket = 3600, grain: FromQuery[Grain | None] = None,
    since: FromQuery[float | None] = None, until: FromQuery[float | None] = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return percentiles of queue, run and total time, cost, failures and throughput.

    Per bucket and line: a playbook, step, class of hardware, configuration, arm of an
    experiment, version, or value of a run's ``label``. ``grain`` stands for the seconds of a
    minute, hour or day. Without times the last day. ``cost_usd`` is of the ``priced`` attempts,
    what their tools spent included; ``spend_usd`` is of all. Idle slots are in `/api/costs`.
    """
    start, end = _span(since, until, clock)
    return await readings.measures(
        MeasuresQuestion(start, end, _seconds(bucket_s, grain), by, playbook, step, label)
    )


@get(
    "/api/trends/changes", guards=[requires("viewer")], operation_id="trend_changes",
    tags=["trends"],
)  # fmt: skip
async def changes(
    watch: NamedDependency[Watch], clock: NamedDependency[Clock],
    measure: FromQuery[Measure] = "total_p50_s", by: FromQuery[Dimension] = "step",
    label: FromQuery[str] = "", playbook: FromQuery[str] = "", step: FromQuery[str] = "",
    bucket_s: Bucket = 3600, grain: FromQuery[Grain | None] = None,
    since: FromQuery[float | None] = None, until: FromQuery[float | None] = None,
) -> list[Change]:  # fmt: skip
    """Return where a measure went over to another level, and what was changed just before.

    ``cause_page`` leads to the version or proposal. Without times the last three weeks.
    """
    start, end = _span(since, until, clock, days=21)
    return await watch.changes(
        MeasuresQuestion(start, end, _seconds(bucket_s, grain), by, playbook, step, label), measure
    )


def _seconds(bucket_s: int, grain: Grain | None) -> int:
    return bucket_s if grain is None else GRAINS[grain]


def _span(
    since: float | None, until: float | None, clock: Clock, days: int = 1
) -> tuple[float, float]:
    """From when until when: now, and so many days before, where nothing is said."""
    end = clock() if until is None else until
    return max(end - days * DAY_S, 0.0) if since is None else since, end

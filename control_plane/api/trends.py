"""Trends over HTTP: percentiles, cost and failures over time."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from control_plane.api.guards import requires
from control_plane.clock import Clock
from control_plane.readings import Readings, TrendQuestion

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
    end = clock() if until is None else until
    start = end - DAY_S if since is None else since
    return await readings.trends(TrendQuestion(start, end, bucket_s, playbook, step))

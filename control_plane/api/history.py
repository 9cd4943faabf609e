"""The record over HTTP as Arrow streams: attempts, transitions and trends, past any page.

The bytes are ClickHouse's own, passed on block by block as they come; no row is made here.
A refusal is a problem before the first byte. An answer that breaks off later lacks the end
of its transfer and of its stream, so a client sees that it is not whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter
from litestar.response import Stream

from control_plane.api.guards import requires
from control_plane.readings import LATEST, Readings

MEDIA: Final = "application/vnd.apache.arrow.stream"
MOST: Final = 100_000_000
Limit = Annotated[int, QueryParameter(ge=1, le=MOST)]
Since = Annotated[float, QueryParameter(ge=0, le=LATEST)]
Until = Annotated[float, QueryParameter(ge=0, le=LATEST)]
Bucket = Annotated[int, QueryParameter(ge=60, le=31 * 86_400)]


@get("/api/history/attempts", guards=[requires("viewer")], operation_id="historyAttempts",
     tags=["history"])  # fmt: skip
async def attempts(
    readings: NamedDependency[Readings], playbook: FromQuery[str] = "", step: FromQuery[str] = "",
    run: FromQuery[str] = "", outcome: FromQuery[str] = "", error_class: FromQuery[str] = "",
    since: Since = 0.0, until: Until = LATEST, system: FromQuery[bool] = False,
    limit: Limit = 1_000_000,
) -> Stream:  # fmt: skip
    """Stream attempts as Arrow, a row each with all columns, by playbook, step and time.

    Times are seconds since the epoch; without filters everything, up to ``limit`` rows.
    """
    return await _streamed(
        readings, "history_attempts", playbook=playbook, step=step, run=run, outcome=outcome,
        error_class=error_class, since=since, until=until, system=int(system), limit=limit,
    )  # fmt: skip


@get("/api/history/transitions", guards=[requires("viewer")], operation_id="historyTransitions",
     tags=["history"])  # fmt: skip
async def transitions(
    readings: NamedDependency[Readings], playbook: FromQuery[str] = "", step: FromQuery[str] = "",
    run: FromQuery[str] = "", transition: FromQuery[str] = "", since: Since = 0.0,
    until: Until = LATEST, limit: Limit = 1_000_000,
) -> Stream:  # fmt: skip
    """Stream transitions as Arrow, run by run and in each in order."""
    return await _streamed(
        readings, "history_transitions", playbook=playbook, step=step, run=run,
        transition=transition, since=since, until=until, limit=limit,
    )  # fmt: skip


@get("/api/history/trends", guards=[requires("viewer")], operation_id="historyTrends",
     tags=["history"])  # fmt: skip
async def trends(
    readings: NamedDependency[Readings], playbook: FromQuery[str] = "", step: FromQuery[str] = "",
    bucket_s: Bucket = 3600, since: Since = 0.0, until: Until = LATEST,
    system: FromQuery[bool] = False,
) -> Stream:  # fmt: skip
    """Stream percentiles, cost and failures as Arrow, a row a bucket, step and configuration."""
    return await _streamed(
        readings, "trend_steps", playbook=playbook, step=step, bucket=bucket_s,
        since=int(since), until=int(until), system=int(system),
    )  # fmt: skip


async def _streamed(readings: Readings, statement: str, **params: Any) -> Stream:
    pieces: AsyncIterator[bytes] = await readings.arrow(statement, **params)
    name = statement.removeprefix("history_")
    headers = {"Content-Disposition": f'attachment; filename="{name}.arrows"'}
    return Stream(pieces, media_type=MEDIA, headers=headers)

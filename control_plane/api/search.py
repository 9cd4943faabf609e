"""Search over HTTP: what happened by meaning and by words, what is alike, and the causes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from control_plane.api.guards import requires
from control_plane.readings import Readings
from runtime.record.search import Cause, Hit

Asked = Annotated[str, QueryParameter(min_length=1, max_length=2000)]
InState = Annotated[str | None, QueryParameter(name="state")]
Limit = Annotated[int, QueryParameter(ge=1, le=200)]
By = Annotated[Literal["both", "words", "meaning"], QueryParameter()]


@get("/api/search", guards=[requires("viewer")], operation_id="search", tags=["search"])
async def search(
    q: Asked, readings: NamedDependency[Readings], kind: FromQuery[str | None] = None,
    playbook: FromQuery[str | None] = None, step: FromQuery[str | None] = None,
    in_state: InState = None, hardware: FromQuery[str | None] = None,
    since: FromQuery[float | None] = None, until: FromQuery[float | None] = None,
    by: By = "both", limit: Limit = 20,
) -> list[Hit]:  # fmt: skip
    """Find runs, failures, printed lines, playbooks, proposals and lessons; each hit says why."""
    return await readings.search(
        q, kind=kind, playbook=playbook, step=step, state=in_state, hardware=hardware,
        since=since, until=until, by=by, limit=limit,
    )  # fmt: skip


@get("/api/search/facets", guards=[requires("viewer")], operation_id="facets", tags=["search"])
async def facets(
    q: Asked, readings: NamedDependency[Readings], kind: FromQuery[str | None] = None,
    playbook: FromQuery[str | None] = None, step: FromQuery[str | None] = None,
    in_state: InState = None, hardware: FromQuery[str | None] = None,
    since: FromQuery[float | None] = None, until: FromQuery[float | None] = None,
) -> dict[str, dict[str, int]]:  # fmt: skip
    """Say how many of the best 200 hits have each kind, playbook, step, state and hardware."""
    return await readings.facets(
        q, kind=kind, playbook=playbook, step=step, state=in_state, hardware=hardware,
        since=since, until=until,
    )  # fmt: skip


@get("/api/causes", guards=[requires("viewer")], operation_id="causes", tags=["search"])
async def causes(
    readings: NamedDependency[Readings], playbook: FromQuery[str | None] = None,
    step: FromQuery[str | None] = None, in_state: InState = None,
    hardware: FromQuery[str | None] = None, since: FromQuery[float | None] = None,
    until: FromQuery[float | None] = None,
) -> list[Cause]:  # fmt: skip
    """Group failures by cause: name, count, first and last seen, where, and an example."""
    return await readings.causes(
        playbook=playbook, step=step, state=in_state, hardware=hardware, since=since, until=until
    )


@get(
    "/api/runs/{run:str}/similar", guards=[requires("viewer")], operation_id="similarRuns",
    tags=["search"],
)  # fmt: skip
async def similar(
    run: FromPath[str], readings: NamedDependency[Readings], kind: FromQuery[str | None] = None,
    playbook: FromQuery[str | None] = None, step: FromQuery[str | None] = None,
    in_state: InState = None, hardware: FromQuery[str | None] = None,
    since: FromQuery[float | None] = None, until: FromQuery[float | None] = None,
    limit: Limit = 20,
) -> list[Hit]:  # fmt: skip
    """Find what is like a run that ended: by the error that ended it, else by how it ended."""
    return await readings.similar(
        run, kind=kind, playbook=playbook, step=step, state=in_state, hardware=hardware,
        since=since, until=until, limit=limit,
    )  # fmt: skip


@post(
    "/api/search/reindex", guards=[requires("operator")], status_code=202, operation_id="reindex",
    tags=["search"],
)  # fmt: skip
async def reindex(readings: NamedDependency[Readings]) -> dict[str, Any]:
    """Make all search points anew from the journal; the old ones serve until that is done."""
    return await readings.reindex()

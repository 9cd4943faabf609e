"""Search over HTTP: what happened, by meaning and by words."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from control_plane.api.guards import requires
from control_plane.readings import Readings
from runtime.record.search import Hit

Asked = Annotated[str, QueryParameter(min_length=1, max_length=2000)]
InState = Annotated[str | None, QueryParameter(name="state")]
Limit = Annotated[int, QueryParameter(ge=1, le=200)]


@get("/api/search", guards=[requires("viewer")], operation_id="search", tags=["search"])
async def search(
    q: Asked, readings: NamedDependency[Readings], kind: FromQuery[str | None] = None,
    playbook: FromQuery[str | None] = None, step: FromQuery[str | None] = None,
    in_state: InState = None, limit: Limit = 20,
) -> list[Hit]:  # fmt: skip
    """Find runs, failures, playbooks, steps, proposals and lessons; each hit says why."""
    return await readings.search(
        q, kind=kind, playbook=playbook, step=step, state=in_state, limit=limit
    )

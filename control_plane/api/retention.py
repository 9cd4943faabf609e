"""Retention over HTTP: collect what nothing holds any more."""

from __future__ import annotations

from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromQuery

from control_plane.api.guards import requires
from control_plane.upkeep import Upkeep
from runtime.retention.collect import Collected


@post("/api/retention/collect", guards=[requires("operator")], status_code=200,
      operation_id="collect", tags=["data"])  # fmt: skip
async def collect(upkeep: NamedDependency[Upkeep], dry_run: FromQuery[bool] = False) -> Collected:
    """Collect what retention no longer holds; with ``dry_run`` only say what that would be."""
    return await upkeep.collect(dry_run=dry_run)

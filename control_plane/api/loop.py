"""The loop's own controls over HTTP: run the optimizer, set the kill switch."""

from __future__ import annotations

from typing import Any

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from control_plane.api.guards import requires
from control_plane.api.problems import Anyone
from control_plane.api.schemas import KillSend
from control_plane.drafts import Drafts
from control_plane.loop import Loop
from control_plane.run_views import RunLine
from control_plane.runs import Runs
from runtime.engine.engine import Engine
from runtime.run.events import Json


@post("/api/optimize", guards=[requires("operator")], operation_id="optimizeOnce",
      tags=["loop"])  # fmt: skip
async def optimize(
    request: Anyone, loop: NamedDependency[Loop], runs: NamedDependency[Runs]
) -> RunLine:
    """Start one cycle of the optimizer and return its run."""
    return runs.line(await loop.optimize(request.user.name))


@post("/api/calibrate", guards=[requires("operator")], operation_id="calibrateOnce",
      tags=["loop"])  # fmt: skip
async def calibrate(
    request: Anyone, loop: NamedDependency[Loop], runs: NamedDependency[Runs]
) -> RunLine:
    """Replay the record to see how far stated chances can be trusted, and return the run."""
    return runs.line(await loop.calibrate(request.user.name))


@get("/api/calibration", guards=[requires("viewer")], operation_id="getCalibration",
     tags=["loop"], sync_to_thread=False)  # fmt: skip
def calibration(drafts: NamedDependency[Drafts]) -> dict[str, Any]:
    """Return what the latest calibration said; empty when there is none."""
    return drafts.calibration()


@get("/api/optimize", guards=[requires("viewer")], operation_id="optimizeInputs",
     tags=["loop"], sync_to_thread=False)  # fmt: skip
def inputs(loop: NamedDependency[Loop]) -> dict[str, Json]:
    """Show what a cycle that starts now would be given: steps that may be tuned, policy."""
    return loop.inputs()


@get("/api/kill", guards=[requires("viewer")], operation_id="listKilled", tags=["loop"],
     sync_to_thread=False)  # fmt: skip
def killed(engine: NamedDependency[Engine]) -> list[str]:
    """List the scopes on which the kill switch is set."""
    return sorted(engine.layers.killed)


@post("/api/kill", guards=[requires("operator")], status_code=200, operation_id="setKill",
      tags=["loop"])  # fmt: skip
async def kill(
    data: JSONBody[KillSend], request: Anyone, loop: NamedDependency[Loop]
) -> list[str]:
    """Set or release the kill switch: overlays and experiments of the scope do not count."""
    return await loop.kill(data.scope, data.on, request.user.name, data.reason)

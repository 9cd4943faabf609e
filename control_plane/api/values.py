"""Values over HTTP: what steps gave, as references or whole, streamed as JSON or Arrow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream

from control_plane.api.guards import requires
from control_plane.errors import NotFound
from control_plane.runs import Runs
from control_plane.values import Body, Form, body_of, object_of
from runtime.data.objects import Objects
from runtime.data.reference import is_name
from runtime.engine.engine import Engine

InForm = Annotated[Form, QueryParameter(name="form")]


@get("/api/runs/{run:str}/values", guards=[requires("viewer")], operation_id="getRunValues",
     tags=["data"])  # fmt: skip
async def of_run(
    run: FromPath[str], runs: NamedDependency[Runs], engine: NamedDependency[Engine]
) -> dict[str, Any]:
    """Read the values of a run's steps, large ones as references."""
    runs.row(run)
    return await engine.values_apart(run)


@get("/api/runs/{run:str}/values/{step:str}", guards=[requires("viewer")],
     operation_id="getStepValue", tags=["data"])  # fmt: skip
async def of_step(
    run: FromPath[str], step: FromPath[str], runs: NamedDependency[Runs],
    engine: NamedDependency[Engine], form: InForm = "as-is",
) -> Stream:  # fmt: skip
    """Read one step's value whole: as it is kept, or as JSON or an Arrow file."""
    runs.row(run)
    values = await engine.values_apart(run)
    if step not in values:
        raise NotFound("value of a step", step)
    return await _streamed(engine, lambda objects: body_of(values[step], objects, form))


@get("/api/objects/{name:str}", guards=[requires("viewer")], operation_id="getObject",
     tags=["data"])  # fmt: skip
async def object_(
    name: FromPath[str], engine: NamedDependency[Engine], form: InForm = "as-is"
) -> Stream:
    """Read an object by the name in its reference: as it is kept, or as JSON or Arrow."""
    if not is_name(name):
        raise NotFound("object", name)
    return await _streamed(engine, lambda objects: object_of(name, objects, form))


async def _streamed(engine: Engine, made: Callable[[Objects], Body]) -> Stream:
    """Prepare the answer in a thread, where it may be fetched from afar, and send its pieces."""
    body = await asyncio.to_thread(lambda: made(Objects(engine.folder.objects)))
    headers = {} if body.length is None else {"Content-Length": str(body.length)}
    return Stream(body.pieces, media_type=body.media, headers=headers)

"""Operations over HTTP: an ended run goes on from a step; many runs are acted on by filter."""

from __future__ import annotations

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from control_plane.api.guards import requires
from control_plane.api.problems import Anyone
from control_plane.api.runs import may_steer
from control_plane.api.schemas import RunActions, RunRetry
from control_plane.auth import Principal
from control_plane.errors import Invalid
from control_plane.operations import Done, Order, act
from control_plane.runs import Runs
from control_plane.selecting import Filter
from runtime.engine.engine import Engine, Retried, Wanted


@post("/api/runs/{run:str}/retry", status_code=201, operation_id="retryRun", tags=["runs"])
async def retry(
    run: FromPath[str], data: JSONBody[RunRetry], request: Anyone,
    engine: NamedDependency[Engine], runs: NamedDependency[Runs],
) -> Retried:  # fmt: skip
    """Go on with an ended run from one of its steps, as a new run; the old one stays."""
    may_steer(runs, run, request.user)
    return await engine.retry(
        run, request.user.name, _wanted(data), reason=data.reason, version=data.version
    )


@post(
    "/api/runs/actions", guards=[requires("operator")], status_code=200,
    operation_id="actOnRuns", tags=["runs"],
)  # fmt: skip
async def actions(
    data: JSONBody[RunActions], request: Anyone, engine: NamedDependency[Engine]
) -> list[Done]:
    """Do something to every run that a filter means; says of each what happened, or would."""
    return await act(
        engine, _order(data, request.user), _filter(data),
        everything=data.all, dry_run=data.dry_run,
    )  # fmt: skip


def _order(data: RunActions, who: Principal) -> Order:
    """What was asked for.

    Raises:
        Invalid: the action lacks what it needs.
    """
    if data.action == "signal" and not data.name:
        raise Invalid(["a signal needs a name"])
    if data.action == "answer" and (not data.step or data.approved is None):
        raise Invalid(["an answer needs the step, and whether it is approved"])
    return Order(
        data.action, who.name, data.reason, data.now, data.name, data.value, data.step,
        bool(data.approved), _wanted(data.retry), data.retry.version,
    )  # fmt: skip


def _filter(data: RunActions) -> Filter:
    conditions = msgspec.structs.asdict(data.filter)
    return Filter(state=conditions.pop("status"), **conditions)


def _wanted(data: RunRetry) -> Wanted:
    return Wanted(data.step, data.round, data.failed_only, data.once)

"""Costs over HTTP: by step, as a FOCUS file, against budgets, and what was said of them."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from control_plane.api.guards import requires
from control_plane.budgets import BudgetView
from control_plane.clock import Clock
from control_plane.costs import (
    DayCost,
    RunCost,
    StepCost,
    by_day,
    by_step,
    cost_of_run,
    ledger,
    month_named,
)
from control_plane.errors import NotFound
from control_plane.focus import MEDIA, Form, table, written
from control_plane.readings import Readings
from control_plane.watch import Watch, named_alerts
from runtime.engine.engine import Engine
from runtime.engine.prices import load_prices

Limit = Annotated[int, QueryParameter(ge=1, le=1000)]


@get("/api/costs", guards=[requires("viewer")], operation_id="costs", tags=["costs"])
async def costs(
    readings: NamedDependency[Readings], clock: NamedDependency[Clock],
    engine: NamedDependency[Engine], month: FromQuery[str] = "", playbook: FromQuery[str] = "",
) -> list[StepCost]:  # fmt: skip
    """Return what a month cost by playbook and step, and the share that has a known price.

    Slots that stood idle are shared out to the steps of their day; a line without a playbook is
    what no step bears.
    """
    since, until = month_named(month, clock())
    return by_step(await ledger(readings, engine.journal, since, until, playbook))


@get("/api/costs/days", guards=[requires("viewer")], operation_id="cost_days", tags=["costs"])
async def cost_days(
    readings: NamedDependency[Readings], clock: NamedDependency[Clock],
    engine: NamedDependency[Engine], month: FromQuery[str] = "", playbook: FromQuery[str] = "",
) -> list[DayCost]:  # fmt: skip
    """Return what each day of a month cost: attempts, tools, and slots that stood idle."""
    since, until = month_named(month, clock())
    return by_day(await ledger(readings, engine.journal, since, until, playbook))


@get("/api/runs/{run:str}/cost", guards=[requires("viewer")], operation_id="run_cost",
     tags=["costs"])  # fmt: skip
async def run_cost(
    run: FromPath[str], readings: NamedDependency[Readings], engine: NamedDependency[Engine]
) -> RunCost:
    """Return what a run cost, with its share of slots that stood idle on its days."""
    if engine.journal.run(run) is None:
        raise NotFound("run", run)
    return await cost_of_run(readings, engine.journal, run)


@get("/api/costs/export", guards=[requires("viewer")], operation_id="cost_export", tags=["costs"])
async def export(
    readings: NamedDependency[Readings], clock: NamedDependency[Clock],
    engine: NamedDependency[Engine], month: FromQuery[str] = "", form: FromQuery[Form] = "csv",
) -> Response[bytes]:  # fmt: skip
    """Return the costs of a month in the columns of FOCUS, as CSV or Parquet."""
    since, until = month_named(month, clock())
    rows = await ledger(readings, engine.journal, since, until)
    classes = {c.name: c for c in load_prices(engine.folder.root).classes}
    body = await asyncio.to_thread(lambda: written(table(rows, classes), form))
    return Response(body, media_type=MEDIA[form])


@get("/api/budgets", guards=[requires("viewer")], operation_id="budgets", tags=["costs"])
async def budgets(watch: NamedDependency[Watch]) -> list[BudgetView]:
    """Return every budget and what is used of it this month."""
    return await watch.budgets()


@get("/api/alerts", guards=[requires("viewer")], operation_id="alerts", tags=["costs"])
async def alerts(watch: NamedDependency[Watch], limit: Limit = 50) -> list[dict[str, Any]]:
    """Return what was said of budgets and of steps slower than usual, the latest first."""
    return named_alerts(watch.alerts(limit))

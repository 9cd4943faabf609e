"""The page of costs, and its glance on the page of runs."""

from __future__ import annotations

from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from control_plane.api.guards import requires
from control_plane.budgets import BadBudgets, BudgetView
from control_plane.costs import ledger, month_named
from control_plane.parts import Parts
from control_plane.web.port import RecordAway
from control_plane.web.reader import asked, must_record
from control_plane.web.site import Site, Visit
from control_plane.web.spending import CostView, cost_view
from runtime.engine.prices import BadCatalogue, load_prices


@get("/costs", guards=[requires("viewer")], include_in_schema=False)
async def costs_page(
    request: Visit, site: NamedDependency[Site], parts: NamedDependency[Parts],
    month: FromQuery[str] = "", playbook: FromQuery[str] = "",
) -> Response[str]:  # fmt: skip
    """Show what a month cost: by day and by step, against budgets, and how much is known."""
    context: dict[str, Any] = {"problem": "", "view": None}
    try:
        context["view"] = await _view(parts, month, playbook)
    except (RecordAway, BadBudgets, BadCatalogue) as fault:
        context["problem"] = str(fault)
    return await site.page(
        request, "costs.html", section="Costs", title="Costs", playbook=playbook,
        paths=site.pages.paths(), **context,
    )  # fmt: skip


@get("/costs/glance", guards=[requires("viewer")], include_in_schema=False)
async def costs_glance(
    site: NamedDependency[Site], parts: NamedDependency[Parts]
) -> Response[str]:
    """Say this month's cost in a line; nothing while the record is away."""
    try:
        view = await _view(parts, "", "")
    except (RecordAway, BadBudgets, BadCatalogue):
        return Response("", media_type="text/html")
    return Response(site.part("parts/glance.html", view=view), media_type="text/html")


async def _view(parts: Parts, month: str, playbook: str) -> CostView:
    must_record(parts.recorder)
    now = parts.clock()
    since, until = month_named(month, now)
    journal = parts.engine.journal
    rows = await asked(ledger(parts.readings, journal, since, until, playbook))
    budgets = await asked(parts.watch.budgets()) if since <= now < until else []
    alerts = [r for r in parts.watch.alerts(200) if playbook in ("", _whose(r.event))]
    example = load_prices(parts.folder.root).example
    return cost_view(since, rows, _of(budgets, playbook), alerts, example, now)


def _of(budgets: list[BudgetView], playbook: str) -> list[BudgetView]:
    return [b for b in budgets if playbook in ("", b.playbook)]


def _whose(event: Any) -> str:
    return str(getattr(event, "playbook", ""))

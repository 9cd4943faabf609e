"""The pages that only read: search, trends, playbooks, schedules, system."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from control_plane.api.guards import requires
from control_plane.errors import NotFound
from control_plane.web import picture
from control_plane.web.charts import charts
from control_plane.web.port import RecordAway, TrendQuestion
from control_plane.web.searching import WHENS, Wanted
from control_plane.web.site import Site, Visit

InState = Annotated[str, QueryParameter(name="state")]  # `state` is a reserved word of Litestar
KINDS: Final = (
    ("", "all"), ("run", "runs"), ("failure", "failures"), ("playbook", "playbooks"),
    ("step", "steps"), ("log", "printed lines"), ("slow", "slow attempts"),
    ("retried", "retried attempts"), ("product", "data products"), ("proposal", "proposals"),
    ("lesson", "lessons"),
)  # fmt: skip
BYS: Final = (
    ("step", "step"), ("playbook", "playbook"), ("configuration", "configuration"),
    ("hardware", "hardware"), ("version", "version"), ("arm", "arm of an experiment"),
)  # fmt: skip
SPANS: Final = (
    (1.0, "the last hour"), (24.0, "the last day"), (168.0, "the last week"),
    (720.0, "the last month"),
)  # fmt: skip
LONGEST_HOURS: Final = 10 * 366 * 24.0
MOST_ROWS: Final = 200


@get("/search", guards=[requires("viewer")], include_in_schema=False)
async def search_page(
    request: Visit, site: NamedDependency[Site], q: FromQuery[str] = "",
    kind: FromQuery[str] = "", playbook: FromQuery[str] = "", step: FromQuery[str] = "",
    in_state: InState = "", hardware: FromQuery[str] = "", hours: FromQuery[str] = "",
    since: FromQuery[str] = "", until: FromQuery[str] = "", like: FromQuery[str] = "",
    causes: FromQuery[bool] = False,
) -> Response[str]:  # fmt: skip
    """Show what fits the words best, what is like a run, or failures by cause."""
    wanted = Wanted(
        q.strip()[:2000], kind, playbook, step, in_state, hardware, hours, since, until,
        like.strip()[:100], causes and not q.strip(),
    )  # fmt: skip
    context: dict[str, Any] = {"hits": [], "problem": "", "facets": {}, "causes": None}
    try:
        question = wanted.question(site.pages.now())
        if wanted.causes:
            context["causes"] = await site.pages.causes(question)
        elif question.text or question.like:
            context["hits"] = await site.pages.search(question)
        if question.text:
            context["facets"] = await site.pages.facets(question)
    except (RecordAway, ValueError) as fault:
        context["problem"] = str(fault)
    return await site.page(
        request, "search.html", section="Search", title="Search", wanted=wanted, kinds=KINDS,
        whens=WHENS, paths=site.pages.paths(), classes=site.pages.hardware(), **context,
    )  # fmt: skip


@get("/trends", guards=[requires("viewer")], include_in_schema=False)
async def trends_page(
    request: Visit, site: NamedDependency[Site], by: FromQuery[str] = "step",
    playbook: FromQuery[str] = "", step: FromQuery[str] = "", hours: FromQuery[float] = 24.0,
) -> Response[str]:  # fmt: skip
    """Show latency and cost over time."""
    by = by if by in dict(BYS) else "step"
    hours = hours if 0 < hours <= LONGEST_HOURS else SPANS[1][0]
    question = TrendQuestion(by, playbook, step.strip(), hours)
    context: dict[str, Any] = {"problem": "", "charts": [], "rows": [], "left_out": 0, "bucket": 0,
                               "moved": []}  # fmt: skip
    try:
        trend = await site.pages.trends(question)
    except RecordAway as away:
        context["problem"] = str(away)
    else:
        rows = sorted(trend.points, key=lambda p: (-p.at, p.line))
        context |= {
            "charts": charts(trend), "rows": rows[:MOST_ROWS], "bucket": trend.bucket_s,
            "left_out": max(0, len(rows) - MOST_ROWS), "moved": trend.changes,
        }  # fmt: skip
    return await site.page(
        request, "trends.html", section="Trends", title="Trends", styled=True,
        question=question, bys=BYS, spans=SPANS, paths=site.pages.paths(), **context,
    )  # fmt: skip


@get("/playbooks", guards=[requires("viewer")], include_in_schema=False)
async def playbooks_page(request: Visit, site: NamedDependency[Site]) -> Response[str]:
    """Show the catalogue."""
    lines = await site.pages.playbooks()
    return await site.page(
        request, "playbooks.html", section="Playbooks", title="Playbooks", lines=lines
    )


@get("/playbooks/{path:path}", guards=[requires("viewer")], include_in_schema=False)
async def playbook_page(
    request: Visit, path: FromPath[str], site: NamedDependency[Site],
    version: FromQuery[int | None] = None,
) -> Response[str]:  # fmt: skip
    """Show one version of a playbook."""
    name = str(path).strip("/")
    view = await site.pages.playbook(name, version)
    if view is None:
        raise NotFound("playbook", name if version is None else f"{name} version {version}")
    net = picture.draw(view.playbook, {}) if view.playbook else ""
    return await site.page(
        request, "playbook.html", section="Playbooks", title=name, view=view, net=net,
        r=view.registered, playbook=view.playbook, knobs=view.knobs,
    )  # fmt: skip


@get("/schedules", guards=[requires("viewer")], include_in_schema=False)
async def schedules_page(request: Visit, site: NamedDependency[Site]) -> Response[str]:
    """Show what starts by itself."""
    lines = await site.pages.schedules()
    return await site.page(
        request, "schedules.html", section="Schedules", title="Schedules", lines=lines
    )


@get("/system", guards=[requires("viewer")], include_in_schema=False)
async def system_page(request: Visit, site: NamedDependency[Site]) -> Response[str]:
    """Show the installation."""
    system = await site.pages.system()
    return await site.page(request, "system.html", section="System", title="System", system=system)

"""The application: routes, and the parts each of them asks for by name.

This is the one place where the HTTP face is joined to the services. Routes name what
they need (``runs``, ``reviews``, …); guards, limits and the one error handler stand here
once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ControllerRouterHandler

from control_plane.api import (
    costs,
    health,
    history,
    loop,
    metrics,
    operations,
    retention,
    schedules,
    search,
    signin,
    trends,
    values,
)
from control_plane.api.guards import WhoAsks, own_page, signed_in
from control_plane.api.playbooks import PlaybooksController, editor_schema
from control_plane.api.problems import Anyone, Page, handler
from control_plane.api.proposals import ProposalsController
from control_plane.api.runs import RunsController
from control_plane.parts import Parts

ROUTES: Final[tuple[ControllerRouterHandler, ...]] = (
    RunsController, operations.retry, operations.actions, PlaybooksController, editor_schema,
    ProposalsController, schedules.SchedulesController,
    schedules.jobs, search.search, trends.trends, loop.optimize, loop.inputs, loop.calibrate,
    loop.calibration, loop.kill, loop.killed,
    trends.measures, trends.changes, costs.costs, costs.cost_days, costs.run_cost, costs.export,
    costs.budgets, costs.alerts,
    search.facets, search.causes, search.similar, search.reindex,
    history.attempts, history.transitions, history.trends,
    retention.collect, values.of_run, values.of_step, values.object_,
    health.live, health.ready, health.status, health.workers, metrics.scrape, signin.make_link,
    signin.sign_in, signin.sign_out, signin.me,
)  # fmt: skip


def build_app(
    parts: Parts,
    web: Sequence[ControllerRouterHandler] = (),
    page: Page | None = None,
) -> Litestar:
    """Return the application over these parts.

    ``web`` are the pages' routes, ``page`` draws a problem for a browser.
    """
    handle = handler(page)
    limits = parts.settings.limits
    return Litestar(
        route_handlers=[*ROUTES, *web],
        dependencies=_provided(parts),
        exception_handlers={HTTPException: handle, Exception: handle},
        guards=[signed_in, own_page],
        middleware=[
            DefineMiddleware(WhoAsks, keys=parts.keys),
            _rate_limit(limits.requests_per_minute).middleware,
        ],
        request_max_body_size=limits.body_bytes,
        openapi_config=_openapi(),
        logging_config=None,
    )


def _provided(parts: Parts) -> dict[str, Provide]:
    """Return each part under the name by which a route asks for it."""

    def give(part: Any) -> Provide:
        return Provide(lambda: part, sync_to_thread=False)

    names = (
        "settings", "clock", "keys", "engine", "runs", "playbooks", "readings", "reviews",
        "drafts", "experiments", "schedules", "streams", "loop",
        "upkeep", "metrics", "watch",
    )  # fmt: skip
    return {"parts": give(parts)} | {name: give(getattr(parts, name)) for name in names}


def _rate_limit(per_minute: int) -> RateLimitConfig:
    def whose(request: Anyone) -> str:
        host = request.client.host if request.client else "nobody"
        return request.user.key if request.user is not None else host

    return RateLimitConfig(
        rate_limit=("minute", per_minute),
        exclude=["^/health/", "^/static/"],
        identifier_for_request=whose,
    )


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Trimtab",
        version="1",
        description="Runs playbooks as replayable token flows, and tunes them.",
        path="/schema",
        use_handler_docstrings=True,
        render_plugins=[JsonRenderPlugin()],
        openapi_router=Router("/schema", route_handlers=[], opt={"public": True}),
        components=Components(
            security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}
        ),
        security=[{"key": []}],
    )

"""The pages as one router, and the page that a refusal becomes in a browser.

`web_router` is all that the application needs: it brings the routes, the static files and
the site's ports, and leaves who is asking and what a form must carry to the guards that
the whole application has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from litestar import Response, Router
from litestar.datastructures import CacheControlHeader
from litestar.di import Provide
from litestar.static_files import create_static_files_router

from control_plane.api.problems import Problem
from control_plane.web import cost_pages, proposal_pages, reading_pages, run_pages, steering_pages
from control_plane.web.site import Site, Visit, bare

STATIC: Final = Path(__file__).parent / "static"


def web_router(site: Site) -> Router:
    """Return the routes of all pages over the ports of ``site``."""
    return Router(
        path="/",
        route_handlers=[
            run_pages.runs_page, run_pages.runs_live, run_pages.run_page, run_pages.run_live,
            run_pages.events_page, steering_pages.send, steering_pages.answer,
            steering_pages.steer, proposal_pages.inbox_page,
            proposal_pages.proposal_page, proposal_pages.proposal_live,
            proposal_pages.approve, proposal_pages.reject, proposal_pages.roll_back,
            proposal_pages.pause, proposal_pages.resume, reading_pages.search_page,
            reading_pages.trends_page, cost_pages.costs_page, cost_pages.costs_glance,
            reading_pages.playbooks_page, reading_pages.playbook_page,
            reading_pages.schedules_page, reading_pages.system_page, _static(),
        ],
        dependencies={"site": Provide(lambda: site, sync_to_thread=False)},
        include_in_schema=False,
    )  # fmt: skip


def _static() -> Router:
    return create_static_files_router(
        path="/static",
        directories=[STATIC],
        opt={"public": True},
        include_in_schema=False,
        cache_control=CacheControlHeader(max_age=300),
    )


def problem_page(request: Visit, problem: Problem) -> Response[Any]:
    """Draw a refusal for a person: what it is, and what to do now."""
    if problem.status == 401:
        return _sign_in(problem)
    about = [problem.detail[:1].upper() + problem.detail[1:] + ".", problem.hint]
    if problem.instance:
        about.append(f"The server's log says more under {problem.instance}.")
    response = bare(
        "entry.html", str(problem.body()["title"]), problem.status,
        heading=str(problem.body()["title"]), paragraphs=[p for p in about if p],
        command="", back="/",
    )  # fmt: skip
    response.headers.update(problem.headers)
    return response


def _sign_in(problem: Problem) -> Response[Any]:
    said = [] if problem.detail == "nobody is signed in" else [f"{problem.detail}."]
    return bare(
        "entry.html", "Sign in", 401, heading="Sign in",
        paragraphs=[*said, "Pages open with a one-time link. Make one where Trimtab runs:"],
        command="trimtab sign-in", back="",
    )  # fmt: skip

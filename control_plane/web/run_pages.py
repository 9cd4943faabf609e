"""The pages about runs: the list, one run, its events, and the streams that keep them live.

A live page is drawn by the same template as a still one: each time the run moved, the
part is rendered again and sent, at most every `BEAT_S`. The last message of a run that
ended closes the stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import ServerSentEvent, ServerSentEventMessage

from control_plane.api.guards import requires
from control_plane.auth import Principal
from control_plane.errors import NotFound
from control_plane.streams import TooManyStreams, wait
from control_plane.web import gantt, picture
from control_plane.web.picture import StepView
from control_plane.web.port import RunFilter, RunLine, RunView
from control_plane.web.site import Site, Visit
from control_plane.web.steering_pages import asked, buttons
from control_plane.web.step_states import step_states
from control_plane.web.step_story import StepStory
from control_plane.web.telling import is_trouble
from control_plane.web.words import count, plural, seconds
from runtime.run.events import Recorded

State = Annotated[str, QueryParameter(name="state")]  # `state` is a reserved word of Litestar
BEAT_S: Final = 0.4
HEARTBEAT_S: Final = 15.0
RECENT: Final = 12
EVENTS_A_PAGE: Final = 200
STATES: Final = (
    ("", "all"), ("live", "live"), ("waiting", "waiting for hours"),
    ("completed", "completed"), ("failed", "failed"), ("cancelled", "cancelled"),
)  # fmt: skip


@get("/", guards=[requires("viewer")], include_in_schema=False)
async def runs_page(
    request: Visit, site: NamedDependency[Site], in_state: State = "",
    playbook: FromQuery[str] = "", system: FromQuery[str] = "", before: FromQuery[str] = "",
) -> Response[str]:  # fmt: skip
    """Show the runs that were asked for."""
    wanted = RunFilter(in_state, playbook, system == "1", before)
    context = {**await runs_context(site, wanted), "live_url": _live_url(wanted)}
    if "hx-request" in request.headers:
        return Response(site.part("parts/runs.html", **context), media_type="text/html")
    return await site.page(
        request, "runs.html", section="Runs", title="Runs", wanted=wanted, states=STATES,
        paths=site.pages.paths(), **context,
    )  # fmt: skip


@get("/runs/live", guards=[requires("viewer")], include_in_schema=False)
async def runs_live(
    site: NamedDependency[Site], in_state: State = "", playbook: FromQuery[str] = "",
    system: FromQuery[str] = "",
) -> ServerSentEvent:  # fmt: skip
    """Send the rows again each time a run moved."""
    wanted = RunFilter(in_state, playbook, system == "1")

    async def rows() -> tuple[str, bool]:
        return site.part("parts/run_rows.html", **await runs_context(site, wanted)), False

    return ServerSentEvent(live(site, lambda e: e.stream.startswith("run/"), rows))


@get("/runs/{run:str}", guards=[requires("viewer")], include_in_schema=False)
async def run_page(
    request: Visit, run: FromPath[str], site: NamedDependency[Site]
) -> Response[str]:
    """Show one run."""
    view = await _view(site, run)
    context = await run_context(site, view, request.user)
    title = f"{view.row.playbook} {run[-8:]}"
    return await site.page(request, "run.html", section="Runs", title=title, **context)


@get("/runs/{run:str}/live", guards=[requires("viewer")], include_in_schema=False)
async def run_live(
    request: Visit, run: FromPath[str], site: NamedDependency[Site]
) -> ServerSentEvent:
    """Send a run's picture, and what may be done with it, again each time it moved."""
    who = request.user
    await _view(site, run)

    async def drawn() -> tuple[str, bool]:
        view = await _view(site, run)
        context = await run_context(site, view, who)
        return site.part("parts/run.html", visitor=who, **context), view.story.ended

    def said() -> object:
        return site.pages.said(run)

    return ServerSentEvent(live(site, lambda e: e.stream == f"run/{run}", drawn, said))


@get("/runs/{run:str}/events", guards=[requires("viewer")], include_in_schema=False)
async def events_page(
    request: Visit, run: FromPath[str], site: NamedDependency[Site],
    after: FromQuery[int] = 0, only: FromQuery[str] = "",
) -> Response[str]:  # fmt: skip
    """Show the events of a run past a sequence."""
    view = await _view(site, run)
    found = await _events(site, run, max(0, after), only == "trouble")
    shown = found[:EVENTS_A_PAGE]
    return await site.page(
        request, "events.html", section="Runs", title=f"Events of {run[-8:]}", run=run,
        events=shown, more=len(found) > EVENTS_A_PAGE, after=max(0, after), only=only,
        next_after=shown[-1].stream_seq if shown else after, page=EVENTS_A_PAGE,
        length=view.story.length, origin=view.story.submitted_at,
    )  # fmt: skip


async def live(
    site: Site,
    wanted: Callable[[Recorded], bool],
    drawn: Callable[[], Any],
    seen: Callable[[], object] | None = None,
) -> AsyncIterator[ServerSentEventMessage]:
    """Yield what ``drawn`` gives at the start and after each change, until it says it ended.

    A change is an event that is ``wanted``, or that what is ``seen`` is another thing.
    """
    try:
        with site.news.open(wanted) as news:
            while not site.news.closing:
                part, ended = await drawn()
                yield ServerSentEventMessage(data=part)
                if ended:
                    yield ServerSentEventMessage(event="ended", data="ended")
                    return
                await asyncio.sleep(BEAT_S)
                while not await wait(news, HEARTBEAT_S, seen):
                    yield ServerSentEventMessage(comment="still here", data=None)
    except TooManyStreams as fault:
        yield ServerSentEventMessage(comment=str(fault), data=None, retry=10_000)


async def runs_context(site: Site, wanted: RunFilter) -> dict[str, Any]:
    """Return what the rows of the list need."""
    lines = await site.pages.runs(wanted)
    now = site.pages.now()
    return {
        "lines": lines,
        "longest": max((line.seconds(now) for line in lines), default=0.0) or 1.0,
        "filtered": bool(wanted.state or wanted.playbook or wanted.before),
        "older": _older(wanted, lines),
    }


async def run_context(site: Site, view: RunView, who: Principal) -> dict[str, Any]:
    """Return what the picture of a run needs, and the forms that this person may fill in."""
    story, now = view.story, site.pages.now()
    order = [s.name for s in view.playbook.steps] if view.playbook else []
    since = max(0, story.length - RECENT)
    return {
        "run": view.row.run, "story": story, "waits": view.waits, "configs": view.configs,
        "said": site.pages.said(view.row.run),
        "net": net_of(view), "gantt": gantt.draw(story, now, order),
        "recent": list(reversed(await site.pages.events(view.row.run, since, RECENT))),
        "origin": story.submitted_at,
        "buttons": buttons(view.row.state, view.row.actor, who),
        "asked": asked(story, view.row.actor, who),
    }  # fmt: skip


def net_of(view: RunView) -> str:
    """Return the picture of the run's net as it stands, or nothing without its playbook."""
    if view.playbook is None:
        return ""
    states = step_states(view.playbook, view.story)
    views = {name: step_view(view.story.steps.get(name), state) for name, state in states.items()}
    return picture.draw(view.playbook, views)


def step_view(step: StepStory | None, state: str) -> StepView:
    """Return what the picture says of a step."""
    if step is None:
        return StepView(state)
    arcs = None if step.arcs is None else tuple(step.arcs)
    if step.is_each:
        said = f"{count(step.items_done)} of {count(step.items)}"
        return StepView(state, said, step.share_done, arcs)
    if step.first_at is None or step.last_at is None:
        return StepView(
            state, plural(step.scheduled, "try") if step.scheduled > 1 else "", None, arcs
        )
    return StepView(state, seconds(step.last_at - step.first_at), None, arcs)


async def _view(site: Site, run: str) -> RunView:
    view = await site.pages.run(run)
    if view is None:
        raise NotFound("run", run)
    return view


async def _events(site: Site, run: str, after: int, trouble: bool) -> list[Recorded]:
    """Return one event more than a page holds, so that the page knows whether to go on."""
    if not trouble:
        return await site.pages.events(run, after, EVENTS_A_PAGE + 1)
    found: list[Recorded] = []
    while len(found) <= EVENTS_A_PAGE:
        events = await site.pages.events(run, after, 2000)
        if not events:
            break
        found += [one for one in events if is_trouble(one.event)]
        after = events[-1].stream_seq
    return found


def _query(wanted: RunFilter, **more: str) -> str:
    asked: Mapping[str, str] = {
        "state": wanted.state, "playbook": wanted.playbook, "system": "1" if wanted.system else "",
        **more,
    }  # fmt: skip
    return urlencode({key: value for key, value in asked.items() if value})


def _live_url(wanted: RunFilter) -> str:
    """Only the first page moves by itself; older runs stay where they are."""
    return "" if wanted.before else f"/runs/live?{_query(wanted)}"


def _older(wanted: RunFilter, lines: list[RunLine]) -> str:
    if len(lines) < wanted.limit:
        return ""
    return f"/?{_query(wanted, before=lines[-1].row.run)}"

"""What every page handler is given, and how a page becomes an answer.

The content policy allows nothing from elsewhere and no inline script; only pages with a
chart let their elements carry style attributes, which ECharts needs for its tooltips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from litestar import MediaType, Request, Response

from control_plane.web.port import Desk, News, Pages
from control_plane.web.render import render

MENU: Final = (
    ("Runs", "/"), ("Proposals", "/proposals"), ("Search", "/search"), ("Trends", "/trends"),
    ("Costs", "/costs"),
    ("Playbooks", "/playbooks"), ("Schedules", "/schedules"), ("System", "/system"),
)  # fmt: skip
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
CHART_POLICY: Final = POLICY + "; style-src-attr 'unsafe-inline'"
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Visit = Request[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Site:
    """The ports that the pages stand on."""

    pages: Pages
    desk: Desk
    news: News

    async def page(
        self, request: Visit, template: str, *, section: str, title: str, status: int = 200,
        styled: bool = False, **context: Any,
    ) -> Response[str]:  # fmt: skip
        """Return a whole page for whoever is signed in."""
        dossiers = await self.pages.proposals()
        waiting = sum(d.state == "proposed" for d in dossiers)
        frame = {"section": section, "title": title, "waiting": waiting,
                 "visitor": request.user, "now": self.pages.now()}  # fmt: skip
        return answer(render(template, {**_FRAME, **frame, **context}), status, charts=styled)

    def part(self, template: str, **context: Any) -> str:
        """Return a piece of a page, as a live page asks for it."""
        return render(template, {"now": self.pages.now(), **context})


_FRAME: Final[dict[str, Any]] = {"menu": MENU}


def answer(body: str, status: int = 200, *, charts: bool = False) -> Response[str]:
    """Return HTML with the headers that every page has."""
    headers = {**HEADERS, "Content-Security-Policy": CHART_POLICY if charts else POLICY}
    return Response(body, status_code=status, media_type=MediaType.HTML, headers=headers)


def bare(template: str, title: str, status: int = 200, **context: Any) -> Response[str]:
    """Return a page for somebody who may not be signed in."""
    frame = {**_FRAME, "visitor": None, "section": "", "title": title, "waiting": 0}
    return answer(render(template, {**frame, **context}), status)

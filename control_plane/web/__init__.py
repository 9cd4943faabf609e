"""The web pages: drawn on the server, readable without JavaScript, served from here alone.

`pages` is what the application asks for; `port` says what the pages read and where
decisions go, `reader` and `desk` answer that from a running server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litestar import Router

    from control_plane.api.problems import Page
    from control_plane.parts import Parts


def pages(parts: Parts) -> tuple[Sequence[Router], Page]:
    """Return the routes of the pages, and what draws a problem for a browser."""
    from control_plane.web.build import site_of
    from control_plane.web.router import problem_page, web_router

    return [web_router(site_of(parts))], problem_page

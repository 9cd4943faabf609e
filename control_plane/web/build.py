"""Joins the pages to the parts of a running server."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from control_plane.parts import Parts
from control_plane.web.desk import ReviewDesk
from control_plane.web.reader import JournalPages
from control_plane.web.site import Site


def site_of(parts: Parts) -> Site:
    """Return the site over these parts."""
    about = {
        "release": _release(),
        "data folder": str(parts.folder.root),
        "worker slots": parts.settings.workers.slots,
        "policy profile": parts.settings.review.profile,
    }
    reader = JournalPages(
        parts.engine, parts.readings, parts.schedules, parts.recorder, parts.clock, about
    )
    return Site(reader, ReviewDesk(parts.reviews), parts.streams)


def _release() -> str:
    try:
        return version("trimtab")
    except PackageNotFoundError:
        return "a checkout"

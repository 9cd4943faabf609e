"""The recorder's side of search: opens the points once, writes, searches and renews them."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Any

from runtime.data.folder import DataFolder
from runtime.journal.sqlite import SqliteReader
from runtime.record.access import RecordSettings
from runtime.record.causes import MOST, causes
from runtime.record.collection import open_points
from runtime.record.embed import Embedder, embedder
from runtime.record.follow import Known
from runtime.record.mark import Mark
from runtime.record.point_sink import PointSink
from runtime.record.points import marks
from runtime.record.qdrant import FILTERS, TIMES, Points, Where
from runtime.record.ranking import facets, hits
from runtime.record.search import BY, LIMIT


class VectorIndex:
    """The points of a data folder, for the feed that writes them and those who search."""

    def __init__(self, folder: DataFolder, settings: RecordSettings) -> None:
        self._folder, self._settings = folder, settings
        self._embedder: Embedder = embedder(settings.embedder)
        self._points: Points | None = None
        self._turn = threading.Lock()

    def sink(self) -> PointSink:
        """Return the sink for a feed."""
        return PointSink(self._opened(), self._embedder)

    def search(
        self, text: str, *, by: str = "both", limit: int = 20, **filters: str | float
    ) -> list[dict[str, Any]]:
        """Return the best hits as JSON, best first."""
        if by not in BY:
            raise ValueError(f"by is one of {', '.join(BY)}, not {by!r}")
        found = hits(
            self._opened(), self._embedder, text, _where(filters), max(1, min(limit, LIMIT)), by
        )
        return [asdict(h) for h in found]

    def facets(self, text: str, **filters: str | float) -> dict[str, dict[str, int]]:
        """Return how many of what a search finds has each value of each facet."""
        return facets(self._opened(), self._embedder, text, _where(filters))

    def similar(self, run: str, *, limit: int = 20, **filters: Any) -> list[dict[str, Any]]:
        """Return what is like a run that ended, as JSON; its own points are left out."""
        mine = self._marks_of(run)
        ends = [m for m in mine if m.kind == "run"]
        if not ends:
            raise ValueError(f"run {run} is not there, or has not ended")
        own, asked = {m.point for m in mine}, ends[-1]
        text = str(asked.payload.get("error") or asked.text)
        limit = max(1, min(limit, LIMIT))
        found = self.search(text, limit=min(LIMIT, limit + len(own)), **filters)
        return [h for h in found if h["id"] not in own][:limit]

    def causes(self, **filters: str | float) -> list[dict[str, Any]]:
        """Return the failures that fit a filter, grouped by cause."""
        where = {**_where(filters), "kind": "failure"}
        return [asdict(c) for c in causes(self._opened().listed(where, MOST), self._embedder)]

    def ids(self) -> list[str]:
        """Return the ids of all points, in order."""
        return sorted(self._opened().ids())

    def close(self) -> None:
        """Make everything durable and let go."""
        with self._turn:
            if self._points is not None:
                self._points.close()
                self._points = None

    def _marks_of(self, run: str) -> list[Mark]:
        source = SqliteReader.open(self._folder.journal)
        try:
            return list(marks(source.read(f"run/{run}"), Known(source)))
        finally:
            source.close()

    def _opened(self) -> Points:
        with self._turn:
            if self._points is None:
                self._points = open_points(self._folder, self._settings, self._embedder)
            return self._points


def _where(filters: dict[str, Any]) -> Where:
    strange = sorted(set(filters) - {*FILTERS, *TIMES})
    if strange:
        raise ValueError(f"no filter {', '.join(strange)}; there are {', '.join(FILTERS)}")
    return {key: value for key, value in filters.items() if value}

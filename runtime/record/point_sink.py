"""The sink of search: writes the points that the journal's events mark."""

from __future__ import annotations

from typing import Any, Final

from runtime.record.derive import Lookup
from runtime.record.embed import Embedder
from runtime.record.follow import Batch
from runtime.record.mark import Mark, merge
from runtime.record.points import marks, means
from runtime.record.qdrant import Point, Points
from runtime.record.vectors import dense, sparse

_PUT: Final = 500
_SAID: Final = ("text", "error", "about")
"""What of a payload is made into vectors."""


class PointSink:
    """Writes the points that a batch marks. Doing it again changes nothing."""

    def __init__(self, points: Points, embedder: Embedder) -> None:
        self._points, self._embedder = points, embedder

    def is_new(self) -> bool:
        """Whether there is no collection yet."""
        return not self._points.exists()

    def prepare(self) -> None:
        """Make the collection unless it exists."""
        if self.is_new():
            self._points.prepare(self._embedder.dimensions)

    def holds(self, cursor: dict[int, int]) -> bool:
        """Whether there are no points, or something that they were made from."""
        return bool(cursor) or next(self._points.ids(), None) is None

    def clear(self) -> None:
        """Remove the collection."""
        self._points.clear()

    def needs(self, type_: str, version: int, body: str) -> bool:
        """Whether an event of this text may mark a point."""
        return means(type_, version, body)

    def write(self, batch: Batch, lookup: Lookup) -> None:
        """Merge the batch's marks into their points."""
        found: dict[str, list[Mark]] = {}
        for mark in marks((f.recorded for f in batch.facts), lookup):
            found.setdefault(mark.point, []).append(mark)
        ids = list(found)
        for start in range(0, len(ids), _PUT):
            self._write({i: found[i] for i in ids[start : start + _PUT]})
        if found:
            self._points.flush()

    mend = write

    def _write(self, found: dict[str, list[Mark]]) -> None:
        known = self._points.payloads(list(found))
        fresh, again = dict[str, dict[str, Any]](), dict[str, dict[str, Any]]()
        for point, said in found.items():
            old = known.get(point)
            payload = merge(old, said)
            if old is None or any(old.get(key) != payload.get(key) for key in _SAID):
                fresh[point] = payload
            elif payload != old:
                again[point] = payload
        self._put(fresh)
        # What happened once more, in the same words: the vectors stand as they are.
        self._points.tell(again)

    def _put(self, payloads: dict[str, dict[str, Any]]) -> None:
        vectors = dense(list(payloads.values()), self._embedder)
        self._points.put(
            [
                Point(point, vector, sparse(payload), payload)
                for (point, payload), vector in zip(payloads.items(), vectors, strict=True)
            ]
        )

    def beside(self) -> PointSink:
        """Return a sink of an empty collection, to be filled in place of this one."""
        return PointSink(self._points.beside(), self._embedder)

    def become(self, other: PointSink) -> None:
        """Serve from now on what was filled beside it."""
        self._points.become(other._points)

    def close(self) -> None:
        """Nothing is held back: every write is already there."""

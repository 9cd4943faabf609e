"""Search: what the record holds that means something like this, or says these words.

Two rankings of the same points, by meaning (dense) and by words (BM25), are fused by
reciprocal rank. Each hit says which of them found it, and where in the journal it leads::

    for hit in Search.open(folder).search("service did not answer", kind="failure"):
        print(hit.score, hit.text, hit.why)
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from runtime.data.folder import DataFolder
from runtime.record.access import RecordSettings, ask
from runtime.record.embed import Embedder, embedder, sparse_query, stem, words
from runtime.record.masking import mask
from runtime.record.qdrant import Found, Points, PointSink, Where, open_points

_RRF: Final = 60
_SIMILAR: Final = 0.2
"""Below this cosine two texts have nothing to do with each other."""
_DEEP: Final = 100
LIMIT: Final = 200


@dataclass(frozen=True, slots=True)
class Hit:
    """A point that answers a search.

    ``why`` holds ``meaning`` (``{rank, similarity}``) and ``words`` (``{rank, matched}``),
    each only when that ranking found it. ``stream`` and ``stream_seq`` lead to the latest
    event it stands for; ``count`` says how many events share it.
    """

    id: str
    kind: str
    text: str
    score: float
    why: dict[str, Any]
    playbook: str
    step: str
    state: str
    count: int
    first_at: float
    last_at: float
    stream: str
    stream_seq: int
    payload: dict[str, Any]

    @property
    def because(self) -> str:
        """Why it was found, in words."""
        said = []
        if "words" in self.why:
            said.append("says " + ", ".join(self.why["words"]["matched"]))
        if "meaning" in self.why:
            said.append(f"close in meaning ({self.why['meaning']['similarity']:.2f})")
        return "; ".join(said)


class Search:
    """Asks the recorder of a data folder."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder

    @classmethod
    def open(cls, folder: DataFolder | Path | str) -> Search:
        """Return a searcher of a data folder."""
        return cls(folder if isinstance(folder, DataFolder) else DataFolder(Path(folder)))

    def search(
        self, text: str, *, kind: str | None = None, playbook: str | None = None,
        step: str | None = None, state: str | None = None, limit: int = 20,
    ) -> list[Hit]:  # fmt: skip
        """Return the best hits, best first.

        Raises:
            RecorderAway: no recorder answers.
        """
        asked = {"kind": kind, "playbook": playbook, "step": step, "state": state}
        wanted = {k: v for k, v in asked.items() if v is not None}
        said = ask(self._folder, "/search", {"text": text, "limit": limit, **wanted})
        return [Hit(**hit) for hit in said["hits"]]

    def points(self) -> int:
        """Return how many points there are."""
        return len(self.ids())

    def ids(self) -> set[str]:
        """Return the ids of all points."""
        return set(ask(self._folder, "/points")["ids"])


class VectorIndex:
    """The recorder's side of search: opens the points once, writes and searches them."""

    def __init__(self, folder: DataFolder, settings: RecordSettings) -> None:
        self._folder, self._settings = folder, settings
        self._embedder: Embedder = embedder(settings.embedder)
        self._points: Points | None = None
        self._turn = threading.Lock()

    def sink(self) -> PointSink:
        """Return the sink for a feed."""
        return PointSink(self._opened(), self._embedder)

    def search(
        self, text: str, *, limit: int = 20, kind: str | None = None, playbook: str | None = None,
        step: str | None = None, state: str | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Return the best hits as JSON, best first."""
        asked = {"kind": kind, "playbook": playbook, "step": step, "state": state}
        where = {k: v for k, v in asked.items() if v}
        limit = max(1, min(limit, LIMIT))
        return [asdict(h) for h in hits(self._opened(), self._embedder, text, where, limit)]

    def ids(self) -> list[str]:
        """Return the ids of all points, in order."""
        return sorted(self._opened().ids())

    def close(self) -> None:
        """Make everything durable and let go."""
        with self._turn:
            if self._points is not None:
                self._points.close()
                self._points = None

    def _opened(self) -> Points:
        with self._turn:
            if self._points is None:
                self._points = open_points(self._folder, self._settings, self._embedder)
            return self._points


def hits(points: Points, model: Embedder, text: str, where: Where, limit: int) -> list[Hit]:
    """Return the best hits among points: both rankings, fused."""
    depth, asked, masked = max(limit, _DEEP), sparse_query(text), mask(text)
    # What is a number or an id alone has no meaning to be near to.
    meant = points.near(model.embed([masked])[0], where, depth) if words(masked) else []
    said = points.saying(asked, where, depth) if asked[0] else []
    return fuse(text, [p for p in meant if p.score >= _SIMILAR], said)[:limit]


def fuse(text: str, meant: Sequence[Found], said: Sequence[Found]) -> list[Hit]:
    """Return both rankings as one, best first; a hit of both comes before a hit of one."""
    asked = words(text)
    payloads: dict[str, dict[str, Any]] = {}
    scores: dict[str, float] = {}
    why: dict[str, dict[str, Any]] = {}
    for ranking, points in (("meaning", meant), ("words", said)):
        for rank, point in enumerate(points, start=1):
            name = point.id
            payloads[name] = point.payload
            scores[name] = scores.get(name, 0.0) + 1 / (_RRF + rank)
            told: dict[str, Any] = {"rank": rank}
            if ranking == "meaning":
                told["similarity"] = round(point.score, 4)
            else:
                there = {stem(w) for w in words(mask(point.payload["text"]))}
                told["matched"] = [w for w in dict.fromkeys(asked) if stem(w) in there]
            why.setdefault(name, {})[ranking] = told
    ranked = sorted(scores, key=lambda name: (-scores[name], name))
    return [_hit(name, payloads[name], scores[name], why[name]) for name in ranked]


def _hit(name: str, payload: dict[str, Any], score: float, why: dict[str, Any]) -> Hit:
    shown = (
        "kind",
        "text",
        "playbook",
        "step",
        "state",
        "count",
        "first_at",
        "last_at",
        "stream",
        "stream_seq",
    )
    rest = {k: v for k, v in payload.items() if k not in {*shown, "counted", "place"}}
    return Hit(id=name, score=score, why=why, payload=rest, **{k: payload[k] for k in shown})

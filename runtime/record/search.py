"""Search: what the record holds that means something like this, or says these words.

Two rankings of the same points, by meaning (dense) and by words (BM25), are fused by
reciprocal rank. Each hit says which of them found it, and where in the journal it leads::

    for hit in Search.open(folder).search("service did not answer", kind="failure"):
        print(hit.score, hit.text, hit.why)
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from runtime.data.folder import DataFolder
from runtime.record.access import RecordSettings, ask
from runtime.record.embed import Embedder, embedder, sparse_query, words
from runtime.record.masking import mask

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
    """The recorder's side of search: opens the store once, writes and searches it."""

    def __init__(self, folder: DataFolder, settings: RecordSettings) -> None:
        self._folder, self._settings = folder, settings
        self._embedder: Embedder = embedder(settings.embedder)
        self._store: Any = None
        self._turn = threading.Lock()

    def sink(self) -> Any:
        """Return the sink for a feed."""
        from runtime.record.qdrant import VectorSink

        return VectorSink(self._opened(), self._embedder)

    def search(
        self, text: str, *, limit: int = 20, kind: str | None = None, playbook: str | None = None,
        step: str | None = None, state: str | None = None,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Return the best hits as JSON, best first."""
        from runtime.record.qdrant import collection

        store, name = self._opened(), collection(self._embedder)
        if not store.collection_exists(name):
            return []
        wanted = {"kind": kind, "playbook": playbook, "step": step, "state": state}
        narrowed = {k: v for k, v in wanted.items() if v}
        found = hits(store, name, self._embedder, text, narrowed, max(1, min(limit, LIMIT)))
        return [asdict(hit) for hit in found]

    def ids(self) -> list[str]:
        """Return the ids of all points, in order."""
        from runtime.record.qdrant import collection

        store, name, after = self._opened(), collection(self._embedder), None
        ids: list[str] = []
        while store.collection_exists(name):
            page, after = store.scroll(name, limit=5_000, offset=after, with_payload=False)
            ids += [str(p.id) for p in page]
            if after is None:
                break
        return sorted(ids)

    def close(self) -> None:
        """Make everything durable and let go."""
        with self._turn:
            if self._store is not None:
                self._store.close()
                self._store = None

    def _opened(self) -> Any:
        # Half a second of imports: the endpoint answers before this is done.
        from runtime.record.qdrant import open_store

        with self._turn:
            if self._store is None:
                self._store = open_store(self._folder, self._settings)
            return self._store


def hits(
    store: Any, name: str, model: Embedder, text: str, wanted: Mapping[str, str], limit: int
) -> list[Hit]:
    """Return the best hits of a store: both rankings, fused."""
    from qdrant_client import models as m

    from runtime.record.qdrant import DENSE, SPARSE

    conditions: list[Any] = [
        m.FieldCondition(key=k, match=m.MatchValue(value=v)) for k, v in sorted(wanted.items())
    ]
    narrow = m.Filter(must=conditions) if conditions else None
    depth = max(limit, _DEEP)
    meant = store.query_points(
        name, model.embed([mask(text)])[0], using=DENSE, query_filter=narrow, limit=depth
    ).points
    indices, values = sparse_query(text)
    said = []
    if indices:
        query = m.SparseVector(indices=indices, values=values)
        said = store.query_points(
            name, query, using=SPARSE, query_filter=narrow, limit=depth
        ).points
    return fuse(text, [p for p in meant if p.score >= _SIMILAR], said)[:limit]


def fuse(text: str, meant: Sequence[Any], said: Sequence[Any]) -> list[Hit]:
    """Return both rankings as one, best first; a hit of both comes before a hit of one."""
    asked = words(text)
    payloads: dict[str, dict[str, Any]] = {}
    scores: dict[str, float] = {}
    why: dict[str, dict[str, Any]] = {}
    for ranking, points in (("meaning", meant), ("words", said)):
        for rank, point in enumerate(points, start=1):
            name = str(point.id)
            payloads[name] = point.payload
            scores[name] = scores.get(name, 0.0) + 1 / (_RRF + rank)
            told: dict[str, Any] = {"rank": rank}
            if ranking == "meaning":
                told["similarity"] = round(float(point.score), 4)
            else:
                there = set(words(mask(point.payload["text"])))
                told["matched"] = [w for w in dict.fromkeys(asked) if w in there]
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

"""Points: Qdrant's engine in this process (Edge), or a Qdrant server, behind one port.

The port has the few verbs that the record needs, in its own words, so that the default
never loads a client for servers. Edge searches exactly, without an index that would have
to be built: its ``optimize`` holds the interpreter for minutes and is never called. One
process may open a shard, and a second that tries breaks the first: the recorder's lock
comes before.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

from runtime.record.embed import Dense, Sparse

Where: TypeAlias = Mapping[str, str | float]
"""Payload field → the value it must have; ``since`` and ``until`` bound when it happened."""

FILTERS: Final = (
    "kind", "playbook", "step", "state", "fingerprint", "run", "hardware", "product", "actor",
)  # fmt: skip
TIMES: Final = {"since": ("last_at", "gte"), "until": ("first_at", "lte")}
"""A bound → the payload's time that it holds for, and how."""
DENSE: Final = "meaning"
SPARSE: Final = "words"
PAGE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Point:
    """What is stored: both vectors and the payload, under an id that is a UUID."""

    id: str
    dense: Dense
    sparse: Sparse
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """A point that a query found. ``score`` is the cosine, or BM25's."""

    id: str
    score: float
    payload: dict[str, Any]


class Points(Protocol):
    """One collection of points. What was written is kept once `flush` returns."""

    def exists(self) -> bool:
        """Whether the collection was made."""
        ...

    def prepare(self, size: int) -> None:
        """Make the collection for dense vectors of this size, unless it exists."""
        ...

    def payloads(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the payloads of those of these points that exist."""
        ...

    def put(self, points: Sequence[Point]) -> None:
        """Write points; one that exists is replaced."""
        ...

    def tell(self, payloads: Mapping[str, dict[str, Any]]) -> None:
        """Replace the payloads of points that exist; their vectors stay."""
        ...

    def flush(self) -> None:
        """Make durable what was written."""
        ...

    def near(self, dense: Dense, where: Where, limit: int) -> list[Found]:
        """Return the points nearest in meaning, nearest first."""
        ...

    def saying(self, sparse: Sparse, where: Where, limit: int) -> list[Found]:
        """Return the points that say these words, rarer words first."""
        ...

    def listed(self, where: Where, limit: int) -> list[dict[str, Any]]:
        """Return payloads of points that fit a filter, in no order."""
        ...

    def ids(self) -> Iterator[str]:
        """Yield the ids of all points."""
        ...

    def beside(self) -> Points:
        """Return an empty collection to be filled while this one serves."""
        ...

    def become(self, other: Points) -> None:
        """Take the place of this collection with the one that was filled beside it."""
        ...

    def clear(self) -> None:
        """Remove the collection."""
        ...

    def close(self) -> None:
        """Make everything durable and let go."""
        ...


class EdgePoints:
    """A Qdrant Edge shard in this process. Threads take turns."""

    def __init__(self, path: Path) -> None:
        import qdrant_edge

        self._edge: Any = qdrant_edge
        self._path, self._turn = path, threading.RLock()
        self._shard: Any = qdrant_edge.EdgeShard.load(str(path)) if path.exists() else None

    def exists(self) -> bool:
        return self._shard is not None

    def prepare(self, size: int) -> None:
        edge = self._edge
        if self._shard is not None:
            return
        config = edge.EdgeConfig(
            vectors={DENSE: edge.EdgeVectorParams(size=size, distance=edge.Distance.Cosine)},
            sparse_vectors={SPARSE: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        )
        # Under another name until it is whole: a shard that died half made cannot be loaded.
        making = self._aside()
        making.mkdir(parents=True)
        shard = edge.EdgeShard.create(str(making), config)
        for field in FILTERS:
            kind = edge.PayloadSchemaType.Keyword
            shard.update(edge.UpdateOperation.create_field_index(field, kind))
        shard.flush()
        shard.close()
        making.rename(self._path)
        self._shard = edge.EdgeShard.load(str(self._path))

    def payloads(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        with self._turn:
            found = self._shard.retrieve(list(ids), with_payload=True, with_vector=False)
        return {str(p.id): p.payload for p in found}

    def put(self, points: Sequence[Point]) -> None:
        edge = self._edge
        made = [
            edge.Point(
                id=p.id,
                vector={DENSE: p.dense, SPARSE: edge.SparseVector(*p.sparse)},
                payload=p.payload,
            )
            for p in points
        ]
        if made:
            with self._turn:
                self._shard.update(edge.UpdateOperation.upsert_points(made))

    def tell(self, payloads: Mapping[str, dict[str, Any]]) -> None:
        overwrite = self._edge.UpdateOperation.overwrite_payload
        with self._turn:
            for point, payload in payloads.items():
                self._shard.update(overwrite([point], payload))

    def flush(self) -> None:
        # It waits for a dozen files, however little was written.
        with self._turn:
            self._shard.flush()

    def near(self, dense: Dense, where: Where, limit: int) -> list[Found]:
        return self._query(dense, DENSE, where, limit)

    def saying(self, sparse: Sparse, where: Where, limit: int) -> list[Found]:
        return self._query(self._edge.SparseVector(*sparse), SPARSE, where, limit)

    def _query(self, vector: Any, using: str, where: Where, limit: int) -> list[Found]:
        edge = self._edge
        request = edge.QueryRequest(
            limit=limit, query=edge.Query.Nearest(vector, using=using), with_payload=True,
            filter=self._filter(where),
        )  # fmt: skip
        with self._turn:
            found = self._shard.query(request) if self._shard is not None else []
        return [Found(str(p.id), p.score, p.payload) for p in found]

    def _filter(self, where: Where) -> Any:
        edge, must = self._edge, []
        for key, value in sorted(where.items()):
            if key in TIMES:
                field, bound = TIMES[key]
                said = edge.RangeFloat(**{bound: float(value)})
                must.append(edge.FieldCondition(key=field, range=said))
            else:
                must.append(edge.FieldCondition(key=key, match=edge.MatchValue(value)))
        return edge.Filter(must=must) if must else None

    def listed(self, where: Where, limit: int) -> list[dict[str, Any]]:
        request = self._edge.ScrollRequest(
            limit=limit, filter=self._filter(where), with_payload=True, with_vector=False
        )
        with self._turn:
            found, _ = self._shard.scroll(request) if self._shard is not None else ([], None)
        return [p.payload for p in found]

    def beside(self) -> Points:
        path = self._path.with_name(f"{self._path.name}-beside")
        if path.exists():  # a rebuild that did not come to its end
            shutil.rmtree(path)
        return EdgePoints(path)

    def become(self, other: Points) -> None:
        if not isinstance(other, EdgePoints):
            raise TypeError("an Edge collection is replaced by another one")
        other.close()
        with self._turn:
            self.clear()
            other._path.rename(self._path)
            self._shard = self._edge.EdgeShard.load(str(self._path))

    def ids(self) -> Iterator[str]:
        after = None
        while self._shard is not None:
            request = self._edge.ScrollRequest(
                offset=after, limit=PAGE, with_payload=False, with_vector=False
            )
            with self._turn:
                found, after = self._shard.scroll(request)
            yield from (str(p.id) for p in found)
            if after is None:
                return

    def clear(self) -> None:
        with self._turn:
            self.close()
            if self._path.exists():
                self._path.rename(self._aside())
                self._aside()

    def close(self) -> None:
        with self._turn:
            if self._shard is not None:
                self._shard.flush()
                self._shard.close()
                self._shard = None

    def _aside(self) -> Path:
        """Return the name beside the shard's, with nothing left under it."""
        aside = self._path.with_name(f".{self._path.name}")
        if aside.exists():
            shutil.rmtree(aside)
        return aside

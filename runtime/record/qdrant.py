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

from runtime.data.folder import DataFolder
from runtime.record.access import RecordSettings
from runtime.record.derive import Lookup
from runtime.record.embed import WORDS, Dense, Embedder, Sparse, sparse_document
from runtime.record.follow import Batch
from runtime.record.masking import mask
from runtime.record.points import Mark, marks, merge

Where: TypeAlias = Mapping[str, str]
"""Payload field → the value it must have."""

FILTERS: Final = ("kind", "playbook", "step", "state", "fingerprint", "run")
_DENSE: Final = "meaning"
_SPARSE: Final = "words"
_PAGE: Final = 5_000
_PUT: Final = 500


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
    """One collection of points. What `put` wrote is kept when it returns."""

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

    def near(self, dense: Dense, where: Where, limit: int) -> list[Found]:
        """Return the points nearest in meaning, nearest first."""
        ...

    def saying(self, sparse: Sparse, where: Where, limit: int) -> list[Found]:
        """Return the points that say these words, rarer words first."""
        ...

    def ids(self) -> Iterator[str]:
        """Yield the ids of all points."""
        ...

    def clear(self) -> None:
        """Remove the collection."""
        ...

    def close(self) -> None:
        """Make everything durable and let go."""
        ...


def open_points(folder: DataFolder, settings: RecordSettings, embedder: Embedder) -> Points:
    """Return the collection of an embedder: in the data folder, or on the server of a URL.

    Another embedder has another collection, filled from the journal's start, and so has
    another way to make a text into words (`WORDS`).
    """
    name = f"record-{WORDS}-" + "".join(c if c.isalnum() else "-" for c in embedder.name)
    if settings.qdrant is None:
        return EdgePoints(folder.qdrant / name)
    from qdrant_client import QdrantClient

    return ServerPoints(QdrantClient(url=settings.qdrant, api_key=settings.qdrant_key), name)


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
            vectors={_DENSE: edge.EdgeVectorParams(size=size, distance=edge.Distance.Cosine)},
            sparse_vectors={_SPARSE: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
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
                vector={_DENSE: p.dense, _SPARSE: edge.SparseVector(*p.sparse)},
                payload=p.payload,
            )
            for p in points
        ]
        with self._turn:
            self._shard.update(edge.UpdateOperation.upsert_points(made))
            self._shard.flush()

    def near(self, dense: Dense, where: Where, limit: int) -> list[Found]:
        return self._query(dense, _DENSE, where, limit)

    def saying(self, sparse: Sparse, where: Where, limit: int) -> list[Found]:
        return self._query(self._edge.SparseVector(*sparse), _SPARSE, where, limit)

    def _query(self, vector: Any, using: str, where: Where, limit: int) -> list[Found]:
        edge = self._edge
        must = [
            edge.FieldCondition(key=key, match=edge.MatchValue(value))
            for key, value in sorted(where.items())
        ]
        request = edge.QueryRequest(
            limit=limit, query=edge.Query.Nearest(vector, using=using), with_payload=True,
            filter=edge.Filter(must=must) if must else None,
        )  # fmt: skip
        with self._turn:
            found = self._shard.query(request) if self._shard is not None else []
        return [Found(str(p.id), p.score, p.payload) for p in found]

    def ids(self) -> Iterator[str]:
        after = None
        while self._shard is not None:
            request = self._edge.ScrollRequest(
                offset=after, limit=_PAGE, with_payload=False, with_vector=False
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


class ServerPoints:
    """A collection of a Qdrant server, through its own client."""

    def __init__(self, client: Any, name: str) -> None:
        from qdrant_client import models

        self._client, self._name, self._models = client, name, models

    def exists(self) -> bool:
        return bool(self._client.collection_exists(self._name))

    def prepare(self, size: int) -> None:
        m = self._models
        if self.exists():
            return
        self._client.create_collection(
            self._name,
            vectors_config={_DENSE: m.VectorParams(size=size, distance=m.Distance.COSINE)},
            sparse_vectors_config={_SPARSE: m.SparseVectorParams(modifier=m.Modifier.IDF)},
        )
        for field in FILTERS:
            self._client.create_payload_index(self._name, field, m.PayloadSchemaType.KEYWORD)

    def payloads(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        found = self._client.retrieve(self._name, list(ids), with_payload=True)
        return {str(p.id): p.payload or {} for p in found}

    def put(self, points: Sequence[Point]) -> None:
        m = self._models
        made = [
            m.PointStruct(
                id=p.id,
                payload=p.payload,
                vector={_DENSE: p.dense, _SPARSE: self._sparse(p.sparse)},
            )
            for p in points
        ]
        self._client.upsert(self._name, made, wait=True)

    def near(self, dense: Dense, where: Where, limit: int) -> list[Found]:
        return self._query(dense, _DENSE, where, limit)

    def saying(self, sparse: Sparse, where: Where, limit: int) -> list[Found]:
        return self._query(self._sparse(sparse), _SPARSE, where, limit)

    def _sparse(self, sparse: Sparse) -> Any:
        return self._models.SparseVector(indices=sparse[0], values=sparse[1])

    def _query(self, vector: Any, using: str, where: Where, limit: int) -> list[Found]:
        m = self._models
        must = [
            m.FieldCondition(key=key, match=m.MatchValue(value=value))
            for key, value in sorted(where.items())
        ]
        found = self._client.query_points(
            self._name, vector, using=using, limit=limit, with_payload=True,
            query_filter=m.Filter(must=must) if must else None,
        )  # fmt: skip
        return [Found(str(p.id), p.score, p.payload or {}) for p in found.points]

    def ids(self) -> Iterator[str]:
        after: Any = None
        while True:
            found, after = self._client.scroll(
                self._name, limit=_PAGE, offset=after, with_payload=False
            )
            yield from (str(p.id) for p in found)
            if after is None:
                return

    def clear(self) -> None:
        self._client.delete_collection(self._name)

    def close(self) -> None:
        self._client.close()


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

    def write(self, batch: Batch, lookup: Lookup) -> None:
        """Merge the batch's marks into their points."""
        found = list(marks((f.recorded for f in batch.facts), lookup))
        for start in range(0, len(found), _PUT):
            self._write(found[start : start + _PUT])

    mend = write

    def _write(self, found: Sequence[Mark]) -> None:
        ids = list(dict.fromkeys(mark.point for mark in found))
        payloads = self._points.payloads(ids)
        for mark in found:
            payloads[mark.point] = merge(payloads.get(mark.point), mark)
        texts = [mask(payloads[i]["text"]) for i in ids]
        dense = self._embedder.embed(texts)
        self._points.put(
            [
                Point(i, vector, sparse_document(text), payloads[i])
                for i, text, vector in zip(ids, texts, dense, strict=True)
            ]
        )

    def close(self) -> None:
        """Nothing is held back: every write is already there."""

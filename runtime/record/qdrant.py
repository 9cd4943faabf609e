"""Vectors: Qdrant Edge in this process, or a Qdrant server, behind one port.

The port is the part of ``QdrantClient`` that the record needs, in the words of
``qdrant_client.models``, so a server's client stands behind it as it is. `EdgeStore` says
the same to the embedded engine. Edge searches exactly, without an index that would have
to be built: its ``optimize`` holds the interpreter for minutes and is never called. One
process may open a shard; the recorder's lock sees to that.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from qdrant_client import models as m
from qdrant_client.http.models import QueryResponse

from runtime.data.folder import DataFolder
from runtime.record.access import RecordSettings
from runtime.record.derive import Lookup
from runtime.record.embed import Embedder, sparse_document
from runtime.record.follow import Batch
from runtime.record.masking import mask
from runtime.record.points import Mark, marks, merge

DENSE: Final = "meaning"
SPARSE: Final = "words"
FILTERS: Final = ("kind", "playbook", "step", "state", "fingerprint", "run")
_UPSERT: Final = 500


class VectorStore(Protocol):
    """What the record needs of a Qdrant client."""

    def collection_exists(self, collection_name: str) -> bool: ...

    def create_collection(
        self, collection_name: str, *, vectors_config: Any, sparse_vectors_config: Any
    ) -> Any: ...

    def create_payload_index(
        self, collection_name: str, field_name: str, field_schema: Any
    ) -> Any: ...

    def upsert(self, collection_name: str, points: Any) -> Any: ...

    def retrieve(self, collection_name: str, ids: Any, *, with_payload: Any = True) -> Any: ...

    def query_points(
        self, collection_name: str, query: Any = None, *, using: Any = None,
        query_filter: Any = None, limit: int = 10, with_payload: Any = True,
    ) -> Any: ...  # fmt: skip

    def scroll(
        self, collection_name: str, *, limit: int = 10, offset: Any = None,
        with_payload: Any = True,
    ) -> Any: ...  # fmt: skip

    def close(self) -> None: ...


def open_store(folder: DataFolder, settings: RecordSettings) -> VectorStore:
    """Return the store that the settings name; Edge in the data folder without a URL."""
    if settings.qdrant is None:
        return EdgeStore(folder.qdrant)
    from qdrant_client import QdrantClient

    return QdrantClient(url=settings.qdrant, api_key=settings.qdrant_key)


def collection(embedder: Embedder) -> str:
    """Return the collection's name: another embedder has another, filled from the start."""
    return "record-" + "".join(c if c.isalnum() else "-" for c in embedder.name)


class EdgeStore:
    """Qdrant's engine in this process. Threads take turns."""

    def __init__(self, root: Path) -> None:
        import qdrant_edge

        self._edge: Any = qdrant_edge
        self._root, self._turn = root, threading.RLock()
        root.mkdir(parents=True, exist_ok=True)
        self._shards = {
            p.name: qdrant_edge.EdgeShard.load(str(p)) for p in root.iterdir() if p.is_dir()
        }

    def collection_exists(self, collection_name: str) -> bool:
        return collection_name in self._shards

    def create_collection(
        self, collection_name: str, *, vectors_config: Any, sparse_vectors_config: Any
    ) -> bool:
        edge = self._edge
        config = edge.EdgeConfig(
            vectors={
                name: edge.EdgeVectorParams(size=v.size, distance=_distance(edge, v.distance))
                for name, v in vectors_config.items()
            },
            sparse_vectors={
                name: edge.EdgeSparseVectorParams(
                    modifier=edge.Modifier.Idf if v.modifier == m.Modifier.IDF else None
                )
                for name, v in sparse_vectors_config.items()
            },
        )
        with self._turn:
            path = self._root / collection_name
            path.mkdir()
            self._shards[collection_name] = edge.EdgeShard.create(str(path), config)
        return True

    def create_payload_index(
        self, collection_name: str, field_name: str, field_schema: Any
    ) -> None:
        kind = getattr(
            self._edge.PayloadSchemaType, m.PayloadSchemaType(field_schema).value.capitalize()
        )
        self._update(
            collection_name, self._edge.UpdateOperation.create_field_index(field_name, kind)
        )

    def upsert(self, collection_name: str, points: Iterable[m.PointStruct]) -> None:
        """Write points; they are on disk when this returns."""
        edge = self._edge
        made = [
            edge.Point(id=p.id, vector=_vector(edge, p.vector), payload=p.payload) for p in points
        ]
        self._update(collection_name, edge.UpdateOperation.upsert_points(made))
        with self._turn:
            self._shards[collection_name].flush()

    def retrieve(
        self, collection_name: str, ids: Sequence[str], *, with_payload: bool = True
    ) -> list[m.Record]:
        with self._turn:
            found = self._shards[collection_name].retrieve(
                list(ids), with_payload=with_payload, with_vector=False
            )
        return [m.Record(id=str(p.id), payload=p.payload) for p in found]

    def query_points(
        self, collection_name: str, query: Any = None, *, using: str | None = None,
        query_filter: m.Filter | None = None, limit: int = 10, with_payload: bool = True,
    ) -> QueryResponse:  # fmt: skip
        edge = self._edge
        request = edge.QueryRequest(
            limit=limit, query=edge.Query.Nearest(_vector(edge, query), using=using),
            filter=_filter(edge, query_filter), with_payload=with_payload,
        )  # fmt: skip
        with self._turn:
            found = self._shards[collection_name].query(request)
        points = [
            m.ScoredPoint(id=str(p.id), version=p.version, score=p.score, payload=p.payload)
            for p in found
        ]
        return QueryResponse(points=points)

    def scroll(
        self,
        collection_name: str,
        *,
        limit: int = 10,
        offset: Any = None,
        with_payload: bool = True,
    ) -> tuple[list[m.Record], Any]:
        request = self._edge.ScrollRequest(
            offset=offset, limit=limit, with_payload=with_payload, with_vector=False
        )
        with self._turn:
            found, after = self._shards[collection_name].scroll(request)
        return [m.Record(id=str(p.id), payload=p.payload) for p in found], after

    def close(self) -> None:
        """Flush and let go of every shard."""
        with self._turn:
            for shard in self._shards.values():
                shard.flush()
                shard.close()
            self._shards.clear()

    def _update(self, collection_name: str, operation: Any) -> None:
        with self._turn:
            self._shards[collection_name].update(operation)


def _distance(edge: Any, distance: m.Distance) -> Any:
    return getattr(edge.Distance, distance.value.capitalize())


def _vector(edge: Any, value: Any) -> Any:
    if isinstance(value, m.SparseVector):
        return edge.SparseVector(value.indices, value.values)
    if isinstance(value, dict):
        return {name: _vector(edge, v) for name, v in value.items()}
    return list(value)


def _filter(edge: Any, wanted: m.Filter | None) -> Any:
    if wanted is None:
        return None
    must = wanted.must if isinstance(wanted.must, list) else []
    return edge.Filter(must=[_condition(edge, c) for c in must])


def _condition(edge: Any, wanted: Any) -> Any:
    match = wanted.match
    if isinstance(match, m.MatchAny):
        return edge.FieldCondition(key=wanted.key, match=edge.MatchAny(match.any))
    if isinstance(match, m.MatchValue):
        return edge.FieldCondition(key=wanted.key, match=edge.MatchValue(match.value))
    raise NotImplementedError(f"a filter by {type(match).__name__} on {wanted.key}")


class VectorSink:
    """Writes the points that a batch marks. Doing it again changes nothing."""

    def __init__(self, store: VectorStore, embedder: Embedder) -> None:
        self._store, self._embedder = store, embedder
        self._name = collection(embedder)

    def prepare(self) -> bool:
        """Make the collection; return whether it is new."""
        if self._store.collection_exists(self._name):
            return False
        size = self._embedder.dimensions
        self._store.create_collection(
            self._name,
            vectors_config={DENSE: m.VectorParams(size=size, distance=m.Distance.COSINE)},
            sparse_vectors_config={SPARSE: m.SparseVectorParams(modifier=m.Modifier.IDF)},
        )
        for field in FILTERS:
            self._store.create_payload_index(self._name, field, m.PayloadSchemaType.KEYWORD)
        return True

    def write(self, batch: Batch, lookup: Lookup) -> None:
        """Merge the batch's marks into their points."""
        found = list(marks((f.recorded for f in batch.facts), lookup))
        for start in range(0, len(found), _UPSERT):
            self._write(found[start : start + _UPSERT])

    mend = write

    def _write(self, found: Sequence[Mark]) -> None:
        ids = list(dict.fromkeys(mark.point for mark in found))
        there = self._store.retrieve(self._name, ids, with_payload=True)
        payloads: dict[str, Any] = {str(p.id): p.payload for p in there}
        for mark in found:
            payloads[mark.point] = merge(payloads.get(mark.point), mark)
        texts = [mask(payloads[i]["text"]) for i in ids]
        dense = self._embedder.embed(texts)
        points = [
            m.PointStruct(id=i, payload=payloads[i], vector={DENSE: d, SPARSE: _sparse(t)})
            for i, t, d in zip(ids, texts, dense, strict=True)
        ]
        self._store.upsert(self._name, points)

    def close(self) -> None:
        """Nothing is held back: every write is already there."""


def _sparse(text: str) -> m.SparseVector:
    indices, values = sparse_document(text)
    return m.SparseVector(indices=indices, values=values)

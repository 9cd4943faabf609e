"""Points on a Qdrant server, through its own client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runtime.record.embed import Dense, Sparse
from runtime.record.qdrant import DENSE, FILTERS, PAGE, SPARSE, TIMES, Found, Point, Points, Where


class ServerPoints:
    """A collection of a Qdrant server, through its own client.

    There are two names, and an alias says which of them is the collection: the other one is
    filled beside it while it serves.
    """

    def __init__(self, client: Any, name: str, spare: bool | None = None) -> None:
        from qdrant_client import models

        self._client, self._name, self._models = client, name, models
        self._spare = self._is_spare() if spare is None else spare
        self._at = f"{name}-{'b' if self._spare else 'a'}"

    def _is_spare(self) -> bool:
        aliases = self._client.get_aliases().aliases
        return any(
            a.alias_name == self._name and a.collection_name == f"{self._name}-b" for a in aliases
        )

    def exists(self) -> bool:
        return bool(self._client.collection_exists(self._at))

    def prepare(self, size: int) -> None:
        m = self._models
        if self.exists():
            return
        self._client.create_collection(
            self._at,
            vectors_config={DENSE: m.VectorParams(size=size, distance=m.Distance.COSINE)},
            sparse_vectors_config={SPARSE: m.SparseVectorParams(modifier=m.Modifier.IDF)},
        )
        for field in FILTERS:
            self._client.create_payload_index(self._at, field, m.PayloadSchemaType.KEYWORD)

    def payloads(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        found = self._client.retrieve(self._at, list(ids), with_payload=True)
        return {str(p.id): p.payload or {} for p in found}

    def put(self, points: Sequence[Point]) -> None:
        m = self._models
        made = [
            m.PointStruct(
                id=p.id,
                payload=p.payload,
                vector={DENSE: p.dense, SPARSE: self._sparse(p.sparse)},
            )
            for p in points
        ]
        if made:
            self._client.upsert(self._at, made, wait=True)

    def tell(self, payloads: Mapping[str, dict[str, Any]]) -> None:
        m = self._models
        said = [
            m.OverwritePayloadOperation(
                overwrite_payload=m.SetPayload(payload=payload, points=[point])
            )
            for point, payload in payloads.items()
        ]
        if said:
            self._client.batch_update_points(self._at, said, wait=True)

    def flush(self) -> None:
        """Nothing to do: a server answers when what it wrote is in its log."""

    def near(self, dense: Dense, where: Where, limit: int) -> list[Found]:
        return self._query(dense, DENSE, where, limit)

    def saying(self, sparse: Sparse, where: Where, limit: int) -> list[Found]:
        return self._query(self._sparse(sparse), SPARSE, where, limit)

    def _sparse(self, sparse: Sparse) -> Any:
        return self._models.SparseVector(indices=sparse[0], values=sparse[1])

    def _query(self, vector: Any, using: str, where: Where, limit: int) -> list[Found]:
        found = self._client.query_points(
            self._at, vector, using=using, limit=limit, with_payload=True,
            query_filter=self._filter(where),
        )  # fmt: skip
        return [Found(str(p.id), p.score, p.payload or {}) for p in found.points]

    def _filter(self, where: Where) -> Any:
        m, must = self._models, []
        for key, value in sorted(where.items()):
            if key in TIMES:
                field, bound = TIMES[key]
                said = m.Range(**{bound: float(value)})
                must.append(m.FieldCondition(key=field, range=said))
            else:
                must.append(m.FieldCondition(key=key, match=m.MatchValue(value=value)))
        return m.Filter(must=must) if must else None

    def listed(self, where: Where, limit: int) -> list[dict[str, Any]]:
        found, _ = self._client.scroll(
            self._at, scroll_filter=self._filter(where), limit=limit, with_payload=True
        )
        return [p.payload or {} for p in found]

    def beside(self) -> Points:
        other = ServerPoints(self._client, self._name, spare=not self._spare)
        if other.exists():  # a rebuild that did not come to its end
            other.clear()
        return other

    def become(self, other: Points) -> None:
        if not isinstance(other, ServerPoints):
            raise TypeError("a server's collection is replaced by another one of it")
        m, old = self._models, self._at
        named = m.CreateAlias(collection_name=other._at, alias_name=self._name)
        self._client.update_collection_aliases([m.CreateAliasOperation(create_alias=named)])
        self._at, self._spare = other._at, other._spare
        self._client.delete_collection(old)

    def ids(self) -> Iterator[str]:
        after: Any = None
        while True:
            found, after = self._client.scroll(
                self._at, limit=PAGE, offset=after, with_payload=False
            )
            yield from (str(p.id) for p in found)
            if after is None:
                return

    def clear(self) -> None:
        self._client.delete_collection(self._at)

    def close(self) -> None:
        self._client.close()

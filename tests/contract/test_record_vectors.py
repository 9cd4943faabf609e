"""What the record needs of a Qdrant, promised by Edge and by Qdrant's own client alike."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as m

from runtime.journal.wire import encode
from runtime.record.embed import embedder
from runtime.record.follow import Batch, Fact, Span
from runtime.record.qdrant import DENSE, SPARSE, EdgeStore, VectorSink, collection
from runtime.record.search import hits
from runtime.run.events import AttemptFinished, Event, Fault, LessonRecorded, Recorded

NAME = "record-test"


def _id(n: int) -> str:
    return str(uuid.UUID(int=n))


def _point(n: int, dense: list[float], word: int, **payload: Any) -> m.PointStruct:
    sparse = m.SparseVector(indices=[word], values=[1.0])
    return m.PointStruct(id=_id(n), vector={DENSE: dense, SPARSE: sparse}, payload=payload)


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
class TestVectorStore:
    """The port's promises."""

    @pytest.fixture(params=["edge", "client"])
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
        store = EdgeStore(tmp_path) if request.param == "edge" else QdrantClient(":memory:")
        yield store
        store.close()

    @pytest.fixture
    def filled(self, store: Any) -> Any:
        store.create_collection(
            NAME,
            vectors_config={DENSE: m.VectorParams(size=2, distance=m.Distance.COSINE)},
            sparse_vectors_config={SPARSE: m.SparseVectorParams(modifier=m.Modifier.IDF)},
        )
        store.create_payload_index(NAME, "kind", m.PayloadSchemaType.KEYWORD)
        points = [
            _point(1, [1.0, 0.0], 7, kind="run", count=1),
            _point(2, [0.6, 0.8], 7, kind="failure", count=2),
            _point(3, [0.0, 1.0], 9, kind="failure", count=3),
        ]
        store.upsert(NAME, points)
        return store

    def test_a_collection_exists_once_it_is_made(self, filled: Any) -> None:
        assert filled.collection_exists(NAME)
        assert not filled.collection_exists("other")

    def test_the_nearest_comes_first_with_its_cosine(self, filled: Any) -> None:
        found = filled.query_points(NAME, [1.0, 0.0], using=DENSE, limit=2).points
        assert [p.id for p in found] == [_id(1), _id(2)]
        assert [p.score for p in found] == pytest.approx([1.0, 0.6], abs=1e-3)

    def test_words_find_only_those_that_say_them(self, filled: Any) -> None:
        query = m.SparseVector(indices=[9], values=[1.0])
        found = filled.query_points(NAME, query, using=SPARSE).points
        assert [(p.id, p.payload["count"]) for p in found] == [(_id(3), 3)]

    def test_a_filter_narrows_both_rankings(self, filled: Any) -> None:
        for match in (m.MatchValue(value="failure"), m.MatchAny(any=["failure", "step"])):
            narrow = m.Filter(must=[m.FieldCondition(key="kind", match=match)])
            found = filled.query_points(NAME, [1.0, 0.0], using=DENSE, query_filter=narrow).points
            assert [p.id for p in found] == [_id(2), _id(3)]

    def test_writing_a_point_again_replaces_it(self, filled: Any) -> None:
        filled.upsert(NAME, [_point(1, [0.0, 1.0], 9, kind="run", count=5)])
        (found,) = filled.retrieve(NAME, [_id(1), _id(99)], with_payload=True)
        assert (found.id, found.payload) == (_id(1), {"kind": "run", "count": 5})

    def test_all_points_can_be_paged_through(self, filled: Any) -> None:
        first, after = filled.scroll(NAME, limit=2, with_payload=False)
        rest, end = filled.scroll(NAME, limit=2, offset=after, with_payload=False)
        assert {p.id for p in [*first, *rest]} == {_id(1), _id(2), _id(3)}
        assert end is None

    def test_the_sink_writes_each_cause_once_and_search_finds_it(self, store: Any) -> None:
        model = embedder(None)
        sink, lookup = VectorSink(store, model), _Nothing()
        assert sink.prepare()
        assert not sink.prepare()
        fault = Fault("timeout", "the records service did not answer within 30 s")
        batch = _batch(
            AttemptFinished("a", "fetch", 1, "failed", 1, fault=fault),
            AttemptFinished("b", "fetch", 1, "failed", 2, fault=fault),
            LessonRecorded("l", "p", "pb", "fetch", "batch", "past 250 ids it fails", "harm", "c"),
        )
        sink.write(batch, lookup)
        sink.mend(batch, lookup)
        found = hits(store, collection(model), model, "service timeout", {"kind": "failure"}, 5)
        assert [(h.kind, h.step, h.count) for h in found] == [("failure", "fetch", 2)]
        assert set(found[0].why) == {"meaning", "words"}
        assert "says service, timeout" in found[0].because


class _Nothing:
    """A journal without earlier facts."""

    def event(self, stream: str, seq: int) -> Recorded | None:
        return None

    def read(self, stream: str, after: int = 0) -> Iterator[Recorded]:
        return iter(())


def _batch(*events: Event) -> Batch:
    facts = [
        Fact(Recorded(1, n, "run/r", n, 1.0, e), e.VERSION, encode(e).decode())
        for n, e in enumerate(events, start=1)
    ]
    return Batch(Span(1, 1, len(facts)), tuple(facts))


def test_edge_keeps_what_it_has_acknowledged(tmp_path: Path) -> None:
    model = embedder(None)
    first = EdgeStore(tmp_path)
    sink = VectorSink(first, model)
    sink.prepare()
    fault = Fault("timeout", "no answer")
    sink.write(_batch(AttemptFinished("a", "s", 1, "failed", 1, fault=fault)), _Nothing())
    first.close()
    second = EdgeStore(tmp_path)
    points, _ = second.scroll(collection(model), limit=10)
    assert [p.payload["count"] for p in points] == [1]
    second.close()

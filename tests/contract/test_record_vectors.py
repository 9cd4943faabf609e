"""What the record needs of a Qdrant, promised by Edge and by Qdrant's own client alike."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient

from runtime.journal.wire import encode
from runtime.record.embed import embedder
from runtime.record.follow import Batch, Fact, Span
from runtime.record.point_sink import PointSink
from runtime.record.qdrant import EdgePoints, Point, Points
from runtime.record.qdrant_server import ServerPoints
from runtime.record.ranking import hits
from runtime.run.events import AttemptFinished, Event, Fault, LessonRecorded, Recorded


def _id(n: int) -> str:
    return str(uuid.UUID(int=n))


def _point(n: int, dense: list[float], word: int, **payload: Any) -> Point:
    return Point(_id(n), dense, ([word], [1.0]), payload)


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
class TestPoints:
    """The port's promises."""

    @pytest.fixture(params=["edge", "client"])
    def points(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Points]:
        edge = request.param == "edge"
        points: Points = (
            EdgePoints(tmp_path / "record")
            if edge
            else ServerPoints(QdrantClient(":memory:"), "record")
        )
        yield points
        points.close()

    @pytest.fixture
    def filled(self, points: Points) -> Points:
        points.prepare(2)
        points.put(
            [
                _point(1, [1.0, 0.0], 7, kind="run", count=1),
                _point(2, [0.6, 0.8], 7, kind="failure", count=2),
                _point(3, [0.0, 1.0], 9, kind="failure", count=3),
            ]
        )
        return points

    def test_a_collection_is_made_once_and_kept(self, points: Points) -> None:
        assert not points.exists()
        for _ in range(2):
            points.prepare(2)
            assert points.exists()
            points.put([_point(1, [1.0, 0.0], 7)])
        assert list(points.ids()) == [_id(1)]

    def test_a_cleared_collection_is_gone_and_can_be_made_again(self, filled: Points) -> None:
        filled.clear()
        assert not filled.exists()
        filled.prepare(3)
        assert list(filled.ids()) == []

    def test_the_nearest_comes_first_with_its_cosine(self, filled: Points) -> None:
        found = filled.near([1.0, 0.0], {}, 2)
        assert [p.id for p in found] == [_id(1), _id(2)]
        assert [p.score for p in found] == pytest.approx([1.0, 0.6], abs=1e-3)

    def test_words_find_only_those_that_say_them(self, filled: Points) -> None:
        found = filled.saying(([9], [1.0]), {}, 10)
        assert [(p.id, p.payload["count"]) for p in found] == [(_id(3), 3)]

    def test_a_filter_narrows_both_rankings(self, filled: Points) -> None:
        where = {"kind": "failure"}
        assert [p.id for p in filled.near([1.0, 0.0], where, 10)] == [_id(2), _id(3)]
        assert [p.id for p in filled.saying(([7], [1.0]), where, 10)] == [_id(2)]

    def test_times_bound_what_is_found_and_listed(self, points: Points) -> None:
        points.prepare(2)
        points.put(
            [
                _point(1, [1.0, 0.0], 7, kind="failure", first_at=10.0, last_at=20.0),
                _point(2, [1.0, 0.0], 7, kind="failure", first_at=30.0, last_at=40.0),
                _point(3, [1.0, 0.0], 7, kind="run", first_at=30.0, last_at=40.0),
            ]
        )
        assert {p.id for p in points.near([1.0, 0.0], {"since": 25.0}, 10)} == {_id(2), _id(3)}
        assert [p.id for p in points.saying(([7], [1.0]), {"until": 25.0}, 10)] == [_id(1)]
        (only,) = points.listed({"kind": "failure", "since": 25.0}, 10)
        assert only["first_at"] == 30.0
        assert len(points.listed({}, 2)) == 2

    def test_another_collection_is_filled_beside_it_and_takes_its_place(
        self, filled: Points
    ) -> None:
        for n in (4, 5):  # as often as one likes
            fresh = filled.beside()
            fresh.prepare(2)
            fresh.put([_point(n, [1.0, 0.0], 7, kind="run")])
            before = set(filled.ids())
            assert _id(n) not in before
            filled.become(fresh)
            assert list(filled.ids()) == [_id(n)]
            assert [p.id for p in filled.near([1.0, 0.0], {}, 5)] == [_id(n)]

    def test_what_was_left_beside_it_half_filled_is_not_kept(self, filled: Points) -> None:
        half = filled.beside()
        half.prepare(2)
        half.put([_point(9, [1.0, 0.0], 7)])
        if isinstance(half, EdgePoints):
            half.close()
        fresh = filled.beside()
        assert not fresh.exists()
        assert len(list(filled.ids())) == 3

    def test_writing_a_point_again_replaces_it(self, filled: Points) -> None:
        filled.put([_point(1, [0.0, 1.0], 9, kind="run", count=5)])
        assert filled.payloads([_id(1), _id(99)]) == {_id(1): {"kind": "run", "count": 5}}

    def test_what_a_point_is_told_leaves_its_vectors(self, filled: Points) -> None:
        filled.tell({_id(1): {"kind": "run", "count": 8}, _id(3): {"kind": "failure", "count": 9}})
        filled.flush()
        found = filled.near([1.0, 0.0], {"kind": "run"}, 5)
        assert [(p.id, p.payload["count"]) for p in found] == [(_id(1), 8)]
        assert [p.payload["count"] for p in filled.saying(([9], [1.0]), {}, 5)] == [9]

    def test_all_ids_are_told(self, filled: Points) -> None:
        assert sorted(filled.ids()) == [_id(1), _id(2), _id(3)]

    def test_the_sink_writes_each_cause_once_and_search_finds_it(self, points: Points) -> None:
        model, lookup = embedder(None), _Nothing()
        sink = PointSink(points, model)
        sink.prepare()
        fault = Fault("timeout", "the records service did not answer within 30 s")
        batch = _batch(
            AttemptFinished("a", "fetch", 1, "failed", 1, fault=fault),
            AttemptFinished("b", "fetch", 1, "failed", 2, fault=fault),
            LessonRecorded("l", "p", "pb", "fetch", "batch", "past 250 ids it fails", "harm", "c"),
        )
        sink.write(batch, lookup)
        sink.mend(batch, lookup)
        found = hits(points, model, "service timeout", {"kind": "failure"}, 5)
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
    first = EdgePoints(tmp_path / "record")
    sink = PointSink(first, embedder(None))
    sink.prepare()
    fault = Fault("timeout", "no answer")
    sink.write(_batch(AttemptFinished("a", "s", 1, "failed", 1, fault=fault)), _Nothing())
    (kept,) = first.ids()
    first.close()
    second = EdgePoints(tmp_path / "record")
    assert second.exists()
    assert second.payloads([kept])[kept]["count"] == 1
    second.close()


def test_a_shard_that_died_half_made_is_made_again(tmp_path: Path) -> None:
    (tmp_path / ".record" / "segments").mkdir(parents=True)
    points = EdgePoints(tmp_path / "record")
    points.prepare(2)
    points.put([_point(1, [1.0, 0.0], 7)])
    assert list(points.ids()) == [_id(1)]
    points.close()

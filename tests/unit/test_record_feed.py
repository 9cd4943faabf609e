"""A feed between a real journal and a real ledger, into a sink that fails where it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patience import until
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteJournal
from runtime.record.derive import Lookup
from runtime.record.feed import POINTS_WITHIN_S, WITHIN_S, Feed, gather_s
from runtime.record.follow import BATCH_BYTES, Batch, next_batch
from runtime.record.ledger import Ledger
from runtime.run.events import ContextSet, RunStarted


class Died(Exception):
    """The sink died at a point that the test names."""


class Kept:
    """What outlives a death: every place written to the sink, as often as it was written."""

    def __init__(self) -> None:
        self.made = False
        self.places: list[tuple[int, int]] = []


class MemorySink:
    """A sink in memory that keeps its promises, and dies once at each point it is told."""

    def __init__(self, kept: Kept, deaths: list[str]) -> None:
        self._kept, self._deaths = kept, deaths

    def _pass(self, point: str) -> None:
        if point in self._deaths:
            self._deaths.remove(point)
            raise Died(point)

    def is_new(self) -> bool:
        return not self._kept.made

    def prepare(self) -> None:
        self._pass("before making")
        self._kept.made = True
        self._pass("after making")

    def holds(self, cursor: dict[int, int]) -> bool:
        return sorted(self._kept.places) == [
            (writer, pos) for writer in sorted(cursor) for pos in range(1, cursor[writer] + 1)
        ]

    def clear(self) -> None:
        self._kept.places.clear()
        self._pass("after clearing")
        self._kept.made = False

    def write(self, batch: Batch, lookup: Lookup) -> None:
        self._pass("before writing")
        places = [(f.recorded.writer, f.recorded.pos) for f in batch.facts]
        self._kept.places += places[:1]
        self._pass("half written")
        self._kept.places += places[1:]
        self._pass("after writing")

    def mend(self, batch: Batch, lookup: Lookup) -> None:
        self._pass("before mending")
        there = set(self._kept.places)
        places = [(f.recorded.writer, f.recorded.pos) for f in batch.facts]
        self._kept.places += [place for place in places if place not in there]

    def close(self) -> None:
        """Nothing is held back."""


class House:
    """A journal, a ledger and a sink in one folder."""

    def __init__(self, root: Path) -> None:
        self.root, self.kept, self.said = root, Kept(), list[str]()
        self.journal = SqliteJournal(root / "journal.db", 0.0)

    def grow(self, events: int = 3) -> None:
        stream = f"run/{self.journal.writer}"
        head = self.journal.head(stream)
        self.journal.append([Append(stream, head, 1.0, [RunStarted()] * events)])

    def another_writer(self) -> None:
        self.journal.close()
        self.journal = SqliteJournal(self.root / "journal.db", 0.0)

    @contextmanager
    def feeding(self, *deaths: str, ours: bool = True) -> Iterator[Feed]:
        left = list(deaths)
        feed = Feed(
            "sink", "place", self.root / "journal.db", self.root / "recorder.db",
            lambda: MemorySink(self.kept, left), self.said.append, ours,
        )  # fmt: skip
        feed.start()
        try:
            yield feed
        finally:
            assert feed.stop()

    def expected(self) -> list[tuple[int, int]]:
        heads = self.journal.heads()
        return [(w, pos) for w in sorted(heads) for pos in range(1, heads[w] + 1)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.journal.close()


@pytest.mark.parametrize(
    "deaths",
    [
        ("before making",), ("after making",), ("before writing",), ("half written",),
        ("after writing",), ("half written", "before mending"),
        ("after making", "before writing", "before mending", "half written"),
    ],
    ids=", ".join,
)  # fmt: skip
def test_every_event_is_there_once_wherever_the_sink_died(
    house: House, deaths: tuple[str, ...]
) -> None:
    house.grow()
    house.another_writer()
    house.grow()
    with house.feeding(*deaths) as feed:
        assert feed.caught_up(house.journal.heads(), 120)
        house.grow()
        assert feed.caught_up(house.journal.heads(), 120)
    assert sorted(house.kept.places) == house.expected()
    assert all(any(death in line for line in house.said) for death in deaths[:1])


@pytest.mark.parametrize("deaths", [(), ("before making",), ("after making",)], ids=str)
def test_a_sink_that_was_lost_is_fed_from_the_start(house: House, deaths: tuple[str, ...]) -> None:
    house.grow()
    with house.feeding() as feed:
        assert feed.caught_up(house.journal.heads(), 120)
    house.kept = Kept()
    with house.feeding(*deaths) as feed:
        until(lambda: house.kept.places)
        assert feed.caught_up(house.journal.heads(), 120)
    assert house.kept.places == house.expected()


@pytest.mark.parametrize("deaths", [(), ("after clearing",)], ids=str)
def test_a_ledger_that_was_lost_makes_no_row_twice(house: House, deaths: tuple[str, ...]) -> None:
    house.grow()
    with house.feeding() as feed:
        assert feed.caught_up(house.journal.heads(), 120)
    (house.root / "recorder.db").unlink()
    with house.feeding(*deaths) as feed:
        assert feed.caught_up(house.journal.heads(), 120)
    assert house.kept.places == house.expected()
    assert any("filled anew" in line for line in house.said)


def test_a_journal_that_was_restored_is_recorded_as_it_is_now(house: House) -> None:
    house.grow()
    house.kept.made, house.kept.places = True, [(1, n) for n in range(1, 10)]
    ledger = Ledger(house.root / "recorder.db", "place")
    ledger.settle({1: 9})
    ledger.close()
    with house.feeding() as feed:
        until(lambda: house.kept.places == house.expected())
        assert feed.caught_up(house.journal.heads(), 120)


def test_a_server_that_holds_strange_rows_is_left_alone_and_that_is_said(house: House) -> None:
    house.grow()
    house.kept.made, house.kept.places = True, [(7, 1)]
    with house.feeding(ours=False) as feed:
        until(lambda: feed.progress.error)
        assert feed.progress.error is not None
        assert "name an empty database" in feed.progress.error
        assert not feed.caught_up(house.journal.heads(), 0.0)
    assert house.kept.places == [(7, 1)]


def test_an_error_that_stays_is_written_down_once(house: House) -> None:
    house.grow()
    house.kept.made = True
    with house.feeding(*["before writing", *["before mending"] * 4]) as feed:
        assert feed.caught_up(house.journal.heads(), 120)
        assert feed.progress.error is None
    assert sum("before mending" in line for line in house.said) == 1


def test_a_batch_of_large_bodies_is_bounded(house: House) -> None:
    body = ContextSet({"x": "y" * 65_000})
    house.journal.append([Append("run/a", 0, 1.0, [body] * 2_500)])
    found = next_batch(house.journal, {})
    assert found is not None
    assert BATCH_BYTES < sum(len(f.body) for f in found.facts) < 5 * BATCH_BYTES
    rest = next_batch(house.journal, {1: found.span.last})
    assert rest is not None
    assert rest.span.first == found.span.last + 1


@given(st.sampled_from([WITHIN_S, POINTS_WITHIN_S]), st.floats(0.0, 10.0))
def test_events_gather_no_longer_than_they_are_in_time(within_s: float, took_s: float) -> None:
    gathered = gather_s(within_s, took_s)
    late = took_s + gathered + took_s  # it came when a batch had just been read
    assert late <= within_s or gathered == pytest.approx(0.25)
    assert 0.25 <= gathered <= within_s * 2 / 3

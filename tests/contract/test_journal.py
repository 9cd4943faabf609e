"""The journal's promises, kept by every implementation."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.journal.memory import MemoryJournal
from runtime.journal.port import Append, Journal, StreamMoved
from runtime.journal.sqlite import SqliteJournal, SqliteReader, schema
from runtime.run.events import (
    ContextSet,
    Event,
    RunCompleted,
    RunPaused,
    RunResumed,
    RunStarted,
    RunSubmitted,
    StepHeld,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "journal.sql"


def submitted(key: str | None = None, *, system: bool = False) -> RunSubmitted:
    return RunSubmitted("demo/hello", "v" * 8, 1, {"n": 1}, "me", key=key, system=system)


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    made: Journal = (
        MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "j.db", 1.0)
    )
    yield made
    made.close()


class TestJournal:
    def test_what_was_appended_is_read_back_in_order(self, journal: Journal) -> None:
        events = (submitted(), RunStarted(), ContextSet({"a": [1, None, "x"]}))
        journal.append([Append("run/1", 0, 5.0, events)])
        read = list(journal.read("run/1"))
        assert [r.event for r in read] == list(events)
        assert [(r.pos, r.stream_seq, r.at) for r in read] == [(n, n, 5.0) for n in (1, 2, 3)]
        assert [r.event for r in journal.read("run/1", after=2)] == [events[2]]

    @pytest.mark.parametrize("count", [63, 64, 65, 150])
    def test_however_many_events_come_together_each_is_written_once(
        self, journal: Journal, count: int
    ) -> None:
        many = tuple(ContextSet({"n": n}) for n in range(count))
        journal.append([Append("run/1", 0, 1.0, many), Append("run/2", 0, 2.0, many)])
        assert [r.pos for r in journal.follow({})] == list(range(1, 2 * count + 1))
        for run in ("run/1", "run/2"):
            read = list(journal.read(run))
            assert [r.event for r in read] == list(many)
            assert [r.stream_seq for r in read] == list(range(1, count + 1))

    def test_a_stale_append_writes_nothing(self, journal: Journal) -> None:
        journal.append([Append("run/1", 0, 1.0, (submitted(),))])
        with pytest.raises(StreamMoved) as refused:
            journal.append(
                [Append("kill", 0, 2.0, (RunStarted(),)), Append("run/1", 0, 2.0, (RunStarted(),))]
            )
        assert (refused.value.expected, refused.value.actual) == (0, 1)
        assert journal.length("kill") == 0
        assert journal.length("run/1") == 1

    def test_positions_have_no_gap_after_a_refusal(self, journal: Journal) -> None:
        journal.append([Append("run/1", 0, 1.0, (submitted(),))])
        with pytest.raises(StreamMoved):
            journal.append([Append("run/1", 7, 1.0, (RunStarted(),))])
        journal.append([Append("run/1", 1, 1.0, (RunStarted(),))])
        assert [r.pos for r in journal.follow({})] == [1, 2]

    def test_a_follower_sees_each_event_once(self, journal: Journal) -> None:
        for i in range(5):
            journal.append([Append(f"run/{i}", 0, 1.0, (submitted(),))])
        cursor: dict[int, int] = {}
        seen: list[str] = []
        while batch := journal.follow(cursor, limit=2):
            seen += [r.stream for r in batch]
            cursor[batch[-1].writer] = batch[-1].pos
        assert seen == [f"run/{i}" for i in range(5)]
        assert cursor == journal.heads()

    def test_the_run_index_follows_the_events(self, journal: Journal) -> None:
        journal.append([Append("run/1", 0, 1.0, (submitted("k"),))])
        journal.append([Append("run/2", 0, 1.5, (submitted(system=True),))])
        assert [r.run for r in journal.runs(state="live")] == ["1"]
        assert [r.run for r in journal.runs(state="live", system=None)] == ["2", "1"]
        journal.append([Append("run/1", 1, 2.0, (RunStarted(), RunCompleted(3)))])
        row = journal.run("1")
        assert row is not None
        assert (row.state, row.started_at, row.ended_at, row.length) == ("completed", 2.0, 2.0, 3)
        assert journal.run_by_key("k") == row
        assert journal.run_by_key("other") is None

    def test_a_run_keeps_its_start_whatever_becomes_of_it_and_others(
        self, journal: Journal
    ) -> None:
        began = (submitted(), RunStarted())
        journal.append([Append(f"run/{n}", 0, 1.0, began) for n in (1, 2)])
        journal.append([Append("run/1", 2, 4.0, (RunPaused("me"),))])
        paused = journal.run("1")
        assert paused is not None
        assert (paused.state, paused.started_at, paused.ended_at) == ("paused", 1.0, None)
        journal.append([Append("run/1", 3, 5.0, (RunResumed("me"), RunCompleted(3)))])
        journal.append([Append("run/nobody", 0, 6.0, (RunStarted(),))])
        rows = {row.run: row for row in journal.runs()}
        assert (rows["1"].started_at, rows["1"].ended_at, rows["1"].length) == (1.0, 5.0, 5)
        assert (rows["2"].state, rows["2"].ended_at, rows["2"].length) == ("running", None, 2)
        assert rows.keys() == {"1", "2"}

    def test_a_run_knows_those_that_go_on_from_it(self, journal: Journal) -> None:
        branch = submitted().but(forked={"run": "1", "seq": 2})
        journal.append([Append("run/1", 0, 1.0, (submitted(),))])
        journal.append([Append("run/3", 0, 1.0, (branch,)), Append("run/2", 0, 1.0, (branch,))])
        assert journal.forks("1") == ["2", "3"]
        assert journal.forks("2") == []

    def test_a_run_knows_whether_a_step_of_it_has_waited_for_its_hours(
        self, journal: Journal
    ) -> None:
        held = StepHeld("a", 9.0, "22-6", "c")
        journal.append([Append("run/1", 0, 1.0, (submitted(), RunStarted(), held))])
        journal.append([Append("run/2", 0, 1.0, (submitted(), RunStarted()))])
        assert [journal.was_held(run) for run in ("1", "2", "3")] == [True, False, False]

    def test_streams_are_found_by_prefix(self, journal: Journal) -> None:
        journal.append([Append(s, 0, 1.0, (RunStarted(),)) for s in ("kill", "run/a", "run/b")])
        assert journal.streams("run/") == ["run/a", "run/b"]
        assert journal.streams("kill") == ["kill"]

    def test_one_event_is_found_by_its_place(self, journal: Journal) -> None:
        journal.append([Append("run/1", 0, 1.0, (submitted(), RunStarted()))])
        found = journal.event("run/1", 2)
        assert found is not None
        assert found.event == RunStarted()
        assert journal.event("run/1", 3) is None


MOVES: dict[str, Event] = {
    "start": RunStarted(), "pause": RunPaused("me"), "go on": RunResumed("me"),
    "end": RunCompleted(3), "else": ContextSet({"n": 1}),
}  # fmt: skip


@settings(max_examples=60)
@given(st.lists(st.lists(
    st.tuples(st.sampled_from("abc"), st.lists(st.sampled_from(sorted(MOVES)), max_size=4)),
    min_size=1, max_size=4,
), max_size=5))  # fmt: skip
def test_both_journals_tell_the_same_of_runs_however_their_events_come_together(
    groups: list[list[tuple[str, list[str]]]],
) -> None:
    """One keeps the lines of runs without reading them; the other makes them event by event."""
    memory, sqlite = MemoryJournal(), SqliteJournal(Path(":memory:"), 0.0)
    lengths = dict.fromkeys("abc", 0)
    for at, group in enumerate(groups):
        appends = []
        for run, moves in group:
            events = [MOVES[move] for move in moves]
            events = events if lengths[run] else [submitted(), *events]
            appends.append(Append(f"run/{run}", lengths[run], float(at), tuple(events)))
            lengths[run] += len(events)
        assert memory.append(appends) == sqlite.append(appends)
        assert memory.runs() == sqlite.runs()
        assert [sqlite.head(f"run/{run}") for run in "abc"] == list(lengths.values())
    sqlite.close()


def test_the_ddl_is_the_golden_one() -> None:
    assert schema() == GOLDEN.read_text(encoding="utf-8")


def test_each_opening_is_a_new_writer_and_old_events_stay(tmp_path: Path) -> None:
    first = SqliteJournal(tmp_path / "j.db", 1.0)
    first.append([Append("run/1", 0, 1.0, (submitted(),))])
    first.close()
    second = SqliteJournal(tmp_path / "j.db", 2.0)
    second.append([Append("run/1", 1, 2.0, (RunStarted(),))])
    assert second.writer > first.writer
    places = [(r.writer, r.pos) for r in second.follow({})]
    assert places == [(first.writer, 1), (second.writer, 1)]
    assert second.heads() == {first.writer: 1, second.writer: 1}
    second.close()


def test_a_reader_in_another_connection_cannot_write(tmp_path: Path) -> None:
    writing = SqliteJournal(tmp_path / "j.db", 1.0)
    reading = SqliteReader.open(tmp_path / "j.db")
    writing.append([Append("run/1", 0, 1.0, (submitted(),))])
    assert reading.length("run/1") == 1
    with pytest.raises(sqlite3.OperationalError):
        reading._db.execute("delete from event")
    reading.close()
    writing.close()

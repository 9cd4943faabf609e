"""What the record derives is a function of the journal, however it was cut."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.journal.wire import encode
from runtime.record.derive import cause, derive, fault_text
from runtime.record.follow import Batch, Fact, JournalGap, Known, Span, next_batch, read_again
from runtime.record.mark import merge
from runtime.record.masking import mask
from runtime.record.points import marks
from runtime.record.tables import TABLES
from runtime.run.budget import Budget, with_note
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    ConfigStored,
    EachCut,
    Event,
    Fault,
    LessonRecorded,
    OutcomeRecorded,
    ProposalDrafted,
    ProposalMoved,
    Recorded,
    RunCompleted,
    RunFailed,
    RunStarted,
    RunSubmitted,
    StepHeld,
    StepRouted,
    VerdictReached,
)

FAULT = Fault("transient", "no answer after 30.2 s for patient 17", "cohort.py:12")


class Journal:
    """Facts in memory, as `FactSource` wants them."""

    def __init__(self) -> None:
        self.facts: list[Recorded] = []

    def add(
        self, stream: str, *events: Event, at: float = 1_700_000_000.0, writer: int = 1
    ) -> None:
        for event in events:
            pos = 1 + sum(r.writer == writer for r in self.facts)
            seq = 1 + sum(r.stream == stream for r in self.facts)
            self.facts.append(Recorded(writer, pos, stream, seq, at + pos, event))

    def follow_rows(self, cursor: dict[int, int], limit: int = 1000) -> list[tuple[Any, ...]]:
        ordered = sorted(self.facts, key=lambda r: (r.writer, r.pos))
        ahead = [r for r in ordered if r.pos > cursor.get(r.writer, 0)]
        return [_row(r) for r in ahead[:limit]]

    def event(self, stream: str, seq: int) -> Recorded | None:
        return next((r for r in self.facts if (r.stream, r.stream_seq) == (stream, seq)), None)

    def read(self, stream: str, after: int = 0) -> Iterator[Recorded]:
        return (r for r in self.facts if r.stream == stream and r.stream_seq > after)

    def heads(self) -> dict[int, int]:
        return {r.writer: r.pos for r in sorted(self.facts, key=lambda r: r.pos)}


def _row(r: Recorded) -> tuple[Any, ...]:
    body = encode(r.event).decode()
    return (r.writer, r.pos, r.stream, r.stream_seq, r.event.TYPE, r.event.VERSION, r.at, body)


def _facts(journal: Journal) -> list[Fact]:
    return [Fact(r, r.event.VERSION, encode(r.event).decode()) for r in journal.facts]


def lived() -> Journal:
    """A journal with two writers, a run with a retry, a failed run and a proposal's life."""
    journal = Journal()
    journal.add("config/c1", ConfigStored("c1", "p", "s", {"each.batch": 25, "timeout": 30}, []))
    journal.add(
        "run/a", RunSubmitted("p", "v", 3, {}, "ann", labels={"site": "north"}), RunStarted(),
        EachCut("s", 0, "block", 0, 50, 25, 0, 2, "c1", {"count": 50}, "x-1", "candidate", 0.1),
        AttemptScheduled("a/s/0/1", "s", 1, "c1", "k", 0, 0, 0, 25, None, "x-1", "candidate", 0.1),
        AttemptFinished(
            "a/s/0/1", "s", 1, "failed", 4, batch=0, fault=FAULT, retry_at=1.0, worker="w",
            cost_usd=0.5,
        ),
        AttemptScheduled("a/s/0/2", "s", 2, "c1", "k", 0, 0, 0, 25, None, "x-1", "candidate", 0.1),
        AttemptFinished("a/s/0/2", "s", 2, "succeeded", 6, batch=0, cost_usd=0.25, arcs=["t"]),
    )  # fmt: skip
    journal.add("run/b", RunSubmitted("p", "v", 3, {}, "ann"), RunStarted(), writer=2)
    journal.add("run/a", StepRouted("t", ["u"]), RunCompleted(), writer=2)
    journal.add("run/b", RunFailed("s", FAULT), writer=2)
    journal.add(
        "proposal/p-1",
        ProposalDrafted(
            "p-1", "change", "p", "s", "batch", "time",
            [{"knob": "each.batch", "from": 25, "to": 50}], {"each.batch": 25}, {"id": "e1"},
            {"time": {"lower": -0.5, "median": -0.4, "upper": -0.3}}, "optimizer", "k", "c",
        ),
        ProposalMoved("p-1", "gate", "draft", "gated", "system", "ok"),
        VerdictReached("p-1", "x-1", "better", "gain", {"control": 3}, {"e_max": 1.0}),
        OutcomeRecorded(
            "p-1", "batch", "time", {"time": {"median": -0.4}}, -0.41, [-0.5, -0.3], True
        ),
        LessonRecorded("l-1", "p-1", "p", "s", "batch", "bigger batches pay", "kept", "c"),
        writer=2,
    )  # fmt: skip
    return journal


def _columns(table: str, rows: dict[str, list[Any]]) -> list[dict[str, Any]]:
    names = next(t.names for t in TABLES if t.name == table)
    return [dict(zip(names, row, strict=True)) for row in rows.get(table, [])]


@given(st.sets(st.integers(1, 30)))
def test_rows_do_not_depend_on_how_the_journal_was_cut(cuts: set[int]) -> None:
    journal = lived()
    facts = _facts(journal)
    edges = [0, *sorted(c for c in cuts if c < len(facts)), len(facts)]
    pieces: dict[str, list[Any]] = {}
    for first, last in pairwise(edges):
        for table, rows in derive(facts[first:last], Known(journal)).items():
            pieces.setdefault(table, []).extend(rows)
    assert pieces == derive(facts, journal)


@given(st.lists(st.integers(0, 20), max_size=6))
def test_points_are_the_same_however_often_a_piece_is_written_again(starts: list[int]) -> None:
    journal = lived()
    once: dict[str, Any] = {}
    for mark in marks(journal.facts, journal):
        once[mark.point] = merge(once.get(mark.point), [mark])
    again: dict[str, Any] = {}
    for start in [*starts, 0]:
        for mark in marks(journal.facts[: start + 1], journal):
            again[mark.point] = merge(again.get(mark.point), [mark])
    at_once: dict[str, list[Any]] = {}
    for mark in marks(journal.facts, journal):
        at_once.setdefault(mark.point, []).append(mark)
    for point, said in at_once.items():
        again[point] = merge(again.get(point), said)
    assert again == once


def test_an_attempt_is_joined_with_its_plan_its_configuration_and_its_run() -> None:
    journal = lived()
    first, second = _columns("attempt", derive(_facts(journal), journal))
    assert first["playbook"], first["number_of_version"] == ("p", 3)
    assert (first["batch_size"], first["timeout_s"], first["items"]) == (25, 30.0, 25)
    assert (first["arm"], first["share"], first["experiment"]) == ("candidate", 0.1, "x-1")
    assert (first["retried"], first["outcome"], first["error_class"]) == (1, "failed", "transient")
    assert first["text"] == "s: transient: no answer after <n> s for patient <n> at cohort.py:<n>"
    assert (second["number"], second["retried"], second["cost_usd"]) == (2, 0, 0.25)
    assert second["scheduled_at"] < second["at"]


def test_a_runs_row_adds_up_its_stream_across_writers() -> None:
    journal = lived()
    done, failed = _columns("run", derive(_facts(journal), journal))
    assert (done["run"], done["state"], done["attempts"], done["failed_attempts"]) == (
        "a",
        "completed",
        2,
        1,
    )
    assert (done["items"], done["cost_usd"], done["experiments"]) == (50, 0.75, ["x-1"])
    assert (failed["run"], failed["state"], failed["error_class"]) == ("b", "failed", "transient")
    assert failed["cost_usd"] is None


def test_what_a_run_has_from_another_is_counted_there_alone() -> None:
    journal = lived()
    facts = [r.event for r in journal.facts if r.stream == "run/a"]
    copies = [e.but(copied=True) if isinstance(e, AttemptFinished) else e for e in facts]
    first = RunSubmitted("p", "v", 3, {}, "ann", forked={"run": "a", "seq": 7})
    journal.add("run/c", first, *copies[1:])
    rows = derive(_facts(journal), journal)
    assert {row["run"] for row in _columns("attempt", rows)} == {"a"}
    branch = next(row for row in _columns("run", rows) if row["run"] == "c")
    assert (branch["attempts"], branch["cost_usd"], branch["overridden"]) == (0, None, 1)


def test_a_fact_that_points_nowhere_still_makes_its_row() -> None:
    journal = Journal()
    journal.add("run/z", AttemptFinished("z/s/-1/1", "s", 1, "succeeded", 99))
    (row,) = _columns("attempt", derive(_facts(journal), journal))
    assert (row["run"], row["playbook"], row["config"]) == ("z", "", "")


def test_every_transition_of_an_attempt_is_a_row() -> None:
    journal = lived()
    rows = _columns("transition", derive(_facts(journal), journal))
    of_first = [r["transition"] for r in rows if r["attempt"] == "a/s/0/1"]
    assert of_first == [
        "token.consumed",
        "configured",
        "scheduled",
        "started",
        "finished",
        "retried",
    ]
    of_second = [r["transition"] for r in rows if r["attempt"] == "a/s/0/2"]
    assert of_second == ["configured", "scheduled", "finished", "completed", "token.produced"]
    places = [(r["stream"], r["stream_seq"], r["ordinal"]) for r in rows]
    assert len(places) == len(set(places))


def test_a_step_that_waits_for_its_hours_is_held_and_its_attempt_begins_when_it_did() -> None:
    journal = Journal()
    held, tried = StepHeld("s", 9.0, "22-6", "c1"), AttemptScheduled("a/s/-1/1", "s", 1, "c1", "k")
    journal.add("run/a", RunSubmitted("p", "v", 3, {}, "ann"), RunStarted(), held)
    journal.add("run/a", tried, AttemptFinished("a/s/-1/1", "s", 1, "succeeded", 4, arcs=[]),
                RunCompleted(), at=1_700_036_000.0)  # fmt: skip
    rows = derive(_facts(journal), journal)
    moves = [r for r in _columns("transition", rows) if r["transition"] in ("held", "scheduled")]
    assert [(r["transition"], r["step"], r["detail"]) for r in moves] == [
        ("held", "s", "22-6"), ("scheduled", "s", ""),
    ]  # fmt: skip
    assert moves[1]["at"] > moves[0]["at"]


def test_a_hedge_and_the_one_it_beat_are_rows_of_one_try() -> None:
    journal = Journal()
    journal.add(
        "run/a", RunSubmitted("p", "v", 3, {}, "ann"), RunStarted(),
        AttemptScheduled("a/s/-1/1", "s", 1, "c1", "k"),
        AttemptScheduled("a/s/-1/1.1", "s", 1, "c1", "k", hedges="a/s/-1/1"),
        AttemptFinished("a/s/-1/1.1", "s", 1, "succeeded", 4, cost_usd=0.25, arcs=[]),
        AttemptFinished("a/s/-1/1", "s", 1, "cancelled", 3, cost_usd=0.5, moot=True),
        RunCompleted(),
    )  # fmt: skip
    rows = derive(_facts(journal), journal)
    moves = [r["transition"] for r in _columns("transition", rows)]
    assert (moves.count("token.consumed"), moves.count("hedged")) == (1, 1)
    assert [(r["outcome"], r["retried"]) for r in _columns("attempt", rows)] == [
        ("succeeded", 0), ("cancelled", 1),
    ]  # fmt: skip
    (run,) = _columns("run", rows)
    assert (run["attempts"], run["failed_attempts"], run["cost_usd"]) == (2, 0, 0.75)


def test_failures_of_one_cause_share_a_point_that_counts_them() -> None:
    journal = lived()
    fault = Fault("transient", "no answer after 99 s for patient 4", "cohort.py:12")
    journal.add("run/b", AttemptFinished("b/s/0/1", "s", 1, "failed", 1, fault=fault), writer=2)
    points: dict[str, Any] = {}
    for mark in marks(journal.facts, journal):
        points[mark.point] = merge(points.get(mark.point), [mark])
    kinds = sorted(p["kind"] for p in points.values())
    assert kinds == ["failure", "lesson", "proposal", "retried", "run", "run"]
    failure = next(p for p in points.values() if p["kind"] == "failure")
    assert (failure["count"], failure["run"], failure["stream"]) == (2, "b", "run/b")
    assert (failure["message"], failure["attempt"]) == (fault.message, "b/s/0/1")
    proposal = next(p for p in points.values() if p["kind"] == "proposal")
    assert (proposal["state"], proposal["count"]) == ("gated", 2)


def test_a_proposals_point_says_how_it_stands_and_why() -> None:
    journal = lived()
    moved = ProposalMoved("p-1", "settle", "rolling_back", "rolled_back", "experiments", "seen")
    worse = VerdictReached("p-1", "x-1", "worse", "harm_time", {}, {})
    journal.add("proposal/p-1", worse, moved, writer=2)
    *_, last = (m.text for m in marks(journal.facts, journal) if m.kind == "proposal")
    assert last.startswith(
        "proposal to change s of p, rolled back since it is worse (harm time): each.batch from 25"
    )


def test_a_span_read_again_is_the_same_batch() -> None:
    journal = lived()
    first = next_batch(journal, {1: 2})
    assert first is not None
    assert first.span.writer == 1
    assert read_again(journal, first.span) == first
    part = Span(1, first.span.first, first.span.last - 1)
    assert read_again(journal, part) == Batch(part, first.facts[:-1])


def test_a_missing_position_is_said_and_not_stepped_over() -> None:
    journal = lived()
    del journal.facts[2]
    with pytest.raises(JournalGap, match="position 3 is missing"):
        next_batch(journal, {})


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            "the service answered 429 for 25 ids",
            "s: throttled: the service answered 429 for <n> ids (Too Many Requests)",
        ),
        ("HTTP 503", "s: throttled: HTTP 503 (Service Unavailable)"),
        (
            "HTTPError: HTTP Error 403: Forbidden",
            "s: throttled: HTTPError: HTTP Error 403: Forbidden (Forbidden)",
        ),
        (
            "Client error '403 Forbidden' for 7",
            "s: throttled: Client error '403 Forbidden' for <n> (Forbidden)",
        ),
        ("HTTP/1.1 404", "s: throttled: HTTP/1.1 404 (Not Found)"),
        ("it answered 499 at last", "s: throttled: it answered 499 at last"),
        ("exit code 137 after 12 s", "s: throttled: exit code 137 after <n> s"),
        ("answered 429.5 times", "s: throttled: answered <n> times"),
        ("answered 20 of 429", "s: throttled: answered <n> of <n>"),
    ],
)
def test_a_code_that_is_the_cause_stays_and_is_named(message: str, text: str) -> None:
    assert fault_text("s", Fault("throttled", message)) == text


@given(st.text(max_size=20).map(str.strip), st.integers(0, 9), st.integers(0, 9))
def test_a_failure_that_was_not_tried_again_for_its_budget_is_of_the_same_cause(
    message: str, first: int, again: int
) -> None:
    budget = Budget(0.0, [first, again])
    noted = with_note(message, budget.told(0.1))
    assert noted != message
    assert cause("s", Fault("timeout", noted)) == cause("s", Fault("timeout", message))


@given(st.text(max_size=200))
def test_masking_twice_is_masking_once(text: str) -> None:
    assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("timeout after 3 s", "timeout after 30.25 s"),
        ("run 0193f0c2a1b24c5d8e9f00112233abcd died", "run 1193f0c2a1b24c5d8e9f00112233abce died"),
        ("at 2024-05-01T10:00:00Z", "at 2025-06-02 11:12:13.5Z"),
        ("object at 0x7f00aa", "object at 0x7f11bb"),
        ("id 6f1a2c1e-93b5-5d6e-8f57-7472696d7461", "id 7f1a2c1e-93b5-5d6e-8f57-7472696d7461"),
    ],
)
def test_texts_that_differ_in_numbers_and_ids_are_one(one: str, other: str) -> None:
    assert mask(one) == mask(other)
    assert mask(one) != mask("patient was not found")

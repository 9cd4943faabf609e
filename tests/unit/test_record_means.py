"""Events that search passes over mark nothing, whatever else the journal holds."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from runtime.journal.wire import encode
from runtime.record.follow import Known, next_batch
from runtime.record.points import marks, means
from runtime.run.events import (
    TYPES,
    AttemptFinished,
    AttemptScheduled,
    Event,
    Fault,
    Recorded,
    RunSubmitted,
    StepRouted,
)

FAULTS = st.none() | st.builds(Fault, st.sampled_from(["timeout", "data"]), st.text(max_size=9))
ENDS = st.builds(
    AttemptFinished,
    attempt=st.just("a"),
    step=st.just("s"),
    number=st.integers(1, 3),
    outcome=st.sampled_from(["succeeded", "failed", "timed_out", "cancelled"]),
    scheduled=st.just(2),
    fault=FAULTS,
    run_s=st.sampled_from([0.0, 0.5, 1.0, 7.0]),
    stdout=st.sampled_from(["", "read 3 rows\n"]),
    copied=st.booleans(),
)
ROUTES = st.builds(StepRouted, step=st.just("s"), arcs=st.just([]), fault=FAULTS)


class Story:
    """One run in memory."""

    def __init__(self, *events: Event) -> None:
        first = (
            RunSubmitted("p/q", "v", 1, {}, "ann"),
            AttemptScheduled("a", "s", 1, "", "k"),
        )
        self.recorded = [
            Recorded(1, n, "run/r", n, 1.0, e) for n, e in enumerate((*first, *events), start=1)
        ]

    def follow_rows(self, cursor: dict[int, int], limit: int = 1000) -> list[tuple[object, ...]]:
        return [
            (r.writer, r.pos, r.stream, r.stream_seq, r.event.TYPE, r.event.VERSION, r.at,
             encode(r.event).decode())
            for r in self.recorded[cursor.get(1, 0) :][:limit]
        ]  # fmt: skip

    def event(self, stream: str, seq: int) -> Recorded | None:
        mine = stream == "run/r" and seq <= len(self.recorded)
        return self.recorded[seq - 1] if mine else None

    def read(self, stream: str, after: int = 0) -> Iterator[Recorded]:
        return iter(self.recorded[after:])

    def heads(self) -> dict[int, int]:
        return {1: len(self.recorded)}


@given(st.lists(ENDS | ROUTES, max_size=6))
def test_what_is_passed_over_marks_nothing(events: list[Event]) -> None:
    story = Story(*events)
    some = next_batch(story, {}, means)
    assert some is not None
    assert some.span.events == len(story.recorded)
    known = Known(story)
    known.take(some)
    assert list(marks((f.recorded for f in some.facts), known)) == list(
        marks(story.recorded, Known(story))
    )


def test_an_ordinary_success_is_passed_over_and_one_of_note_is_not() -> None:
    plain = AttemptFinished("a", "s", 1, "succeeded", 2, run_s=0.2, worker="w")
    told = AttemptFinished("a", "s", 1, "succeeded", 2, stdout="x")
    assert not means(plain.TYPE, plain.VERSION, encode(plain).decode())
    assert means(told.TYPE, told.VERSION, encode(told).decode())
    assert means(plain.TYPE, plain.VERSION + 1, "as a later release writes it")
    assert not means(AttemptScheduled.TYPE, 1, "not even looked at")
    assert set(TYPES) > {t for t in TYPES if means(t, 1, "{}")}


def test_a_run_within_a_batch_is_not_read_again() -> None:
    story = Story(AttemptFinished("a", "s", 1, "succeeded", 2))
    whole = next_batch(story, {})
    assert whole is not None
    known = Known(story)
    known.take(whole)
    story.recorded = []  # what is read from here on comes from the batch
    assert [r.stream_seq for r in known.read("run/r")] == [1, 2, 3]
    known.take(type(whole)(whole.span, whole.facts[1:]))
    assert list(known.read("run/r")) == []

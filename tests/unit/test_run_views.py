"""A run is read as a fold over its events: steps, items, cost and fault."""

from __future__ import annotations

from typing import Any

from control_plane.runs import Runs
from runtime.journal.memory import MemoryJournal
from runtime.journal.port import Append
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    ConfigStored,
    EachCut,
    Event,
    Fault,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunFailed,
    RunFailing,
    RunStarted,
    RunSubmitted,
    StepHeld,
    StepRouted,
)
from runtime.run.tokens import LOSER

RUN = "0" * 32
FAULT = Fault("transient", "503", "work.py:7")


def told(*events: Event) -> Runs:
    """The runs of a journal that holds one, with these events a second apart."""
    journal = MemoryJournal()
    journal.append(
        [Append("config/c", 0, 0.0, (ConfigStored("c", "p", "s", {"each.batch": 2}, []),))]
    )
    submitted = RunSubmitted("p", "v", 3, {"n": 1}, "ada", labels={"a": "b"})
    for at, event in enumerate((submitted, RunStarted(), *events)):
        journal.append([Append(f"run/{RUN}", at, float(at), (event,))])
    return Runs(journal)


def scheduled(batch: int, number: int = 1, step: str = "s", items: int = 2) -> AttemptScheduled:
    name = f"{RUN}/{step}/{batch}/{number}"
    return AttemptScheduled(name, step, number, "c", name, batch, items=items)


def finished(batch: int, number: int = 1, step: str = "s", **more: Any) -> AttemptFinished:
    name = f"{RUN}/{step}/{batch}/{number}"
    facts = {"outcome": "succeeded", "scheduled": 1, "batch": batch, **more}
    return AttemptFinished(name, step, number, **facts)


def test_items_batches_tries_and_cost_are_summed_by_step() -> None:
    cut = EachCut("s", 0, "all", 0, 3, 2, 0, 2, "c", items={"count": 3, "source": [1, 2, 3]})
    view = told(
        cut, scheduled(0), scheduled(1, items=1),
        finished(0, outcome="failed", fault=FAULT, retry_at=9.0, cost_usd=0.25, run_s=1.0),
        scheduled(0, 2), finished(0, 2, cost_usd=0.5, run_s=2.0),
        finished(1, cost_usd=0.25, run_s=1.0, arcs=["next"]), RunCompleted(5),
    ).get(RUN)  # fmt: skip
    (step,) = view.steps
    assert (step.items, step.items_done, step.batches, step.batches_done) == (3, 3, 2, 2)
    assert (step.attempts, step.failed_attempts, step.run_s) == (3, 1, 4.0)
    assert (step.state, step.fault, step.knobs) == ("completed", None, {"each.batch": 2})
    assert view.cost_usd == 1.0
    assert (view.state, view.result, view.wall_s) == ("completed", 5, 8.0)
    assert (view.workload, view.labels, view.number) == ({"n": 1}, {"a": "b"}, 3)


def test_a_step_that_waits_for_its_hours_says_for_which_and_until_when() -> None:
    held = StepHeld("s", 79_200.0, "22-6", "c", zone="Europe/Berlin")
    (step,) = told(held).get(RUN).steps
    waits = {"kind": "hours", "hours": "22-6", "zone": "Europe/Berlin", "due": 79_200.0}
    assert (step.state, step.started_at, step.waits) == ("running", 2.0, waits)
    assert (step.config, step.knobs) == ("c", {"each.batch": 2})
    assert step.held_s == 0.0
    (step,) = told(held, scheduled(-1, items=1), finished(-1, arcs=[])).get(RUN).steps
    assert (step.state, step.waits, step.held_s) == ("completed", None, 1.0)
    cut = EachCut("s", 0, "all", 0, 3, 2, 0, 2, "c", items={"count": 3, "source": [1, 2, 3]})
    (step,) = told(held, cut).get(RUN).steps
    assert (step.items, step.waits, step.held_s) == (3, None, 1.0)
    (step,) = told(held, RunCancelRequested("ada"), RunCancelled()).get(RUN).steps
    assert (step.state, step.waits, step.held_s) == ("cancelled", None, 2.0)


def test_a_hedge_that_beat_its_try_is_no_failure_and_both_have_their_cost() -> None:
    beside = scheduled(-1, items=1).but(attempt="x.1", hedges=scheduled(-1).attempt)
    view = told(
        scheduled(-1, items=1), beside,
        finished(-1, cost_usd=0.25, arcs=[]).but(attempt="x.1"),
        finished(-1, outcome="cancelled", cost_usd=0.5, moot=True), RunCompleted(5),
    ).get(RUN)  # fmt: skip
    (step,) = view.steps
    assert (step.attempts, step.failed_attempts, step.batches_done) == (2, 0, 1)
    assert (step.state, step.fault, step.cost_usd) == ("completed", None, 0.75)


def test_a_step_that_failed_for_good_has_its_fault() -> None:
    view = told(
        scheduled(-1, items=1), finished(-1, outcome="failed", fault=FAULT), RunFailed("s", FAULT)
    ).get(RUN)
    assert (view.state, view.fault_step, view.fault) == ("failed", "s", FAULT)
    assert (view.steps[0].state, view.steps[0].fault) == ("failed", FAULT)


def test_a_step_that_waits_for_its_next_try_still_runs() -> None:
    failed = finished(-1, outcome="failed", fault=FAULT, retry_at=99.0)
    view = told(scheduled(-1, items=1), failed).get(RUN)
    assert view.steps[0].state == "running"
    assert (view.wall_s, view.cost_usd) == (None, None)


def test_what_was_under_way_when_a_run_ended_does_not_run_any_more() -> None:
    cut = EachCut("s", 0, "all", 0, 3, 2, 0, 2, "c", items={"count": 3, "source": [1, 2, 3]})
    ends = (RunFailing("s", FAULT), RunFailed("s", FAULT))
    view = told(cut, scheduled(0), scheduled(-1, step="t"), *ends).get(RUN)
    assert {s.name: s.state for s in view.steps} == {"s": "failed", "t": "cancelled"}
    gone = told(scheduled(-1, step="t"), RunCancelRequested("me"), RunCancelled()).get(RUN)
    assert [(s.state, s.ended_at) for s in gone.steps] == [("cancelled", 4.0)]


def test_a_step_that_only_routes_is_done_at_once() -> None:
    view = told(StepRouted("fork", ["a", "b"])).get(RUN)
    assert [(s.name, s.state, s.attempts) for s in view.steps] == [("fork", "completed", 0)]


def test_events_are_shown_as_the_journal_holds_them() -> None:
    runs = told(StepRouted("fork", ["a"]))
    events = runs.events(RUN)
    assert [event.seq for event in events] == [1, 2, 3]
    assert events[-1].body == {"step": "fork", "arcs": ["a"]}
    assert runs.events(RUN, after=1, limit=1) == events[1:2]


def test_a_step_that_waits_says_for_what_until_it_has_it() -> None:
    asks = scheduled(-1, items=1).but(args={"tool": {"kind": "signal", "name": "paid"}})
    (waiting,) = told(asks).get(RUN).steps
    assert (waiting.state, waiting.waits) == ("running", {"kind": "signal", "name": "paid"})
    (done,) = told(asks, finished(-1, arcs=[])).get(RUN).steps
    assert (done.state, done.waits) == ("completed", None)


def test_a_step_that_a_join_let_go_is_cancelled_and_no_failure() -> None:
    lost = finished(-1, outcome="cancelled", fault=LOSER, arcs=None)
    (step,) = told(scheduled(-1, items=1), lost).get(RUN).steps
    assert (step.state, step.failed_attempts) == ("cancelled", 0)


def test_a_step_that_begins_again_in_a_loop_is_running() -> None:
    again = scheduled(-1, items=1).but(attempt=f"{RUN}/s~2/-1/1")
    (step,) = told(scheduled(-1, items=1), finished(-1, arcs=["s"]), again).get(RUN).steps
    assert (step.state, step.ended_at, step.attempts) == ("running", None, 1)

"""The simulator: the engine's rules in time, and honest answers from what was recorded."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.knobs import UnknownKnob
from optimizer.simulate.estimate import CannotSay, Estimate
from optimizer.simulate.flow import replay
from optimizer.simulate.question import BadChange
from optimizer.simulate.rows import MissingColumns, from_rows
from optimizer.simulate.service import Cell, levels
from optimizer.simulate.shadow import replay_check
from optimizer.simulate.what_if import what_if
from optimizer.simulate.work import Cut, Firing, Piece, Try, Work, from_events
from runtime.playbook.parse import parse
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    EachCut,
    Event,
    Fault,
    Recorded,
    RunCompleted,
    RunStarted,
    RunSubmitted,
    StepHeld,
    StepRouted,
)


def held(seconds: float, *, items: int = 1) -> Piece:
    return Piece(items, (Try("succeeded", "", 0.0, seconds, None, 0.001 * seconds),))


def flaky(seconds: Sequence[float], wait: float = 1.0, *, ok: bool = True) -> Piece:
    """Tries that fail but for the last."""
    tries = [Try("failed", "transient", 0.0, s, wait, None) for s in seconds]
    end = replace(tries[-1], outcome="succeeded", cls="") if ok else tries[-1]
    return Piece(1, (*tries[:-1], replace(end, wait_s=None)))


def step(name: str, pieces: Sequence[Piece], in_flight: int = 1, after: tuple[int, ...] = (),
         **cut: Any) -> Firing:  # fmt: skip
    one = Cut("all", pieces[0].items, in_flight, False, "", None, tuple(pieces))
    return Firing(name, True, after, 0.0, 0.0, (replace(one, **cut),))


def work(*firings: Firing, run: str = "r", **facts: Any) -> Work:
    plain = Work(run, "p", "v", "completed", False, 0.0, 0.0, None, 1, firings)
    timed = replace(plain, **facts)
    return replace(timed, makespan_s=replay(timed).makespan_s)


def test_so_many_pieces_are_in_flight_as_the_cut_says() -> None:
    pieces = [held(1.0)] * 4
    assert replay(work(step("a", pieces, 1))).makespan_s == 4.0
    assert replay(work(step("a", pieces, 2))).makespan_s == 2.0
    assert replay(work(step("a", pieces, 4))).makespan_s == 1.0


def test_a_retry_budget_leaves_in_an_outage_a_tenth_of_the_tries() -> None:
    down = work(step("a", [flaky([1.0] * 5, 0.0, ok=False)] * 100, 4))
    assert replay(down).steps["a"].items_failed == 100
    held_to = replay(down, budgets={"a": 0.1})
    assert held_to.steps["a"].items_failed == 100
    assert held_to.makespan_s < 1.2 * replay(work(step("a", [held(1.0)] * 100, 4))).makespan_s
    assert replay(down, budgets={"b": 0.1}).makespan_s == replay(down).makespan_s


@given(st.lists(st.integers(1, 5), min_size=1, max_size=40), st.sampled_from([0.05, 0.1, 0.5]))
def test_a_budget_loses_what_it_does_not_let_be_tried_again_and_takes_no_longer(
    chains: list[int], share: float
) -> None:
    pieces = [flaky([1.0] * n, wait=0.5) for n in chains]
    free = replay(work(step("a", pieces, 1)))
    under = replay(work(step("a", pieces, 1)), budgets={"a": share})
    assert under.makespan_s <= free.makespan_s
    assert under.steps["a"].items_failed <= sum(n > 1 for n in chains)
    assert free.steps["a"].items_failed == 0


def test_what_if_answers_for_a_budget_unless_one_refused_tries() -> None:
    pieces = [flaky([1.0, 1.0])] * 30
    asked = {"a": {"retry.budget": 0.1}}
    found = what_if(work(step("a", pieces, 1)), asked, random.Random(1), draws=5)
    assert isinstance(found, Estimate)
    assert found.items_failed.median > 20
    assert any("begins empty" in said for said in found.assumptions)
    spent = [*pieces, Piece(1, (replace(pieces[0].tries[0], over_budget=True, wait_s=None),))]
    told = what_if(work(step("a", spent, 1)), asked, random.Random(1), draws=5)
    assert isinstance(told, CannotSay)
    assert told.why == "budget_spent"
    with pytest.raises(BadChange, match="share above 0"):
        what_if(work(step("a", pieces, 1)), {"a": {"retry.budget": 10}}, random.Random(1))


def test_who_finds_no_slot_waits_in_line() -> None:
    assert replay(work(step("a", [held(1.0)] * 4, 4)), slots=3).makespan_s == 2.0
    both = work(step("a", [held(1.0)] * 2, 2), step("b", [held(1.0)] * 2, 2))
    assert replay(both).makespan_s == 1.0
    assert replay(both, slots=1).makespan_s == 4.0


def test_a_piece_that_waits_for_its_next_try_stays_in_flight_but_holds_no_slot() -> None:
    pieces = [flaky([1.0, 1.0], wait=5.0), held(2.0)]
    assert replay(work(step("a", pieces, 1))).makespan_s == 9.0
    assert replay(work(step("a", pieces, 2)), slots=1).makespan_s == 7.0


def test_a_drained_cut_begins_when_nothing_is_in_flight() -> None:
    first = Cut("block", 1, 2, True, "control", None, (held(1.0), held(3.0)))
    second = replace(first, pieces=(held(1.0), held(1.0)))
    drained = work(Firing("a", True, (), 0.0, 0.0, (first, second)))
    assert replay(drained).makespan_s == 4.0
    flowing = tuple(replace(c, drained=False) for c in (first, second))
    assert replay(work(Firing("a", True, (), 0.0, 0.0, flowing))).makespan_s == 3.0


def test_a_join_fires_after_the_last_of_its_inputs_and_its_lag() -> None:
    join = replace(step("d", [held(1.0)], after=(1, 2)), lag_s=0.5)
    whole = work(
        step("a", [held(1.0)]), step("b", [held(1.0)], after=(0,)),
        step("c", [held(4.0)], after=(0,)), join,
    )  # fmt: skip
    assert replay(whole).makespan_s == 6.5


def test_too_many_failed_items_end_the_replay_and_name_the_step() -> None:
    bad = work(step("a", [flaky([1.0], ok=False), held(1.0)]), step("b", [held(1.0)], after=(0,)))
    assert replay(bad, allowed={"a": 0}).failed == "a"
    done = replay(bad, allowed={"a": 1})
    assert (done.failed, done.steps["a"].items_failed, done.makespan_s) == ("", 1, 3.0)


@given(
    st.lists(st.floats(0.01, 10.0), min_size=1, max_size=30), st.integers(1, 8),
    st.integers(1, 8),
)  # fmt: skip
def test_no_schedule_beats_the_bounds_of_list_scheduling(
    seconds: list[float], in_flight: int, slots: int
) -> None:
    at_once = min(in_flight, slots)
    took = replay(work(step("a", [held(s) for s in seconds], in_flight)), slots).makespan_s
    assert took >= max(sum(seconds) / at_once, *seconds, 0.0) - 1e-9
    assert took <= sum(seconds) / at_once + max(seconds) + 1e-9


# ---- reading events ---------------------------------------------------------------------


def told(*events: tuple[float, Event]) -> list[Recorded]:
    return [Recorded(1, i, "run/r", i, at, e) for i, (at, e) in enumerate(events, 1)]


def scheduled(name: str, batch: int = -1, number: int = 1, items: int = 1) -> AttemptScheduled:
    return AttemptScheduled(f"r/{name}/{batch}/{number}", name, number, "c", "k", batch,
                            items=items)  # fmt: skip


def finished(
    name: str, batch: int = -1, number: int = 1, arcs: list[str] | None = None,
    retry_at: float | None = None, queue_s: float = 0.0,
) -> AttemptFinished:  # fmt: skip
    fault = Fault("transient", "no") if retry_at else None
    return AttemptFinished(
        f"r/{name}/{batch}/{number}", name, number, "failed" if fault else "succeeded", 1, batch,
        fault=fault, retry_at=retry_at, queue_s=queue_s, arcs=arcs,
    )  # fmt: skip


DIAMOND = told(
    (0.0, RunSubmitted("p", "v", 1, {}, "ada")), (0.0, RunStarted()),
    (0.0, scheduled("a")), (1.0, finished("a", arcs=["b", "c"], queue_s=0.25)),
    (1.0, EachCut("b", 0, "all", 0, 3, 2, 0, 1, "c", {"count": 3, "source": []})),
    (1.0, scheduled("b", 0, items=2)), (1.0, scheduled("c")),
    (2.0, finished("b", 0, retry_at=2.5)), (2.5, scheduled("b", 0, 2, items=2)),
    (3.0, finished("c", arcs=["d"])), (3.5, finished("b", 0, 2)),
    (3.5, scheduled("b", 1, items=1)), (4.0, finished("b", 1, arcs=["d"])),
    (4.0, StepRouted("d", ["e"])), (4.0, scheduled("e")), (6.0, finished("e", arcs=[])),
    (6.1, RunCompleted()),
)  # fmt: skip


def test_events_are_folded_into_who_waited_for_whom_and_how_long_tries_took() -> None:
    read = from_events("r", DIAMOND, {"c": {"retry.attempts": 4}})
    assert [(f.step, f.after) for f in read.firings] == [
        ("a", ()), ("b", (0,)), ("c", (0,)), ("d", (1, 2)), ("e", (3,)),
    ]  # fmt: skip
    (cut,) = read.firings[1].cuts
    assert (cut.size, cut.in_flight, cut.attempts, read.firings[1].items) == (2, 1, 4, 3)
    first, second = cut.pieces[0].tries
    assert (first.cls, first.hold_s, first.wait_s) == ("transient", 1.0, 0.5)
    assert (second.ok, second.hold_s, second.wait_s) == (True, 1.0, None)
    assert (read.firings[0].cuts[0].pieces[0].tries[0].queue_s, read.state) == (0.25, "completed")


def test_a_run_replayed_as_it_was_takes_as_long_as_it_did() -> None:
    read = from_events("r", DIAMOND)
    assert replay(read).makespan_s == pytest.approx(6.1)
    assert read.makespan_s == pytest.approx(6.1)


def test_a_wait_for_hours_of_the_day_is_no_work_and_keeps_its_length() -> None:
    hour = 3600.0
    read = from_events("r", told(
        (0.0, RunSubmitted("p", "v", 1, {}, "ada")), (0.0, RunStarted()),
        (0.0, scheduled("a")), (1.0, finished("a", arcs=["b"])),
        (1.0, StepHeld("b", 10 * hour, "22-6", "c")), (10 * hour, scheduled("b")),
        (10 * hour + 2.0, finished("b", arcs=[])), (10 * hour + 2.0, RunCompleted()),
    ))  # fmt: skip
    waited = read.firings[1]
    assert (waited.after, waited.lag_s, waited.span_s) == ((0,), 10 * hour - 1.0, 2.0)
    assert [t.hold_s for t in waited.cuts[0].pieces[0].tries] == [2.0]
    assert replay(read).makespan_s == pytest.approx(read.makespan_s)
    asked = what_if(read, {"b": {"start.hours": "any"}}, random.Random(1))
    assert isinstance(asked, CannotSay)
    assert asked.why == "no_start"  # no playbook says how long it may wait


def test_a_step_skipped_on_another_way_still_holds_up_a_join_that_began_with_its_end() -> None:
    read = from_events("r", told(
        (0.0, RunSubmitted("p", "v", 1, {}, "ada")), (0.0, scheduled("a")),
        (1.0, finished("a", arcs=["b", "c"])), (1.0, scheduled("b")), (1.0, scheduled("c")),
        (2.0, finished("b", arcs=["d"])), (5.0, finished("c", arcs=["other"])),
        (5.0, scheduled("d")), (6.0, finished("d", arcs=[])), (6.0, RunCompleted()),
    ))  # fmt: skip
    assert read.firings[3].after == (1, 2)


def test_a_pool_that_was_full_is_recognised() -> None:
    events: list[tuple[float, Event]] = [(0.0, RunSubmitted("p", "v", 1, {}, "ada"))]
    events.append((0.0, EachCut("a", 0, "all", 0, 4, 1, 0, 4, "c", {"count": 4, "source": []})))
    events += [(0.0, scheduled("a", i)) for i in range(4)]
    ends = [(1.0, 0, 0.0), (1.0, 1, 0.0), (2.0, 2, 1.0), (2.0, 3, 1.0)]
    events += [(at, finished("a", i, queue_s=q, arcs=[] if i == 3 else None))
               for at, i, q in ends]  # fmt: skip
    read = from_events("r", told(*events, (2.0, RunCompleted())))
    assert (read.slots, read.demand) == (2, 4)
    answer = what_if(read, {}, random.Random(1))
    assert isinstance(answer, Estimate)
    assert answer.makespan_s.median == pytest.approx(2.0)


# ---- answers ----------------------------------------------------------------------------


def made(run: str, size: int, in_flight: int, seed: int, *, items: int = 4000,
         fails: float = 0.0, attempts: int = 4) -> Work:  # fmt: skip
    """A run of a step whose batch of n takes 50 ms + 1 ms an item, give or take a quarter."""
    rng = random.Random(seed)
    day = rng.lognormvariate(0.0, 0.1)
    pieces = []
    for start in range(0, items, size):
        n = min(size, items - start)
        tries = []
        while True:
            ok = rng.random() >= fails
            hold = (0.05 + 0.001 * n) * day * rng.lognormvariate(0.0, 0.25)
            more = not ok and len(tries) + 1 < attempts
            tries.append(Try("succeeded" if ok else "failed", "" if ok else "transient", 0.001,
                             hold, 0.05 if more else None, hold))  # fmt: skip
            if not more:
                break
        pieces.append(Piece(n, tuple(tries)))
    cut = Cut("all", size, in_flight, False, "", attempts, tuple(pieces))
    return work(Firing("s", True, (), 0.0, 0.0, (cut,)), run=run, demand=in_flight)


def estimate(answer: Estimate | CannotSay) -> Estimate:
    assert isinstance(answer, Estimate), answer
    return answer


def test_a_run_as_it_was_is_drawn_within_a_tenth_of_its_own_makespan() -> None:
    for seed in range(5):
        run = made("a", 50, 3, seed, fails=0.05)
        found = estimate(what_if(run, {}, random.Random(seed)))
        assert found.calibration_error < 0.1
        assert found.makespan_s.lower < run.makespan_s < found.makespan_s.upper


def test_more_in_flight_is_foretold_from_the_run_alone() -> None:
    run = made("a", 25, 2, 1)
    found = estimate(what_if(run, {"s": {"each.in_flight": 4}}, random.Random(1)))
    assert found.makespan_delta.median == pytest.approx(-0.5, abs=0.03)
    assert any("shared limit" in text for text in found.assumptions)
    limited = estimate(what_if(run, {"s": {"each.in_flight": 8}}, random.Random(1), slots=2))
    assert limited.makespan_delta.median == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize("size", [50, 100, 150, 200])
def test_a_batch_size_is_foretold_from_other_runs(size: int) -> None:
    history = [made(f"h{n}{k}", n, 2, 10 * n + k) for n in (50, 100, 200) for k in range(3)]
    run = made("a", 25, 2, 1)
    truth = (0.05 / size + 0.001) / (0.05 / 25 + 0.001) - 1.0
    found = estimate(what_if(run, {"s": {"each.batch": size}}, random.Random(1), history=history))
    assert 1.0 + found.makespan_delta.median == pytest.approx(1.0 + truth, rel=0.15)
    assert any("taken as alike" in text for text in found.assumptions)


def test_sizes_that_met_in_one_run_are_told_apart_from_the_day() -> None:
    """Every run with large batches was three times slower, but one had both."""
    slow = replace(
        made("h", 200, 2, 3), firings=tuple(_slower(f, 3.0) for f in made("h", 200, 2, 3).firings)
    )
    large, small = made("m", 200, 2, 4).firings[0].cuts[0], made("m", 25, 2, 4).firings[0].cuts[0]
    mixed = work(Firing("s", True, (), 0.0, 0.0, (small, large)), run="m")
    found = estimate(what_if(
        made("a", 25, 2, 1), {"s": {"each.batch": 200}}, random.Random(1), history=[slow, mixed]
    ))  # fmt: skip
    assert found.makespan_delta.median == pytest.approx(-0.58, abs=0.08)


def _slower(firing: Firing, factor: float) -> Firing:
    def slow(p: Piece) -> Piece:
        return replace(p, tries=tuple(replace(t, hold_s=t.hold_s * factor) for t in p.tries))

    cuts = (replace(c, pieces=tuple(slow(p) for p in c.pieces)) for c in firing.cuts)
    return replace(firing, cuts=tuple(cuts))


def test_fewer_tries_lose_the_items_whose_next_try_would_have_saved_them() -> None:
    run = made("a", 10, 2, 1, fails=0.2)
    retried = sum(10 for p in run.firings[0].cuts[0].pieces if not p.tries[0].ok)
    found = estimate(what_if(run, {"s": {"retry.attempts": 1}}, random.Random(1)))
    assert found.items_failed.lower <= retried <= found.items_failed.upper
    assert found.makespan_delta.median < 0.0
    assert any("however many items fail" in text for text in found.assumptions)


def test_more_tries_save_items() -> None:
    run = made("a", 10, 2, 1, fails=0.3, attempts=2)
    before = run.firings[0].items_failed
    found = estimate(what_if(run, {"s": {"retry.attempts": 6}}, random.Random(1)))
    assert 0 <= found.items_failed.median < before / 4
    assert found.makespan_delta.median > 0.0


def test_the_playbook_says_how_many_items_may_fail() -> None:
    run = made("a", 10, 2, 1, fails=0.2)
    text = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: p}
workflow:
  - step: s
    each: {in: "{{ [1, 2] }}", batch: 10, in_flight: 2}
    tool: {kind: python, code: "result = 1"}
    retry: {attempts: 4}
"""
    found = what_if(run, {"s": {"retry.attempts": 1}}, random.Random(1), playbook=parse(text, "p"))
    assert isinstance(found, CannotSay)
    assert found.why == "run_would_fail"


@pytest.mark.parametrize(
    ("change", "run", "why"),
    [
        ({"s": {"each.batch": 200}}, made("a", 25, 2, 1), "one_size"),
        ({"gone": {"each.batch": 200}}, made("a", 25, 2, 1), "step_not_run"),
        ({"s": {"timeout": 3}}, made("a", 25, 2, 1), "knob_not_simulated"),
        ({"s": {"each.batch": 50}}, replace(made("a", 25, 2, 1), state="failed"),
         "run_not_completed"),
        ({"s": {"each.batch": 50}}, replace(made("a", 25, 2, 1), paused=True), "run_paused"),
        ({"s": {"each.batch": 50}}, replace(made("a", 25, 2, 1), forked=True), "run_forked"),
        ({}, work(), "nothing_ran"),
        ({"s": {"retry.attempts": 3}}, made("a", 10, 2, 1, fails=0.2, attempts=1),
         "no_retry_seen"),
        ({"s": {"each.batch": 5}}, work(replace(step("s", [held(1.0)]), each=False)),
         "not_an_each"),
    ],
)  # fmt: skip
def test_what_the_record_does_not_hold_is_not_made_up(
    change: dict[str, dict[str, Any]], run: Work, why: str
) -> None:
    found = what_if(run, change, random.Random(1))
    assert isinstance(found, CannotSay)
    assert found.why == why
    assert found.to_json()["kind"] == "cannot_say"


def test_a_size_beyond_those_seen_is_not_extrapolated() -> None:
    found = what_if(
        made("a", 25, 2, 1), {"s": {"each.batch": 400}}, random.Random(1),
        history=[made("b", 100, 2, 2)],
    )  # fmt: skip
    assert isinstance(found, CannotSay)
    assert found.why == "beyond_history"


@pytest.mark.parametrize("value", [0, -1, 2.5, "many", True, None])
def test_a_value_no_run_could_have_is_refused(value: Any) -> None:
    with pytest.raises(BadChange, match=r"s\.each\.batch"):
        what_if(made("a", 25, 2, 1), {"s": {"each.batch": value}}, random.Random(1))


def test_an_unknown_knob_is_refused_by_name() -> None:
    with pytest.raises(UnknownKnob, match="speed"):
        what_if(made("a", 25, 2, 1), {"s": {"speed": 2}}, random.Random(1))


def test_the_same_chance_gives_the_same_answer() -> None:
    run, change = made("a", 25, 2, 1, fails=0.1), {"s": {"each.in_flight": 3}}
    one, two = (what_if(run, change, random.Random(7)) for _ in range(2))
    assert one == two


# ---- rows and shadow --------------------------------------------------------------------


def rows(run: str, size: int, in_flight: int, seed: int) -> list[dict[str, Any]]:
    """The record's rows of a run's one step, batch after batch."""
    found, at = [], 100.0 * seed
    for batch, piece in enumerate(made(run, size, in_flight, seed).firings[0].cuts[0].pieces):
        one = piece.tries[0]
        found.append({
            "run": run, "batch": batch, "block": 0, "number": 1, "outcome": "succeeded",
            "error_class": None, "queue_s": one.queue_s, "items": piece.items,
            "scheduled_at": at, "at": at + one.queue_s + one.hold_s, "batch_size": size,
            "in_flight": in_flight, "retry_limit": 4, "arm": None, "cost_usd": 0.1,
        })  # fmt: skip
        at += one.queue_s + one.hold_s
    return found


def test_rows_of_the_record_tell_the_same_work() -> None:
    (read,) = from_rows(pa.Table.from_pylist(rows("a", 50, 1, 3)), playbook="p", step="s")
    assert read.makespan_s == pytest.approx(made("a", 50, 1, 3).makespan_s)
    assert (read.firings[0].items, read.firings[0].cuts[0].attempts) == (4000, 4)


def test_rows_without_their_columns_are_refused_by_name() -> None:
    with pytest.raises(MissingColumns, match="batch_size"):
        from_rows(pa.table({"run": ["a"]}), step="s")


def test_a_candidate_that_helps_is_seen_to_help_in_every_run() -> None:
    works = [made(f"{n}{k}", n, 2, 10 * n + k, items=2000) for n in (25, 50) for k in range(3)]
    diff = [{"knob": "each.batch", "from": 25, "to": 50}]
    check = replay_check(works, "s", diff, random.Random(1))
    assert (check.runs, check.violations, check.cannot_say) == (6, 0, {})
    assert check.makespan_delta is not None
    assert check.makespan_delta.lower < -0.15
    assert check.calibration_error is not None
    assert check.calibration_error < 0.1
    assert {"runs", "makespan_delta", "violations", "calibration_error"} <= check.to_json().keys()


def test_a_candidate_that_loses_items_violates() -> None:
    works = [made(f"{k}", 25, 2, k, fails=0.2, items=1000) for k in range(3)]
    diff = [{"knob": "retry.attempts", "from": 4, "to": 1}]
    assert replay_check(works, "s", diff, random.Random(1)).violations == 3


def test_a_candidate_nobody_can_speak_for_is_no_good_sign() -> None:
    works = [made(f"{k}", 25, 2, k, items=500) for k in range(3)]
    check = replay_check(
        works, "s", [{"knob": "each.batch", "from": 25, "to": 100}], random.Random(1)
    )
    assert (check.runs, check.makespan_delta, check.cannot_say) == (0, None, {"one_size": 3})


def test_a_step_that_took_no_time_at_all_has_no_levels() -> None:
    assert levels([]).sizes == []
    assert levels([(Cell(0, 1, 1), 0.0)]).curve(Cell(0, 1, 1)) is None

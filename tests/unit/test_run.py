"""A run is decided step by step, and its fold is the same however it is read."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driven import OK, Driver, World, failed, mapped, step, world
from runtime.playbook.model import (
    Alternative,
    Arc,
    Hedge,
    Join,
    Playbook,
    Reduce,
    Repeat,
    Retry,
    Step,
)
from runtime.playbook.model import Each as EachSpec
from runtime.run import events as ev
from runtime.run.decide import Decision, Ended
from runtime.run.evolve import evolve
from runtime.run.layers import CONTROL, Layers
from runtime.run.state import Try, new_run


def test_a_sequence_runs_one_step_after_the_other() -> None:
    d = Driver(world(step("a", "b"), step("b")))
    assert [t.step for t in d.flying()] == ["a"]
    d.end(d.flying()[0])
    assert [t.step for t in d.flying()] == ["b"]
    d.end(d.flying()[0])
    assert d.state.status == "completed"
    assert d.state.result == 1


def test_a_fan_out_runs_at_once_and_joins_on_all() -> None:
    d = Driver(world(step("a", "b", "c"), step("b", "d"), step("c", "d"), step("d")))
    d.end(d.flying()[0])
    assert sorted(t.step for t in d.flying()) == ["b", "c"]
    d.end(d.flying("b")[0])
    assert [t.step for t in d.flying()] == ["c"]
    d.end(d.flying("c")[0])
    assert [t.step for t in d.flying()] == ["d"]


def test_an_arc_not_taken_skips_its_branch_and_the_join_still_fires() -> None:
    first = Step("a", {"kind": "x"}, (Arc("b", when="yes"), Arc("c", otherwise=True)), "exclusive")
    d = Driver(world(first, step("b", "d"), step("c", "d"), step("d"), conditions={"yes": True}))
    d.run_out()
    assert d.state.steps["c"].status == "skipped"
    assert d.state.steps["d"].status == "done"


def test_a_failure_is_tried_again_by_class_and_then_fails_the_run() -> None:
    d = Driver(world(step("a", retry=Retry(attempts=3, initial_s=1.0))))
    d.end(d.flying()[0], failed())
    assert (d.flying(), d.state.pauses[("a", -1)].at) == ([], 100.5)
    d.run_out(lambda _: failed())
    finished = d.of(ev.AttemptFinished)
    assert [(f.number, f.retry_at is not None) for f in finished] == [
        (1, True), (2, True), (3, False),
    ]  # fmt: skip
    assert d.state.status == "failed"
    assert d.of(ev.RunFailed)[0].fault.cls == "transient"


def test_a_permanent_failure_is_never_tried_again() -> None:
    d = Driver(world(step("a", retry=Retry(attempts=5))))
    d.run_out(lambda _: failed("permanent"))
    assert len(d.of(ev.AttemptFinished)) == 1


def test_an_error_arc_catches_its_class_and_the_run_goes_on() -> None:
    a = Step("a", {"kind": "x"}, (Arc("b"), Arc("mend", on=("data",))))
    d = Driver(world(a, step("b"), step("mend")))
    d.run_out(lambda t: failed("data") if t.step == "a" else OK)
    assert d.state.status == "completed"
    assert {n: s.status for n, s in d.state.steps.items()} == {
        "a": "failed", "b": "skipped", "mend": "done",
    }  # fmt: skip


def test_no_matching_arc_is_a_failure_of_its_own_class() -> None:
    a = Step("a", None, (Arc("b", when="yes"),), "exclusive")
    d = Driver(world(a, step("b"), conditions={"yes": False}))
    assert d.state.status == "failed"
    assert d.of(ev.RunFailed)[0].fault.cls == "no_route"


def test_a_lost_worker_costs_no_try_but_five_in_a_row_are_poison() -> None:
    d = Driver(world(step("a", retry=Retry(attempts=1))))
    d.run_out(lambda _: Ended("", "lost", ev.Fault("lost", "killed"), facts={"worker": "w"}))
    assert len(d.of(ev.AttemptFinished)) == 6
    assert d.state.status == "failed"


def test_what_is_lost_with_the_server_is_no_poison_however_often_that_is() -> None:
    d = Driver(world(step("a", retry=Retry(attempts=1))))
    restarted = Ended("", "lost", ev.Fault("lost", "the server was restarted"))
    d.run_out(lambda t: restarted if t.number <= 40 else OK)
    assert d.state.status == "completed"


def test_a_once_step_that_was_cut_off_is_unknown_and_not_tried_again() -> None:
    d = Driver(world(step("a", effect="once", retry=Retry(attempts=5))))
    leased = ev.AttemptLeased(d.flying()[0].attempt, "a", "w")
    d.take([leased], into_state=True)
    d.end(d.flying()[0], Ended("", "lost", ev.Fault("lost", "killed")))
    assert d.state.status == "failed"
    assert d.of(ev.RunFailed)[0].fault.cls == "unknown"


def test_an_each_keeps_so_many_in_flight_and_gathers_in_order() -> None:
    d = Driver(mapped(10, batch=3, in_flight=2))
    assert [(t.batch, t.start, t.items) for t in d.flying()] == [(0, 0, 3), (1, 3, 3)]
    d.end(d.flying()[1], replace(OK, result="second"))
    assert [t.batch for t in d.flying()] == [0, 2]
    d.run_out(lambda t: replace(OK, result=t.batch))
    assert d.state.result["results"] == [0, "second", 2, 3]


def test_an_each_over_nothing_ends_at_once() -> None:
    d = Driver(mapped(0, batch=3, in_flight=2))
    assert d.state.status == "completed"
    assert d.state.result["items"] == 0


def test_failures_within_the_allowance_are_counted_and_beyond_it_end_the_step() -> None:
    kind = failed("permanent")
    within = Driver(mapped(10, batch=1, in_flight=3, allow=0.2))
    within.run_out(lambda t: kind if t.batch < 2 else OK)
    assert within.state.status == "completed"
    assert within.state.result["failed"] == 2
    beyond = Driver(mapped(10, batch=1, in_flight=3, allow=0.2))
    beyond.run_out(lambda t: kind if t.batch < 3 else OK)
    assert beyond.state.status == "failed"
    assert len(beyond.of(ev.AttemptScheduled)) < 10


def test_cancelling_lets_nothing_new_fire_and_ends_when_all_is_down() -> None:
    d = Driver(mapped(10, batch=1, in_flight=3))
    d.act(lambda x: x.cancel("me", "enough"))
    assert d.state.status == "cancelling"
    for t in d.flying():
        d.end(t, Ended("", "cancelled", ev.Fault("cancelled", "")))
    assert d.state.status == "cancelled"
    assert len(d.of(ev.AttemptScheduled)) == 3


def test_a_paused_run_drains_and_goes_on_when_resumed() -> None:
    d = Driver(mapped(4, batch=1, in_flight=2))
    d.act(lambda x: x.pause("me"))
    for t in d.flying():
        d.end(t)
    assert (d.flying(), d.state.status) == ([], "paused")
    d.act(lambda x: x.resume("me"))
    d.run_out()
    assert d.state.status == "completed"


def test_a_report_for_a_finished_attempt_changes_nothing() -> None:
    d = Driver(world(step("a", "b"), step("b")))
    first = d.flying()[0]
    d.end(first)
    assert d.end(first) == []


# ---- experiments ------------------------------------------------------------------------


def trial(design: str, arms: dict[str, dict[str, Any]], block: int, share: float) -> Layers:
    layers = Layers()
    shares = dict.fromkeys(arms, share)
    layers.evolve(
        ev.ExperimentStarted(
            "x", "p-1", "p", "map", "batch", design, {}, arms, shares, "salt", "h", block
        )
    )
    return layers


def covered(d: Driver) -> list[int]:
    """Every item that a succeeded batch covered, sorted."""
    items: list[int] = []
    starts = {e.attempt: (e.start, e.items) for e in d.of(ev.AttemptScheduled)}
    for e in d.of(ev.AttemptFinished):
        if e.outcome == "succeeded":
            start, count = starts[e.attempt]
            items += range(start, start + count)
    return sorted(items)


def test_blocks_are_drawn_before_they_are_cut_with_their_arms_size() -> None:
    w = mapped(100, batch=5, in_flight=2)
    w.layers = trial("blocks", {"candidate": {"each.batch": 10}}, 10, 0.5)
    d = Driver(w)
    d.run_out()
    cuts = d.of(ev.EachCut)
    assert [c.stop - c.start for c in cuts] == [10] * 10
    assert {(c.arm, c.size) for c in cuts} == {("candidate", 10), (CONTROL, 5)}
    assert covered(d) == list(range(100))


def test_a_candidates_failed_batch_is_cut_again_at_the_stable_size() -> None:
    w = mapped(40, batch=5, in_flight=2, retry=Retry(attempts=2))
    w.layers = trial("blocks", {"candidate": {"each.batch": 10}}, 10, 0.5)
    d = Driver(w)
    d.run_out(lambda t: failed() if t.items == 10 else OK)
    rescues = [c for c in d.of(ev.EachCut) if c.kind == "rescue"]
    assert rescues
    assert all(c.size == 5 and c.experiment is None for c in rescues)
    assert d.state.status == "completed"
    assert d.state.result["failed"] == 0
    assert covered(d) == list(range(40))


def test_taking_an_experiment_back_rescues_what_is_unfinished_of_its_candidates() -> None:
    w = mapped(40, batch=5, in_flight=2, retry=Retry(attempts=3, initial_s=50))
    w.layers = trial("blocks", {"candidate": {"each.batch": 2}}, 20, 1.0)
    d = Driver(w)
    first, second = d.flying()
    d.end(first, failed())
    w.layers.evolve(ev.ExperimentEnded("x", "harm"))
    d.act(lambda x: x.rescue("x"))
    assert ("map", first.batch) not in d.state.pauses
    d.end(second, failed())
    d.run_out()
    assert covered(d) == list(range(40))
    late = [e for e in d.of(ev.AttemptScheduled) if e.batch > second.batch]
    assert all(e.experiment is None for e in late)
    assert [e.post_decision for e in d.of(ev.AttemptFinished)][:2] == [False, True]


def test_switchback_blocks_come_in_drained_pairs_with_the_arms_own_concurrency() -> None:
    w = mapped(110, batch=5, in_flight=2)
    w.layers = trial("switchback", {"candidate": {"each.in_flight": 4}}, 20, 0.5)
    d = Driver(w)
    deepest: dict[int, int] = {}
    while not d.state.ended:
        flying = d.flying()
        blocks = {t.block for t in flying}
        assert len(blocks) <= 1, "a block began before the one before it was empty"
        for b in blocks:
            deepest[b] = max(deepest.get(b, 0), len(flying))
        d.end(flying[0])
    cuts = d.of(ev.EachCut)
    arms = [c.arm for c in cuts]
    assert sorted(map(str, arms[:4])) == ["candidate", "candidate", "control", "control"]
    assert arms[0] != arms[1]
    assert [c.pair for c in cuts[:4]] == [0, 0, 1, 1]
    assert [c.kind for c in cuts[4:]] == ["all"]
    for c in cuts[:4]:
        assert deepest[c.block] == (4 if c.arm == "candidate" else 2)
    assert covered(d) == list(range(110))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60), st.integers(1, 9), st.integers(1, 5), st.integers(1, 20),
    st.sampled_from(["none", "blocks", "switchback"]), st.randoms(use_true_random=False),
    st.integers(0, 40),
)  # fmt: skip
def test_whatever_fails_is_lost_hedged_or_taken_back_every_item_is_done_exactly_once(
    count: int, batch: int, in_flight: int, block: int, design: str, chance: random.Random,
    takeback: int,
) -> None:  # fmt: skip
    retry, hedge = Retry(attempts=5, initial_s=0.1), Hedge(1.0, 2)
    w = mapped(count, batch, in_flight, retry=retry, hedge=hedge)
    if design != "none":
        arms = {"candidate": {"each.batch": 7, "each.in_flight": 3}}
        w.layers = trial(design, arms, max(block, 7), 0.5)
    d, moves = Driver(w), 0
    while not d.state.ended:
        moves += 1
        if moves == takeback and design != "none":
            w.layers.evolve(ev.ExperimentEnded("x", "harm"))
            d.act(lambda x: x.rescue("x"))
        flying = d.flying()
        if not flying:
            w.at += 60
            d.act(Decision.due)
            continue
        bad = [failed(), Ended("", "lost", ev.Fault("lost", ""))]
        tried = chance.choice(flying)
        if chance.random() < 0.3:
            d.act(lambda x, name=tried.attempt: x.hedge(name))  # type: ignore[misc]
        unlucky = tried.number <= 3 and chance.random() < 0.3
        d.end(tried, chance.choice(bad) if unlucky else OK)
    assert d.state.status == "completed"
    assert covered(d) == list(range(count))
    assert d.state.result["failed"] == 0


@pytest.mark.parametrize("upto", [1, 5, 12])
def test_a_fold_up_to_any_event_is_the_state_then(upto: int) -> None:
    d = Driver(mapped(10, batch=3, in_flight=2))
    d.run_out()
    state = new_run("r", d.net)
    for event in d.log[:upto]:
        evolve(state, event, 1.0)
    assert state.seq == min(upto, len(d.log))


# ---- reducing ---------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 5), st.integers(1, 6),
    st.randoms(use_true_random=False),
)  # fmt: skip
def test_a_reduced_each_comes_to_what_its_gathered_results_would(
    count: int, batch: int, in_flight: int, chance: random.Random
) -> None:
    reduce = {"total": Reduce("add", ""), "most": Reduce("max", "")}
    each = EachSpec("{{ x }}", batch, in_flight, 1.0, None, reduce)
    d = Driver(world(step("map", "b", each=each), step("b"), items_of={"map": count}))
    given_: dict[int, int] = {}
    while not d.state.ended:
        tried = chance.choice(d.flying())
        if tried.step == "map" and chance.random() < 0.2:
            d.end(tried, failed("permanent"))
            continue
        given_[tried.start] = chance.randrange(100) if tried.step == "map" else 0
        d.end(tried, replace(OK, result=given_[tried.start]))
    ended = [f for f in d.of(ev.AttemptFinished) if f.step == "map"]
    good = [f for f in ended if f.outcome == "succeeded"]
    assert all(f.result is None and f.folds is not None for f in good)
    found = d.state.steps["map"].value["reduced"]
    values = [f.folds["total"]["add"] for f in good]
    assert found == {"total": sum(values) if values else None, "most": max(values, default=None)}
    assert len(d.state.steps["map"].each.results) == 0  # type: ignore[union-attr]


def test_a_batch_that_does_not_go_with_the_others_has_failed_and_may_be_allowed_to() -> None:
    each = EachSpec("{{ x }}", 1, 1, 0.5, None, {"total": Reduce("add", "")})
    d = Driver(world(step("map", each=each), items_of={"map": 2}))
    d.end(d.flying()[0], replace(OK, result=1))
    d.end(d.flying()[0], replace(OK, result="two"))
    last = d.of(ev.AttemptFinished)[-1]
    assert (last.outcome, last.fault.cls) == ("failed", "expression")
    assert "a batch gave a text, where others gave a number" in last.fault.message
    assert d.state.steps["map"].value == {"items": 2, "failed": 1, "reduced": {"total": 1}}


# ---- alternatives -----------------------------------------------------------------------

TWO = {"cheap": Alternative({"kind": "python", "call": "m:g"})}


def choosing(share: float, **kw: Any) -> World:
    """A step with an alternative that an experiment tries on this share of runs."""
    w = world(step("a", "b", alternatives=TWO, **kw), step("b"))
    started = ev.ExperimentStarted(
        "x", "p-1", "p", "a", "alternative", "blocks", {},
        {"candidate": {"alternatives": "cheap"}},
        {"candidate": share}, "salt", "h", 1,
    )  # fmt: skip
    w.layers.evolve(started)
    return w


def called(d: Driver) -> list[tuple[str, str | None]]:
    """What each try of the step called, and for which arm."""
    tried = [e for e in d.of(ev.AttemptScheduled) if e.step == "a"]
    return [(e.args["tool"]["call"], e.arm) for e in tried]


@pytest.mark.parametrize(
    ("share", "call", "arm"), [(0.0, "m:f", CONTROL), (1.0, "m:g", "candidate")]
)
def test_a_run_is_drawn_to_an_arm_and_runs_its_alternative_in_every_try(
    share: float, call: str, arm: str
) -> None:
    d = Driver(choosing(share, retry=Retry(attempts=3)))
    d.run_out(lambda t: failed() if t.step == "a" and t.number < 3 else OK)
    assert called(d) == [(call, arm)] * 3
    assert {e.share for e in d.of(ev.AttemptScheduled) if e.step == "a"} == {1.0}


def test_a_candidate_that_fails_for_good_is_tried_once_more_as_things_are_stable() -> None:
    d = Driver(choosing(1.0))
    d.run_out(lambda t: failed("permanent") if t.experiment else OK)
    assert called(d) == [("m:g", "candidate"), ("m:f", None)]
    assert [f.rescued for f in d.of(ev.AttemptFinished)] == [True, False, False]
    assert d.state.status == "completed"


def test_what_may_act_once_is_not_tried_again_for_its_candidates_sake() -> None:
    d = Driver(choosing(1.0, effect="once"))
    d.run_out(lambda t: failed("permanent"))
    assert called(d) == [("m:g", "candidate")]
    assert d.state.status == "failed"


def test_a_candidate_whose_experiment_is_over_is_tried_again_as_things_are_stable() -> None:
    w = choosing(1.0, retry=Retry(attempts=3))
    d = Driver(w)
    d.end(d.flying()[0], failed())
    w.layers.evolve(ev.ExperimentEnded("x", "harm"))
    d.run_out()
    assert called(d) == [("m:g", "candidate"), ("m:f", None)]


def test_a_retry_keeps_what_was_in_force_when_the_step_fired() -> None:
    w = world(step("a", "b", alternatives=TWO, retry=Retry(attempts=3)), step("b"))
    d = Driver(w)
    d.end(d.flying()[0], failed())
    w.layers.evolve(
        ev.OverlayAppended("p", "a", {"alternatives": "cheap"}, {}, "h", "p-1", "o", "me")
    )
    d.run_out()
    assert called(d) == [("m:f", None)] * 2
    assert called(Driver(w)) == [("m:g", None)]


def test_an_alternative_that_is_gone_fails_the_step_and_says_so() -> None:
    w = choosing(0.0)
    w.layers = Layers()
    w.layers.evolve(
        ev.OverlayAppended("p", "a", {"alternatives": "old"}, {}, "h", "p-1", "o", "me")
    )
    d = Driver(w)
    assert d.state.status == "failed"
    assert d.of(ev.RunFailed)[0].fault.message == "a has no alternative old: it has default, cheap"


# ---- hedges -----------------------------------------------------------------------------


def hedged(d: Driver, tried: Try) -> list[Try]:
    """Hedge a try; returns what was begun beside it."""
    before = set(d.state.attempts)
    d.act(lambda x: x.hedge(tried.attempt))
    return [t for name, t in d.state.attempts.items() if name not in before]


def told(d: Driver) -> list[tuple[str, str, bool]]:
    return [(f.attempt, f.outcome, f.moot) for f in d.of(ev.AttemptFinished)]


@pytest.mark.parametrize("winner", [0, 1])
def test_of_a_try_and_its_hedge_the_first_to_succeed_decides_and_the_other_is_beaten(
    winner: int,
) -> None:
    d = Driver(world(step("a", "b", hedge=Hedge(2.0)), step("b")))
    (first,) = d.flying()
    (second,) = hedged(d, first)
    assert (second.number, second.key, second.config) == (first.number, first.key, first.config)
    pair = [first, second]
    d.end(pair[winner], replace(OK, result="mine"))
    assert d.state.beaten == {pair[1 - winner].attempt}
    assert [t.step for t in d.flying()] == [pair[1 - winner].step, "b"]
    d.end(pair[1 - winner], replace(OK, result="too late", facts={"cost_usd": 0.5}))
    assert told(d) == [
        (pair[winner].attempt, "succeeded", False), (pair[1 - winner].attempt, "cancelled", True),
    ]  # fmt: skip
    assert d.of(ev.AttemptFinished)[1].cost_usd == 0.5
    assert d.state.steps["a"].value == "mine"
    assert d.state.steps["a"].times == 1


def test_a_run_ends_only_when_the_beaten_try_has() -> None:
    d = Driver(world(step("a", hedge=Hedge(2.0))))
    (first,) = d.flying()
    (second,) = hedged(d, first)
    d.end(second)
    assert d.state.status == "running"
    d.end(first, failed())
    assert d.state.status == "completed"


def test_a_try_and_its_hedge_count_as_one_against_the_limit_of_retries() -> None:
    d = Driver(world(step("a", retry=Retry(attempts=2), hedge=Hedge(2.0))))
    for number in (1, 2):
        (first,) = d.flying()
        (second,) = hedged(d, first)
        assert first.number == number
        d.end(first, failed())
        assert d.state.pauses == {}
        d.end(second, failed())
        d.world.at += 60
        d.act(Decision.due)
    assert [f.moot for f in d.of(ev.AttemptFinished)] == [True, False, True, False]
    assert d.state.status == "failed"


def test_a_pair_that_is_lost_counts_as_one_loss_but_both_deaths_count_as_poison() -> None:
    d = Driver(world(step("a", retry=Retry(attempts=1), hedge=Hedge(2.0))))
    died = Ended("", "lost", ev.Fault("lost", "killed"), facts={"worker": "w"})
    begun = 0
    while not d.state.ended:
        for first in d.flying():
            begun += 1
            (second,) = hedged(d, first)
            d.end(first, died)
            d.end(second, died)
        d.world.at += 60
        d.act(Decision.due)
    assert begun == 3
    assert d.state.status == "failed"


def test_a_lost_pair_is_one_loss_so_that_the_tries_after_it_are_as_many_as_allowed() -> None:
    d = Driver(world(step("a", retry=Retry(attempts=2), hedge=Hedge(2.0))))
    (first,) = d.flying()
    (second,) = hedged(d, first)
    for tried in (first, second):
        d.end(tried, Ended("", "lost", ev.Fault("lost", "restarted")))
    d.run_out(lambda _: failed())
    assert [f.number for f in d.of(ev.AttemptFinished)] == [1, 1, 2, 3]


def test_no_more_are_hedged_than_the_step_says_and_none_that_would_not_help() -> None:
    d = Driver(mapped(4, batch=1, in_flight=2, hedge=Hedge(2.0, 2)))
    one, other = d.flying()
    (second,) = hedged(d, one)
    (third,) = hedged(d, second)
    assert hedged(d, third) == []
    assert [t.attempt for t in (one, second, third)] == [
        "r/map/0/1", "r/map/0/1.1", "r/map/0/1.2",
    ]  # fmt: skip
    d.act(lambda x: x.pause("me"))
    assert hedged(d, other) == []
    d.act(lambda x: x.resume("me"))
    d.end(second)
    assert hedged(d, one) == []
    d.act(lambda x: x.cancel("me", ""))
    assert hedged(d, other) == []


def test_a_step_without_a_hedge_or_with_effect_once_begins_no_second_try() -> None:
    for kw in ({}, {"hedge": Hedge(2.0), "effect": "once"}):
        d = Driver(world(step("a", **kw)))
        assert hedged(d, d.flying()[0]) == []


def test_a_hedged_batch_takes_one_place_of_those_in_flight() -> None:
    d = Driver(mapped(5, batch=1, in_flight=2, hedge=Hedge(2.0)))
    first = d.flying()[0]
    (second,) = hedged(d, first)
    assert [t.batch for t in d.flying()] == [0, 1, 0]
    d.end(second)
    assert [t.batch for t in d.flying()] == [0, 1, 2]
    d.run_out(lambda t: replace(OK, result=t.batch))
    assert d.state.result["results"] == [1, 1, 2, 3, 4]


def test_a_step_out_of_time_ends_though_a_beaten_try_still_runs() -> None:
    retry = Retry(attempts=9, initial_s=50.0, jitter="none")
    d = Driver(
        mapped(2, batch=1, in_flight=2, hedge=Hedge(2.0), retry=retry, total_timeout_s=20.0)
    )
    one, other = d.flying()
    (second,) = hedged(d, one)
    d.end(second)
    d.end(other, failed())
    d.world.at += 21
    d.act(Decision.due)
    assert d.state.status == "failing"
    d.end(one, Ended("", "cancelled"))
    assert d.state.status == "failed"


@pytest.mark.parametrize("each", [None, EachSpec("{{ x }}", 1, 1)])
def test_a_hedged_loser_of_a_join_ends_with_all_its_tries_and_is_hedged_no_more(
    each: EachSpec | None,
) -> None:
    slow = step("slow", "j", hedge=Hedge(2.0, 2), each=each, retry=Retry(attempts=3))
    join = Join("any", losers="cancel")
    d = Driver(
        world(step("a", "quick", "slow"), step("quick", "j"), slow, step("j", join=join),
              items_of={"slow": 2})
    )  # fmt: skip
    d.end(d.flying()[0])
    (first,) = d.flying("slow")
    (second,) = hedged(d, first)
    d.end(d.flying("quick")[0])
    assert hedged(d, second) == []
    gone = Ended("", "cancelled", ev.Fault("cancelled", "the join fired"))
    d.end(first, gone)
    d.end(second, gone)
    d.run_out()
    assert d.state.status == "completed"
    assert d.state.steps["slow"].status == "cancelled"
    assert len([e for e in d.of(ev.AttemptScheduled) if e.step == "slow"]) == 2


# ---- time -------------------------------------------------------------------------------


def test_a_step_out_of_time_has_no_further_try_and_its_failure_can_be_caught() -> None:
    retry = Retry(attempts=9, initial_s=50.0, jitter="none")
    a = Step(
        "a", {"kind": "x"}, (Arc("b"), Arc("mend", on=("timeout",))), retry=retry,
        total_timeout_s=20.0,
    )  # fmt: skip
    d = Driver(world(a, step("b"), step("mend")))
    d.end(d.flying()[0], failed())
    d.world.at += 21
    d.act(Decision.due)
    assert [t.step for t in d.flying()] == ["mend"]
    d.run_out()
    assert d.state.status == "completed"


def test_an_each_out_of_time_drains_what_runs_and_fails() -> None:
    d = Driver(mapped(10, batch=1, in_flight=2, total_timeout_s=20.0))
    d.world.at += 21
    d.act(Decision.due)
    assert len(d.flying()) == 2
    for t in d.flying():
        d.end(t)
    assert d.state.status == "failed"
    assert d.of(ev.RunFailed)[0].fault.cls == "timeout"
    assert len(d.of(ev.AttemptScheduled)) == 2


def test_a_step_that_ended_in_time_is_left_alone_by_its_timer() -> None:
    d = Driver(world(step("a", "b", total_timeout_s=20.0), step("b")))
    d.end(d.flying()[0])
    d.world.at += 21
    d.act(Decision.due)
    d.run_out()
    assert d.state.status == "completed"


def test_a_run_past_its_deadline_fails_once_what_runs_is_down() -> None:
    w = World(Playbook("p", (step("a", "b"), step("b")), deadline_s=30.0))
    d = Driver(w)
    d.world.at += 31
    d.act(Decision.due)
    assert d.state.status == "failing"
    d.end(d.flying()[0])
    assert d.state.status == "failed"
    assert d.of(ev.RunFailed)[0].fault.message == "the run's deadline has passed"


# ---- joins ------------------------------------------------------------------------------


def race(**join: Any) -> tuple[Step, ...]:
    """A step that fans out to three, which meet again in ``meet``."""
    return (
        step("start", "x", "y", "z"), step("x", "meet"), step("y", "meet"), step("z", "meet"),
        step("meet", join=Join(**join)),
    )  # fmt: skip


def test_a_join_of_any_fires_once_on_the_first_and_absorbs_the_rest() -> None:
    d = Driver(world(*race(kind="any")))
    d.end(d.flying()[0])
    d.end(d.flying("y")[0])
    assert len(d.flying("meet")) == 1
    d.run_out()
    assert d.state.status == "completed"
    assert len([e for e in d.of(ev.AttemptScheduled) if e.step == "meet"]) == 1
    assert d.state.marking.tokens() == {}


def test_a_run_waits_for_the_losers_of_a_join() -> None:
    d = Driver(world(*race(kind="any")))
    d.end(d.flying()[0])
    d.end(d.flying("x")[0])
    d.end(d.flying("meet")[0])
    assert d.state.status == "running"
    d.run_out()
    assert d.state.status == "completed"


def caught(name: str, cls: str) -> Step:
    return Step(name, {"kind": "x"}, (Arc("meet"), Arc("end", on=(cls,))))


def test_a_quorum_that_can_no_longer_be_reached_fails_by_its_own_class() -> None:
    steps = (
        step("start", "x", "y", "z"), caught("x", "data"), caught("y", "data"),
        step("z", "meet"), step("meet", join=Join("at_least", 2)), step("end"),
    )  # fmt: skip
    d = Driver(world(*steps))
    d.end(d.flying()[0])
    d.end(d.flying("z")[0])
    d.end(d.flying("x")[0], failed("data"))
    d.end(d.flying("y")[0], failed("data"))
    d.run_out()
    assert d.state.status == "failed"
    assert d.of(ev.RunFailed)[0].fault.cls == "no_quorum"


def test_a_lost_quorum_is_caught_by_an_arc() -> None:
    meet = Step(
        "meet", {"kind": "x"}, (Arc("go"), Arc("end", on=("no_quorum",))),
        join=Join("at_least", 2),
    )  # fmt: skip
    steps = (
        step("start", "x", "y"), caught("x", "data"), step("y", "meet"), meet, step("go"),
        step("end"),
    )  # fmt: skip
    d = Driver(world(*steps))
    d.run_out(lambda t: failed("data") if t.step == "x" else OK)
    assert d.state.status == "completed"
    assert d.state.steps["end"].status == "done"
    assert d.state.steps["go"].status == "skipped"


@pytest.mark.parametrize(
    ("at_deadline", "status", "fired"),
    [("fire", "completed", "meet"), ("fail", "failed", None), ("instead", "completed", "instead")],
)
def test_a_join_that_waited_long_enough_does_as_it_says(
    at_deadline: str, status: str, fired: str | None
) -> None:
    meet = step("meet", join=Join(within_s=10.0, at_deadline=at_deadline))
    steps = (step("start", "x", "y"), step("x", "meet"), step("y", "meet"), meet, step("instead"))
    if at_deadline != "instead":
        steps = steps[:-1]
    d = Driver(world(*steps))
    d.end(d.flying()[0])
    d.end(d.flying("x")[0])
    d.world.at += 11
    d.act(Decision.due)
    assert [t.step for t in d.flying() if t.step != "y"] == ([fired] if fired else [])
    d.run_out()
    assert d.state.status == status
    assert d.state.timers == {}


# ---- repeat, signals, waits -------------------------------------------------------------


def test_a_step_repeats_until_its_condition_holds() -> None:
    d = Driver(world(step("poll", repeat=Repeat("done", max=5, wait_s=30.0))))
    answers = iter([0, 0, 1])
    d.run_out(lambda _: replace(OK, result=next(answers)))
    assert d.state.status == "completed"
    assert [e.number for e in d.of(ev.AttemptFinished)] == [1, 2, 3]
    assert d.world.at >= 160


def test_retries_of_one_round_are_not_held_against_the_next() -> None:
    poll = step("poll", repeat=Repeat("done", max=9), retry=Retry(attempts=2, initial_s=0.1))
    d = Driver(world(poll))
    script = iter([failed(), replace(OK, result=0), failed(), replace(OK, result=1)])
    d.run_out(lambda _: next(script))
    assert d.state.status == "completed"


def test_a_condition_that_never_holds_is_a_timeout() -> None:
    d = Driver(world(step("poll", repeat=Repeat("done", max=3))))
    d.run_out(lambda _: replace(OK, result=0))
    assert d.state.status == "failed"
    assert d.of(ev.RunFailed)[0].fault.cls == "timeout"
    assert len(d.of(ev.AttemptFinished)) == 3


def test_a_wait_ends_when_its_time_has_come_and_holds_no_worker() -> None:
    d = Driver(world(step("a", "b", tool={"kind": "wait", "for": 60.0}), step("b")))
    assert d.flying()[0].waits_here
    d.world.at += 61
    d.act(Decision.due)
    assert [t.step for t in d.flying()] == ["b"]


@pytest.mark.parametrize("early", [True, False])
def test_a_signal_is_taken_by_one_step_whether_it_comes_before_or_after(early: bool) -> None:
    hear = {"kind": "signal", "name": "go"}
    d = Driver(world(step("a", "b"), step("b", "c", tool=hear), step("c", tool=hear)))
    if early:
        d.act(lambda x: x.signal("go", {"n": 1}, "ann"))
    d.end(d.flying()[0])
    if not early:
        d.act(lambda x: x.signal("go", {"n": 1}, "ann"))
    assert d.state.steps["b"].value == {"n": 1}
    assert [t.step for t in d.flying()] == ["c"]
    d.act(lambda x: x.signal("go", {"n": 2}, "ann"))
    assert d.state.result == {"n": 2}


@pytest.mark.parametrize(("approved", "status"), [(True, "completed"), (False, "failed")])
def test_an_approval_waits_for_a_person(approved: bool, status: str) -> None:
    d = Driver(world(step("ask", tool={"kind": "approval", "prompt": "?"})))
    d.act(lambda x: x.signal("approval:ask", {"approved": approved, "by": "ann"}, "ann"))
    assert d.state.status == status


def test_a_signal_that_does_not_come_in_time_is_a_timeout() -> None:
    d = Driver(world(step("a", tool={"kind": "signal", "name": "go"}, timeout_s=30.0)))
    d.world.at += 31
    d.act(Decision.due)
    assert d.state.status == "failed"
    assert d.of(ev.RunFailed)[0].fault.cls == "timeout"


# ---- ends -------------------------------------------------------------------------------


def undone(name: str, *to: str) -> Step:
    return step(name, *to, compensate={"kind": "python", "call": f"m:undo_{name}"})


def test_what_was_done_is_compensated_backwards_and_finally_runs_last() -> None:
    last = (step("close"), step("tell"))
    w = World(Playbook("p", (undone("a", "b"), undone("b", "c"), step("c")), finally_=last))
    d = Driver(w)
    d.run_out(lambda t: failed("permanent") if t.step == "c" else OK)
    assert [e.step for e in d.of(ev.AttemptScheduled)] == [
        "a", "b", "c", "b.compensate", "a.compensate", "close", "tell",
    ]  # fmt: skip
    assert d.state.status == "failed"
    assert d.of(ev.RunFailed)[0].step == "c"


@pytest.mark.parametrize("end", ["completed", "cancelled"])
def test_finally_runs_at_every_end_and_compensation_only_after_a_failure(end: str) -> None:
    d = Driver(World(Playbook("p", (undone("a", "b"), step("b")), finally_=(step("close"),))))
    d.end(d.flying()[0])
    if end == "cancelled":
        d.act(lambda x: x.cancel("me", ""))
    d.run_out()
    assert [e.step for e in d.of(ev.AttemptScheduled)] == ["a", "b", "close"]
    assert d.state.status == end


def test_a_finally_step_is_tried_again_and_its_failure_fails_the_run() -> None:
    close = step("close", retry=Retry(attempts=2, initial_s=1.0))
    d = Driver(World(Playbook("p", (undone("a"),), finally_=(close, step("tell")))))
    d.run_out(lambda t: failed() if t.step == "close" else OK)
    assert [e.step for e in d.of(ev.AttemptScheduled)] == ["a", "close", "close", "tell"]
    assert d.state.status == "failed"
    assert d.of(ev.RunFailed)[0].step == "close"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["pause", "resume", "cancel", "due", "ok", "bad"]), max_size=14),
    st.booleans(),
)
def test_whatever_is_asked_of_a_run_in_whatever_state_it_comes_to_an_end(
    asked: list[str], deadline: bool
) -> None:
    book = Playbook(
        "p", (undone("a", "b", "c"), step("b"), step("c")), finally_=(step("tell"),),
        deadline_s=90.0 if deadline else None,
    )  # fmt: skip
    d = Driver(World(book))
    for word in [*asked, "resume"]:
        d.world.at += 30
        match word:
            case "pause" | "cancel":
                d.act(lambda x, word=word: getattr(x, word)("me", ""))
            case "resume":
                d.act(lambda x: x.resume("me"))
            case "due":
                d.act(Decision.due)
            case _ if flying := d.flying():
                d.end(flying[-1], OK if word == "ok" else failed("permanent"))
    d.run_out()
    assert d.state.ended


# ---- loops ------------------------------------------------------------------------------


def looped(limit: int = 9) -> tuple[Step, ...]:
    """``head`` and ``body`` go round until ``again`` does not hold; then ``after``."""
    back = (Arc("head", when="again", max=limit), Arc("after", otherwise=True))
    return (
        step("first", "head"), step("head", "body"),
        Step("body", {"kind": "x"}, back, "exclusive"), step("after"),
    )  # fmt: skip


def test_a_loop_goes_round_until_it_takes_its_exit() -> None:
    w = world(*looped(), conditions={"again": True})
    d = Driver(w)
    d.end(d.flying()[0])
    for round_ in range(3):
        assert [t.step for t in d.flying()] == ["head"]
        d.end(d.flying()[0])
        w.conditions["again"] = round_ < 2
        d.end(d.flying("body")[0])
    d.run_out()
    assert d.state.status == "completed"
    scheduled = d.of(ev.AttemptScheduled)
    assert [e.step for e in scheduled].count("body") == 3
    assert len({e.key for e in scheduled}) == len(scheduled), "each round has its own keys"


def test_a_timer_of_one_round_that_is_due_with_its_end_does_not_end_the_next_round() -> None:
    back = (Arc("wait", when="again", max=9), Arc("after", otherwise=True))
    waits = Step("wait", {"kind": "wait", "for": 60.0}, back, "exclusive", total_timeout_s=60.0)
    d = Driver(world(step("first", "wait"), waits, step("after"), conditions={"again": True}))
    d.end(d.flying()[0])
    d.world.at += 60  # the wait is over, and so is the step's whole time
    d.act(Decision.due)
    assert d.state.steps["wait"].times == 2
    assert not d.state.expired
    d.world.conditions["again"] = False
    d.run_out()
    assert d.state.status == "completed"


def test_a_loop_that_begins_again_too_often_fails_the_run() -> None:
    d = Driver(world(*looped(limit=2), conditions={"again": True}))
    d.run_out()
    assert d.state.status == "failed"
    assert "begun again 2 times" in d.of(ev.RunFailed)[0].fault.message
    assert [e.step for e in d.of(ev.AttemptScheduled)].count("body") == 3


def test_an_exit_not_taken_sends_one_dead_token_when_the_loop_ends() -> None:
    check = Step(
        "check", {"kind": "x"},
        (Arc("good", when="good"), Arc("bad", when="bad"), Arc("check", otherwise=True, max=9)),
        "exclusive",
    )  # fmt: skip
    w = world(
        check, step("good", "end"), step("bad", "end"), step("end"),
        conditions={"good": False, "bad": False},
    )  # fmt: skip
    d = Driver(w)
    d.end(d.flying()[0])
    assert d.state.marking.tokens() == {}
    w.conditions["bad"] = True
    d.run_out()
    assert d.state.status == "completed"
    assert {n: s.status for n, s in d.state.steps.items()} == {
        "check": "done", "good": "skipped", "bad": "done", "end": "done",
    }  # fmt: skip


def test_the_body_of_a_loop_may_fork_and_skip_and_each_round_is_complete() -> None:
    fork = Step("fork", {"kind": "x"}, (Arc("x", when="x"), Arc("y", when="y")), "inclusive")
    join = Step(
        "join", {"kind": "x"}, (Arc("fork", when="again", max=9), Arc("end", otherwise=True)),
        "exclusive",
    )  # fmt: skip
    w = world(
        fork, step("x", "join"), step("y", "join"), join, step("end"),
        conditions={"x": True, "y": False, "again": True},
    )  # fmt: skip
    d = Driver(w)
    d.end(d.flying("fork")[0])
    d.end(d.flying("x")[0])
    w.conditions |= {"x": True, "y": True}
    d.end(d.flying("join")[0])
    d.end(d.flying("fork")[0])
    assert sorted(t.step for t in d.flying()) == ["x", "y"]
    w.conditions["again"] = False
    d.run_out()
    assert d.state.status == "completed"


def test_a_loop_within_a_loop_begins_anew_in_every_round() -> None:
    inner = Step(
        "inner", {"kind": "x"}, (Arc("inner", when="in", max=1), Arc("outer", otherwise=True)),
        "exclusive",
    )  # fmt: skip
    outer = Step(
        "outer", {"kind": "x"}, (Arc("head", when="out", max=2), Arc("end", otherwise=True)),
        "exclusive",
    )  # fmt: skip
    w = world(step("head", "inner"), inner, outer, step("end"), conditions={})
    d, seen = Driver(w), list[str]()
    while not d.state.ended:
        seen.append(d.flying()[0].step)
        w.conditions = {"in": seen.count("inner") % 2 == 1, "out": seen.count("outer") < 3}
        d.end(d.flying()[0])
    assert d.state.status == "completed"
    assert seen == ["head", "inner", "inner", "outer"] * 3 + ["end"]


def test_an_each_in_a_loop_is_cut_anew_in_every_round() -> None:
    each = EachSpec("{{ x }}", 2, 2)
    back = (Arc("map", when="again", max=9), Arc("end", otherwise=True))
    w = world(
        Step("map", {"kind": "x"}, back, "exclusive", each=each), step("end"),
        items_of={"map": 4}, conditions={"again": True},
    )  # fmt: skip
    d = Driver(w)
    d.end(d.flying()[0])
    d.end(d.flying()[0])
    assert [(t.start, t.items) for t in d.flying()] == [(0, 2), (2, 2)]
    w.conditions["again"] = False
    d.run_out()
    assert d.state.status == "completed"
    assert len({e.attempt for e in d.of(ev.AttemptScheduled)}) == 5


# ---- cancelling -------------------------------------------------------------------------


def test_to_cancel_again_changes_nothing_unless_it_is_now() -> None:
    d = Driver(world(step("a")))
    d.act(lambda x: x.cancel("me", "enough"))
    assert d.act(lambda x: x.cancel("me", "enough")) == []
    hurried = d.act(lambda x: x.cancel("me", "really", now=True))
    assert hurried == [ev.RunHurried("me", "really", now=True)]
    assert d.state.status == "cancelling"


def test_a_failing_run_that_is_cancelled_is_compensated_all_the_same() -> None:
    undo = {"kind": "python", "call": "m:undo"}
    w = world(step("a", "b", "c", compensate=undo), step("b"), step("c"))
    d = Driver(w)
    d.end(d.flying("a")[0])
    d.end(d.flying("b")[0], failed("permanent"))
    assert d.state.status == "failing"
    d.act(lambda x: x.cancel("me", "quick"))
    d.end(d.flying("c")[0], Ended("", "cancelled", ev.Fault("cancelled", "")))
    assert [t.step for t in d.flying()] == ["a.compensate"]
    d.run_out()
    assert d.state.status == "failed"


def test_a_finally_step_that_waits_for_its_next_try_gets_it_though_the_run_is_cancelled() -> None:
    last = step("close", retry=Retry(attempts=2, initial_s=1.0))
    d = Driver(World(Playbook("p", (step("a"),), finally_=(last,))))
    d.end(d.flying("a")[0])
    d.end(d.flying("close")[0], failed())
    d.act(lambda x: x.cancel("me", ""))
    assert d.state.status == "cancelling"
    d.run_out()
    assert d.state.status == "cancelled"
    assert [f.outcome for f in d.of(ev.AttemptFinished) if f.step == "close"] == [
        "failed", "succeeded",
    ]  # fmt: skip

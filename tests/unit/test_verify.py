"""What the units of an experiment say: harm at once, gains only when proven, else nothing."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from optimizer.sequential import ArmOdds
from optimizer.verify import CONTROL, Finding, Plan, Stage, Unit, Verification

PLAN = Plan(objective="time", ramp=(Stage(0.1, 10), Stage(0.5, 60)))
PAIRS = Plan(design="switchback", ramp=(Stage(0.5, 8),))
EXPLORE = Plan(kind="experiment", ramp=(Stage(0.2, 20),))


def blocks(
    check: Verification, n: int, effect: Callable[[str], dict[str, Any]], share: float = 0.5,
    seed: int = 1,
) -> Verification:  # fmt: skip
    """Feed n drawn blocks; ``effect`` says how an arm's units differ."""
    chance = random.Random(seed)
    for _ in range(n):
        u, arm, drawn = chance.random(), CONTROL, 1.0 - share * len(check.arms)
        for k, name in enumerate(check.arms):
            if share * k <= u < share * (k + 1):
                arm, drawn = name, share
        facts = {"seconds_per_item": 0.002, "cost_per_item": 1e-7, **effect(arm)}
        facts["seconds_per_item"] *= math.exp(chance.gauss(0.0, 0.25))
        check.add(Unit(arm, drawn, 200, 1, **facts))
    return check


def faster(arm: str) -> dict[str, Any]:
    return {"seconds_per_item": 0.002 if arm == CONTROL else 0.001}


def same(arm: str) -> dict[str, Any]:
    return {}


def failing(arm: str) -> dict[str, Any]:
    return {"retried": int(arm != CONTROL)}


def one(plan: Plan = PLAN) -> Verification:
    return Verification(plan, ("candidate",))


def pair(check: Verification, k: int, ratio: float, **candidate: Any) -> None:
    for arm, seconds, more in ((CONTROL, 0.002, {}), ("candidate", 0.002 * ratio, candidate)):
        check.add(Unit(arm, 0.5, 500, 20, seconds, pair=k, **more))


def last(check: Verification, runs: int = 1) -> Finding:
    return check.finding(stage=len(check.plan.ramp) - 1, runs=runs)


def test_a_plan_survives_its_json() -> None:
    plan = replace(PLAN, slow_by_batches=((1, 0.004), (4, 0.003)))
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert Plan.from_json({}) == Plan()


def test_a_proven_gain_is_kept_and_its_interval_holds_the_truth() -> None:
    found = last(blocks(one(), 240, faster))
    assert (found.verdict, found.reason, found.final) == ("better", "gain_proven", True)
    low, high = found.statistics["gain_ci"]
    assert low < -0.5 < high < -0.05
    json.dumps(found.statistics, allow_nan=False)


def test_no_gain_is_kept_before_the_last_stage_however_large_it_is() -> None:
    check = blocks(one(), 240, faster, share=0.1)
    assert check.finding(stage=0, runs=1).reason == "collecting"
    assert last(check).reason == "collecting"


def test_the_ramp_advances_on_samples_and_only_without_harm_in_sight() -> None:
    check = blocks(one(), 30, same, share=0.1)
    assert not check.may_advance(0)
    assert blocks(check, 120, same, share=0.1, seed=2).may_advance(0)
    assert not check.may_advance(1)
    assert not blocks(one(), 15, failing, share=0.3).may_advance(0)


def test_harm_is_seen_from_few_blocks() -> None:
    found = last(blocks(one(), 30, failing, share=0.1))
    assert (found.verdict, found.reason, found.final) == ("worse", "harm_failures", True)
    assert found.units["candidate"] <= 10
    assert found.statistics["e_max"] >= 20


def test_a_slow_candidate_is_harmful() -> None:
    found = last(
        blocks(one(), 120, lambda arm: {"seconds_per_item": 0.002 + 0.002 * (arm != CONTROL)})
    )
    assert (found.verdict, found.reason) == ("worse", "harm_time")


def test_a_heavier_tail_is_harm_though_the_mean_is_better() -> None:
    plan = replace(PLAN, slow_s_per_item=0.004)
    chance, check = random.Random(2), one(plan)
    for _ in range(900):
        candidate = chance.random() < 0.5
        seconds = 0.0016 if candidate else 0.002
        if chance.random() < (0.10 if candidate else 0.01):
            seconds = 0.006
        check.add(Unit("candidate" if candidate else CONTROL, 0.5, 200, 1, seconds))
        if check.dropped:
            break
    assert last(check).reason == "harm_tail"


def test_failures_that_end_a_batch_stop_a_gain_from_being_kept() -> None:
    def losing(arm: str) -> dict[str, Any]:
        return {**faster(arm), "failed_items": 200 * (next(count) % 12 == 0)}

    count = iter(range(10_000))
    found = last(blocks(one(), 240, losing))
    assert (found.verdict, found.reason, found.final) == (
        "inconclusive", "failures_unproven", False,
    )  # fmt: skip


def test_where_the_knob_decides_how_a_first_try_ends_failing_for_good_alone_is_harm() -> None:
    final = replace(PLAN, failures="final")
    assert last(blocks(one(final), 240, failing)).reason != "harm_failures"

    def losing(arm: str) -> dict[str, Any]:
        return {"failed_items": 0 if arm == CONTROL else 200}

    found = last(blocks(one(final), 30, losing, share=0.1))
    assert (found.verdict, found.reason) == ("worse", "harm_failures")


@pytest.mark.parametrize("apart", [True, False])
def test_tries_that_fail_together_say_less_than_as_many_that_fail_alone(apart: bool) -> None:
    check, drawn = one(replace(PLAN, failures="final")), random.Random(2)
    for number in range(480):
        arm = CONTROL if number % 2 else "candidate"
        lost = sum(drawn.random() < 0.05 for _ in range(10))
        if not apart:
            lost = 10 * (drawn.random() < 0.05)
        check.add(Unit(arm, 0.5, 200, 10, 0.002, failed_items=20 * lost))
    gap = last(check).statistics["failed_gap"]
    assert (gap < 0.045) == apart  # of some 2,400 tries a side, or of 240


def test_more_tries_are_a_gain_by_what_failing_for_good_loses() -> None:
    chance = random.Random(7)

    def fewer_lost(arm: str) -> dict[str, Any]:
        lost = sum(chance.random() < (0.3 if arm == CONTROL else 0.05) for _ in range(10))
        took = 0.002 if arm == CONTROL else 0.0022
        return {"seconds_per_item": took, "failed_items": 20 * lost, "batches": 10}

    def read(plan: Plan) -> Finding:
        check, drawn = one(plan), random.Random(3)
        for _ in range(240):
            arm = CONTROL if drawn.random() < 0.5 else "candidate"
            check.add(Unit(arm, 0.5, 200, **fewer_lost(arm)))
        return last(check)

    priced = read(replace(PLAN, failures="final", lost_s=4.0))
    assert (priced.verdict, priced.reason) == ("better", "gain_proven")
    worth = (0.0022 + 0.05 * 0.2) / (0.002 + 0.3 * 0.2) - 1.0
    assert priced.statistics["realised"] == pytest.approx(worth, abs=0.1)
    assert read(replace(PLAN, failures="final")).verdict != "better"


def of_retries(lost_s: float) -> dict[str, Any]:
    """What is said of a candidate that fails less often, where a batch takes 0.4 s."""
    check = one(replace(PLAN, failures="final", lost_s=lost_s))
    chance, drawn = random.Random(7), random.Random(3)
    for _ in range(240):
        arm = CONTROL if drawn.random() < 0.5 else "candidate"
        lost = sum(chance.random() < (0.3 if arm == CONTROL else 0.1) for _ in range(10))
        check.add(Unit(arm, 0.5, 200, 10, 0.02, failed_items=20 * lost))
    return last(check).statistics


def test_a_gain_is_told_at_a_quarter_and_at_four_times_of_what_failing_for_good_is_said_to_lose(
) -> None:  # fmt: skip
    said = of_retries(2.0)
    less, more = said["by_price"]
    assert [less["lost_s"], said["lost_s"], more["lost_s"]] == [0.5, 2.0, 8.0]
    assert less["realised"] > said["realised"] > more["realised"]
    for priced, lost_s in ((less, 0.5), (more, 8.0)):
        expected = of_retries(lost_s)
        assert priced["realised"] == pytest.approx(expected["realised"])
        assert priced["gain_ci"] == pytest.approx(expected["gain_ci"])
    assert of_retries(0.0)["by_price"] == []


def test_failing_for_good_loses_no_more_than_a_hundred_batches_whatever_a_proposal_says() -> None:
    most, beyond = of_retries(40.0), of_retries(1e9)
    assert beyond["lost_s"] == pytest.approx(40.0)
    assert beyond["realised"] == pytest.approx(most["realised"])


def test_missing_costs_never_move_a_proposal_forward() -> None:
    check = blocks(one(replace(PLAN, objective="cost")), 240, faster)
    assert last(check).reason != "gain_proven"
    check = one(replace(PLAN, objective="cost"))
    blocks(check, 240, lambda arm: {"cost_per_item": 1e-7 if arm == CONTROL else 4e-8})
    assert last(check).reason == "gain_proven"
    check.add(Unit("candidate", 0.5, 200, 1, 0.001, cost_per_item=None))
    assert last(check).reason == "cost_missing"


def test_costs_that_are_missing_on_the_control_alone_do_not_either() -> None:
    check = one(replace(PLAN, objective="cost"))
    blocks(check, 240, lambda arm: {"cost_per_item": 1e-7 if arm == CONTROL else 4e-8})
    check.add(Unit(CONTROL, 0.5, 200, 1, 0.002, cost_per_item=None))
    assert last(check).reason == "cost_missing"


def test_the_horizon_ends_what_nobody_can_tell() -> None:
    check = blocks(one(), 70, same)
    assert not last(check, runs=9).final
    found = last(check, runs=10)
    assert (found.verdict, found.reason, found.final) == ("inconclusive", "horizon", True)


def test_a_gain_that_is_refuted_ends_the_trial_before_the_horizon() -> None:
    found = last(blocks(one(), 1500, same))
    assert (found.verdict, found.reason, found.final) == ("inconclusive", "gain_refuted", True)


def test_units_that_went_missing_are_noticed() -> None:
    check = one()
    for _ in range(120):
        check.add(Unit(CONTROL, 0.5, 200, 1, 0.002))
    assert last(check).reason == "sample_ratio"


def test_an_experiment_ends_when_each_arm_has_its_samples() -> None:
    arms = ("candidate.1", "candidate.2")
    check = blocks(Verification(EXPLORE, arms), 40, same, share=0.2)
    assert last(check).reason == "collecting"
    found = last(blocks(check, 200, same, share=0.2, seed=2))
    assert (found.verdict, found.reason, found.final) == ("inconclusive", "learned", True)
    assert set(found.statistics["arms"]) == {*arms, CONTROL}


def test_a_harmful_arm_is_dropped_and_the_others_go_on() -> None:
    arms = ("candidate.1", "candidate.2")
    check = Verification(EXPLORE, arms)
    blocks(check, 60, lambda arm: {"retried": int(arm == "candidate.2")}, share=0.2)
    assert check.dropped == ("candidate.2",)
    found = last(check)
    assert found.verdict == "inconclusive"
    assert found.statistics["dropped"] == ["candidate.2"]


def test_units_drawn_before_an_arm_was_dropped_keep_the_chance_they_were_drawn_with() -> None:
    """Three arms at 0.2 leave 0.4 to control; with one dropped, 0.6: each unit says its own."""
    check = Verification(EXPLORE, ("candidate.1", "candidate.2", "candidate.3"))
    for _ in range(8):
        check.add(Unit("candidate.3", 0.2, 200, 4, 0.002, retried=4, control_share=0.4))
    assert check.dropped == ("candidate.3",)
    units = [Unit("candidate.1", 0.2, 200, 4, 0.002, retried=1, control_share=0.4)] * 3
    units += [Unit("candidate.1", 0.2, 200, 4, 0.002, retried=1, control_share=0.6)] * 3
    odds = ArmOdds()
    for unit in units:
        check.add(unit)
        control = unit.control_share or 0.0
        odds.add(1.0, candidate=True, share=unit.share / (unit.share + control))
    found = last(check).statistics["arms"]["candidate.1"]["e_by_kind"]["failures"]
    assert found == pytest.approx(math.exp(odds.log_e))


def test_an_experiment_whose_arms_are_all_harmful_is_worse() -> None:
    check = blocks(Verification(EXPLORE, ("candidate.1", "candidate.2")), 90, failing, share=0.2)
    found = last(check)
    assert (found.verdict, found.reason, found.final) == ("worse", "all_harmful", True)


def test_eight_drained_pairs_prove_a_gain() -> None:
    check = one(PAIRS)
    for k in range(7):
        pair(check, k, 0.5)
    assert last(check).reason == "collecting"
    pair(check, 7, 0.5)
    found = last(check)
    assert (found.verdict, found.reason) == ("better", "gain_proven")
    assert found.statistics["realised"] == pytest.approx(-0.5)
    assert found.units == {CONTROL: 8, "candidate": 8}


def test_half_a_pair_says_nothing() -> None:
    check = one(PAIRS)
    check.add(Unit("candidate", 0.5, 500, 20, 0.001, pair=0))
    assert last(check).statistics["pairs"] == 0


def test_a_unit_of_a_switchback_belongs_to_a_pair() -> None:
    with pytest.raises(ValueError, match="belongs to a pair"):
        one(PAIRS).add(Unit(CONTROL, 0.5, 500, 20, 0.001))


def test_slower_pairs_are_harm() -> None:
    check = one(PAIRS)
    for k in range(9):
        pair(check, k, 3.0)
    assert last(check).reason == "harm_time"


def test_blocks_in_which_many_batches_had_to_retry_are_harm() -> None:
    check = one(PAIRS)
    for k in range(12):
        pair(check, k, 1.0, retried=3)
    assert last(check).reason == "harm_failures"


def test_pairs_that_do_not_win_refute_the_gain() -> None:
    check = one(PAIRS)
    for k in range(8):
        pair(check, k, 0.99 if k % 2 else 1.01)
    assert last(check).reason == "gain_refuted"


@pytest.mark.parametrize("wrong", [{"seconds_per_item": 0.0}, {"items": 0}, {"batches": 0}])
def test_a_unit_without_time_items_or_batches_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a unit needs"):
        replace(Unit(CONTROL, 0.5, 200, 1, 0.002), **wrong)

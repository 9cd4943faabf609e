"""The short form of `bench.loop_simulation`: whole loops over a simulated service."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pytest

from agents.loop import run_cycle
from agents.verifier import score
from bench.loop_simulation import VARIANTS, one_idle, one_loop, one_unit_choice, one_variant
from bench.simulated_loop import SCOPE, SimulatedLoop
from bench.simulated_service import Manners

LOOPS = 6


@cache
def found() -> list[dict[str, Any]]:
    return [one_loop(seed) for seed in range(LOOPS)]


def test_every_loop_ends_fast_in_few_cycles_at_the_best_values() -> None:
    for one in found():
        assert one["cycles"] <= 12
        assert one["ratio"] <= 0.3
        assert one["stable"] == {"each.batch": 200, "each.in_flight": 6}


def test_the_harmful_candidate_is_rolled_back_every_time() -> None:
    assert {one["fed"] for one in found()} == {"rolled_back"}
    assert max(one["fed_candidates"] for one in found()) <= 25


def test_realised_effects_lie_in_intervals_that_are_narrow() -> None:
    changes = [change for one in found() for change in one["changes"]]
    inside = sum(change["inside"] for change in changes)
    assert len(changes) >= 2 * LOOPS
    assert inside / len(changes) >= 0.75  # 200 loops say 90%: see docs/concepts/statistics.md
    assert max(change["width"] for change in changes) <= 0.30


@pytest.mark.parametrize("knob", ["each.batch", "each.in_flight"])
def test_a_change_without_effect_is_neither_kept_nor_rolled_back_for_harm(knob: str) -> None:
    verdicts = Counter(one_idle((knob, seed))[1] for seed in range(20))
    assert verdicts["better"] <= 1
    assert verdicts["worse"] <= 1


def test_the_unit_is_a_block_because_batches_call_a_harmless_change_harmful() -> None:
    choices = [one_unit_choice(seed) for seed in range(60)]
    assert sum(block for block, _ in choices) <= 3
    assert sum(batch for _, batch in choices) >= 12


@pytest.mark.parametrize("name", list(VARIANTS))
def test_another_service_ends_where_it_should(name: str) -> None:
    assert all(one_variant((name, seed))[1] for seed in range(2))


def test_a_cycle_is_the_same_when_it_is_asked_again() -> None:
    one, two = (SimulatedLoop.seeded(1, Manners()) for _ in range(2))
    for loop in (one, two):
        loop.runs(2)
    found = one.cycle()
    assert found is not None
    assert found == two.cycle()


def test_a_step_without_history_has_a_reason() -> None:
    loop = SimulatedLoop.seeded(1, Manners())
    loop.runs(1)
    loop.world.rows = {name: values[:0] for name, values in loop.world.rows.items()}
    answer = run_cycle(loop.world, [{"playbook": "p", "step": "s"}], {}, loop.world.chance)
    assert answer.to_json()["candidates"] == []
    assert [reason.reason for reason in answer.reasons] == ["no_history"]


def test_calibration_starts_at_nine_in_ten_and_moves_with_what_comes_true() -> None:
    ledger = [{"knob_class": "batch", "covered": False}] * 10
    (one,) = score([*ledger, {"knob_class": "batch", "covered": None}])
    assert (one.outcomes, one.calibration) == (10, 0.45)
    assert score([]) == []


def test_a_class_whose_predictions_do_not_come_true_is_named_within_ten_outcomes() -> None:
    loop = SimulatedLoop.seeded(1, Manners())
    loop.runs(2)
    missed = [{"content": f"c{k}", "knob_class": "batch", "covered": False} for k in range(10)]
    scope = {**SCOPE, "stable": dict(loop.stable), "last": missed}
    answer = run_cycle(loop.world, [scope], {}, loop.world.chance)
    assert "overconfident" in {reason.reason for reason in answer.reasons}
    scope["last"] = [{**one, "covered": True} for one in missed]
    answer = run_cycle(loop.world, [scope], {}, loop.world.chance)
    assert "overconfident" not in {reason.reason for reason in answer.reasons}

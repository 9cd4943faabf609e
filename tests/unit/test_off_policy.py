"""Off-policy estimates: right where chances were logged, silent where too few units speak."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.drawn import off_policy
from optimizer.evidence import batches
from optimizer.guard import Limits
from optimizer.off_policy import TooFew, compared, doubly_robust, effective_units, snips
from optimizer.tune import tune_step


def world(seed: int, n: int = 600) -> tuple[np.ndarray, ...]:
    """Large work is drawn to the value more often, and takes longer: naive means are wrong."""
    rng = np.random.default_rng(seed)
    work = rng.normal(0.0, 1.0, n)
    chance = np.clip(0.4 + 0.15 * work, 0.1, 0.9)
    taken = rng.random(n) < chance
    outcome = 1.0 + work + np.where(taken, -0.3, 0.0) + rng.normal(0.0, 0.1, n)
    return taken, chance, outcome, work


@pytest.mark.parametrize("seed", range(5))
def test_weighting_by_the_chance_takes_confounding_out(seed: int) -> None:
    taken, chance, outcome, work = world(seed)
    truth = float((1.0 + work - 0.3).mean())
    naive = float(outcome[taken].mean())
    plain, robust = snips(taken, chance, outcome), doubly_robust(taken, chance, outcome, work)
    assert abs(plain.mean - truth) < 0.6 * abs(naive - truth)
    assert robust.mean == pytest.approx(truth, abs=0.08)
    assert abs(robust.mean - truth) < 3 * max(robust.se, 0.01)
    assert plain.effective < taken.sum()


def test_stated_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = []
    for seed in range(60):
        taken, chance, outcome, _ = world(seed, 400)
        found = snips(taken, chance, outcome).to_json()
        held.append(found["lower"] <= 0.7 <= found["upper"])
    assert 0.75 <= np.mean(held) <= 1.0


def test_below_thirty_effective_units_nothing_is_said() -> None:
    taken = np.r_[np.ones(20, bool), np.zeros(300, bool)]
    chance = np.full(320, 0.06)
    with pytest.raises(TooFew, match="20 effective units; 30 are needed"):
        snips(taken, chance, np.ones(320))
    told = compared({"candidate": (taken, chance)}, np.ones(320), np.ones(320))
    assert told["candidate"]["effective_units"] == pytest.approx(20.0)


def test_a_chance_of_nought_for_what_happened_is_a_fault() -> None:
    with pytest.raises(ValueError, match="above 0"):
        snips([True] * 40, [0.0] * 40, [1.0] * 40)


@settings(max_examples=20)
@given(st.integers(0, 99), st.floats(0.01, 100), st.floats(-5, 5))
def test_units_scale_out_and_order_means_nothing(seed: int, scale: float, shift: float) -> None:
    taken, chance, outcome, _ = world(seed)
    turned = np.random.default_rng(seed).permutation(len(taken))
    one = snips(taken, chance, outcome)
    two = snips(taken[turned], chance[turned], scale * outcome[turned] + shift)
    assert two.mean == pytest.approx(scale * one.mean + shift, rel=1e-6, abs=1e-6)
    assert two.se == pytest.approx(scale * one.se, rel=1e-6)


def test_more_units_narrow_the_estimate() -> None:
    few, many = (snips(*world(1, n)[:3]).se for n in (300, 3000))
    assert many < 0.6 * few


def drawn_units(experiment: str, sizes: tuple[int, int], slow: float) -> list[dict[str, Any]]:
    """Two hundred units of one experiment: half of either size, which do not differ."""
    return [
        {
            "attempt": f"{experiment}{k // 50}/s/{k}/1", "run": f"{experiment}{k // 50}",
            "version": "v", "batch": k, "block": k, "number": 1, "outcome": "succeeded",
            "retried": 0, "run_s": slow * sizes[k % 2] * (1.0 + 0.01 * (k % 7)),
            "items": sizes[k % 2], "cost_usd": 1.0, "scheduled_at": 1000.0 + k,
            "at": 1001.0 + k, "batch_size": sizes[k % 2], "in_flight": 2,
            "experiment": experiment, "arm": "control" if k % 2 else "candidate", "share": 0.5,
        }
        for k in range(200)
    ]  # fmt: skip


def test_units_of_another_experiment_say_nothing_of_a_value_they_could_not_be_drawn_to() -> None:
    rows = drawn_units("x-one", (50, 25), 1.0) + drawn_units("x-two", (80, 25), 9.0)
    told = off_policy(batches(pa.Table.from_pylist(rows)), "size", 50, 25, "time")
    assert told["units"] == 200
    assert told["effect_snips"] == pytest.approx(0.0, abs=0.01)
    assert told["effect_doubly_robust"] == pytest.approx(0.0, abs=0.01)


def test_a_proposal_shows_what_logged_chances_say_beside_the_adjusted_effect() -> None:
    rows = []
    for k in range(300):
        size = 50 if k % 3 == 0 else 25
        seconds = (0.06 + 0.0002 * size) * (1.0 + 0.1 * ((k * 7919) % 11 - 5) / 5)
        rows.append({
            "attempt": f"r{k // 60}/s/{k}/1", "run": f"r{k // 60}", "version": "v", "batch": k,
            "block": k, "number": 1, "outcome": "succeeded", "retried": 0, "run_s": seconds,
            "items": size, "cost_usd": seconds / 3600, "scheduled_at": 1000.0 + k,
            "at": 1000.0 + k + seconds, "batch_size": size, "in_flight": 2, "experiment": "x",
            "arm": "control" if size == 25 else "candidate",
            "share": 2 / 3 if size == 25 else 1 / 3,
        })  # fmt: skip
    scope = {
        "playbook": "p", "step": "s", "defaults": {"each.batch": 25},
        "tune": [{"name": "each.batch", "min": 10, "max": 100}],
    }  # fmt: skip
    found = tune_step(scope, batches(pa.Table.from_pylist(rows)), Limits(), random.Random(1))
    assert found.candidate is not None
    assert found.candidate.kind == "change"
    told = found.candidate.evidence["off_policy"]
    truth = (0.07 / 50) / (0.065 / 25) - 1.0
    assert told["units"] == 300
    assert told["value"]["snips"]["effective_units"] == pytest.approx(100.0)
    assert told["effect_snips"] == pytest.approx(truth, abs=0.03)
    assert told["effect_doubly_robust"] == pytest.approx(truth, abs=0.03)


def test_equal_weights_are_worth_their_number() -> None:
    assert effective_units([True] * 50, [0.2] * 50) == pytest.approx(50.0)
    assert effective_units([True, True], [0.02, 1.0]) < 1.1

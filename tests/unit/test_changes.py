"""Changes of level are found soon, placed well, and not made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.trends import HOUR_S, SIX_H, found_in, made, series_of, stepped
from optimizer.changes import regimes, slots_of_day

NOISE = Path(__file__).parents[1] / "data" / "vm_noise" / "samples.parquet"


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def test_a_step_of_a_third_is_known_within_a_few_points_and_placed_on_its_first() -> None:
    logs, at = stepped(made(rng(), 200, 0.05, 0.0, 0.0), 1.3, at=100)
    first, second = regimes(np.exp(logs))
    assert (first.start, first.found, first.factor) == (0, 0, 1.0)
    assert second.start == at
    assert second.found <= at + 6
    assert second.factor == pytest.approx(1.3, rel=0.05)
    assert second.level == pytest.approx(1.3, rel=0.05)


def test_two_points_far_out_are_no_change() -> None:
    values = np.exp(made(rng(), 200, 0.05, 0.0, 0.0))
    values[100:102] *= 50
    assert len(regimes(values)) == 1


def test_what_comes_back_begins_a_third_regime() -> None:
    values = np.exp(made(rng(), 240, 0.05, 0.0, 0.0))
    values[100:150] *= 2
    assert [r.start for r in regimes(values)] == [0, 100, 150]


def test_a_daily_rhythm_is_usual_and_a_step_on_it_is_not() -> None:
    logs, at = stepped(made(rng(), 420, 0.05, 0.0, 0.3), 1.5)
    assert [at <= found < at + 48 for _, found in found_in(logs, HOUR_S)] == [True]


def test_slow_noise_is_not_taken_for_news() -> None:
    source = rng()
    told = [found_in(made(source, 400, 0.1, 0.8, 0.0), HOUR_S) for _ in range(5)]
    assert sum(map(len, told)) <= 1


def test_a_series_that_never_varies_has_one_regime_until_it_moves() -> None:
    assert len(regimes([2.0] * 100)) == 1
    assert [r.start for r in regimes([2.0] * 50 + [2.2] * 50)] == [0, 50]


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 1000), cut=st.integers(30, 150), factor=st.sampled_from([0.6, 1.0, 1.6])
)
def test_what_was_said_of_a_point_does_not_depend_on_later_ones(
    seed: int, cut: int, factor: float
) -> None:
    logs, _ = stepped(made(np.random.default_rng(seed), 160, 0.1, 0.0, 0.2), factor, at=80)
    slots = slots_of_day([3600.0 * i for i in range(160)], HOUR_S)
    whole = [(r.start, r.found) for r in regimes(np.exp(logs), slots) if r.found < cut]
    assert [(r.start, r.found) for r in regimes(np.exp(logs[:cut]), slots[:cut])] == whole


def test_only_positive_values_are_a_series() -> None:
    assert regimes([]) == []
    with pytest.raises(ValueError, match="positive"):
        regimes([1.0, 0.0])


def test_machines_that_do_not_share_their_processor_are_quiet() -> None:
    quiet = [
        found_in(np.log(values), SIX_H, times)
        for name, times, values in series_of(NOISE)
        if name.startswith("D8s_v5")
    ]
    assert len(quiet) == 16
    assert sum(map(len, quiet)) <= 1

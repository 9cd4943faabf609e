"""Tests that may be looked at any time: they pay nothing for looking, and find what is there."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.sequential import (
    ArmOdds,
    Gain,
    LogTime,
    SignBet,
    asymptotic_halfwidth,
    harm_log_e,
    log_mean_exp,
    median_sequence,
    proportion_sequence,
    pseudo_median,
)

shares = st.floats(0.01, 0.99)
weights = st.floats(-5.0, 5.0).filter(lambda w: abs(w) > 1e-6)


def factor(weight: float, candidate: bool, share: float) -> float:
    odds = ArmOdds()
    odds.add(weight, candidate=candidate, share=share)
    return math.exp(odds.log_e)


@given(weights, shares)
def test_whatever_the_outcome_the_harm_test_expects_one_from_a_harmless_candidate(
    weight: float, share: float
) -> None:
    expected = share * factor(weight, True, share) + (1 - share) * factor(weight, False, share)
    assert expected == pytest.approx(1.0)


@given(shares)
def test_an_outcome_without_weight_says_nothing(share: float) -> None:
    assert factor(0.0, True, share) == factor(0.0, False, share) == 1.0


def test_a_share_of_nought_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        ArmOdds().add(1.0, candidate=True, share=0.0)


def test_looking_after_every_unit_cries_wolf_no_more_often_than_promised() -> None:
    false = sum(_fires(random.Random(seed), 0.02, 0.02, 600) for seed in range(200))
    assert false <= 10


def test_five_points_more_failures_are_found() -> None:
    found = sum(_fires(random.Random(seed), 0.02, 0.07, 3000) for seed in range(30))
    assert found >= 28


def _fires(chance: random.Random, control: float, candidate: float, n: int) -> bool:
    arms = [chance.random() < 0.5 for _ in range(n)]
    events = [chance.random() < (candidate if arm else control) for arm in arms]
    return max(harm_log_e(events, arms, [0.5] * n)) >= math.log(20)


def test_slower_candidates_are_found_and_faster_ones_are_not_blamed() -> None:
    assert _log_time(1.3) > math.log(20) > 0.0 > _log_time(0.8)


def _log_time(ratio: float) -> float:
    chance, test = random.Random(3), LogTime()
    for _ in range(300):
        candidate = chance.random() < 0.5
        log_time = chance.gauss(0.0, 0.3) + (math.log(ratio) if candidate else 0.0)
        test.add(log_time, candidate=candidate, share=0.5)
    return test.odds.log_e


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=5))
def test_the_mean_of_e_values_lies_between_them(logs: list[float]) -> None:
    assert min(logs) - 1e-9 <= log_mean_exp(logs) <= max(logs) + 1e-9


def test_a_confidence_sequence_of_a_proportion_covers_at_every_look() -> None:
    missed = 0
    for seed in range(200):
        chance, events = random.Random(seed), 0
        for n in range(1, 300):
            events += chance.random() < 0.04
            low, high = proportion_sequence(events, n, 0.05)
            if not low <= 0.04 <= high:
                missed += 1
                break
    assert missed <= 10


@given(st.integers(0, 40), st.integers(0, 400), st.sampled_from([0.01, 0.05]))
def test_a_proportion_lies_in_its_own_interval(events: int, more: int, alpha: float) -> None:
    n = events + more
    low, high = proportion_sequence(events, n, alpha)
    assert 0.0 <= low <= (events / n if n else 0.0) <= high <= 1.0


def test_more_events_than_trials_is_refused() -> None:
    with pytest.raises(ValueError, match="3 events in 2 trials"):
        proportion_sequence(3, 2, 0.05)


def test_more_units_and_a_larger_alpha_narrow_the_gain() -> None:
    widths = [asymptotic_halfwidth(n, 1.0, 0.05, 100) for n in (30, 100, 1000)]
    assert sorted(widths, reverse=True) == widths
    assert asymptotic_halfwidth(100, 1.0, 0.10, 100) < widths[1]
    assert asymptotic_halfwidth(1, 1.0, 0.05, 100) == math.inf


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_gain_is_measured_whatever_share_the_candidate_has(share: float) -> None:
    chance, gain = random.Random(5), Gain()
    for _ in range(4000):
        candidate = chance.random() < share
        level = chance.gauss(-3.0, 0.3) + (math.log(0.7) if candidate else 0.0)
        gain.add(level, candidate=candidate, share=share)
    low, middle, high = gain.interval(0.05, 100)
    assert low < math.log(0.7) < high
    assert middle == pytest.approx(math.log(0.7), abs=0.06)


def test_eight_wins_in_a_row_prove_a_gain_and_five_do_not() -> None:
    bet = SignBet()
    for n in range(1, 9):
        bet.add(True)
        assert (bet.log_e >= math.log(20)) == (n >= 6)
    assert (bet.n, bet.wins) == (8, 8)


def test_the_median_is_unknown_until_there_are_enough_pairs() -> None:
    assert median_sequence([0.1, 0.2, 0.3], 0.05) == (-math.inf, math.inf)
    low, high = median_sequence([-0.1 * k for k in range(1, 20)], 0.05)
    assert -1.9 < low < -1.0 < high < 0.0


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=12), st.floats(-5, 5))
def test_the_pseudo_median_moves_with_its_values(values: list[float], shift: float) -> None:
    moved = pseudo_median([v + shift for v in values])
    assert moved == pytest.approx(pseudo_median(values) + shift, abs=1e-9)

"""Planted truths: what is true by construction is proposed, and what only looks so is not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bench.planted_histories import Truth, ask
from bench.planted_truths import TRUTHS
from optimizer.models.alike import Times, same_times, time_columns

SEEDS = 100
WRONG = 0.02
"""The share of confounded histories of which something wrong may be proposed."""

OPEN = [one for one in TRUTHS if one.changes]
CONFOUNDED = [one for one in TRUTHS if not one.changes]


def named(truth: Truth) -> str:
    return truth.name


@pytest.mark.parametrize("truth", OPEN, ids=named)
def test_a_truth_that_history_can_tell_is_proposed_near_the_best(truth: Truth) -> None:
    for seed in range(2):
        found = ask(truth, seed)
        assert found.said == "right", found


@pytest.mark.parametrize("truth", CONFOUNDED, ids=named)
def test_a_history_that_cannot_tell_is_asked_about_or_left_alone_with_a_reason(
    truth: Truth,
) -> None:
    found = ask(truth, 0)
    assert found.said in ("asked", "abstained"), found
    assert found.why


def test_confounded_histories_hardly_ever_lead_to_a_confident_wrong_change() -> None:
    found = [ask(CONFOUNDED[seed % len(CONFOUNDED)], seed) for seed in range(SEEDS)]
    assert Counter(one.said for one in found)["wrong"] <= WRONG * SEEDS


# ---- times that may be compared -------------------------------------------------------------

DAY = 86_400.0


@pytest.mark.parametrize(
    ("mine", "base", "same"),
    [
        (np.arange(10) * DAY, np.arange(10) * DAY + 60, True),  # by turns, at one hour
        (np.arange(10) * DAY, np.arange(10) * DAY + DAY / 2, False),  # at night, by day
        (np.arange(10) * DAY, np.arange(10, 20) * DAY, False),  # before and after
        (np.arange(10) * DAY + 86_000, np.arange(10) * DAY + 400, True),  # around midnight
        (np.zeros(4), np.zeros(4), True),  # side by side
    ],
)
def test_runs_are_compared_only_at_the_same_hours_and_by_turns(
    mine: np.ndarray, base: np.ndarray, same: bool
) -> None:
    assert same_times(Times(mine), Times(base)) is same
    assert same_times(Times(base), Times(mine)) is same


def test_hours_and_a_trend_are_taken_out_where_there_are_runs_enough() -> None:
    hours = np.linspace(0.0, 20 * DAY, 40)
    assert len(time_columns(Times(hours), 3)) == 3
    assert time_columns(Times(hours[:8]), 3) == []
    assert time_columns(Times(np.full(40, 5.0)), 3) == []

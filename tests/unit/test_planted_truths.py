"""Planted truths: what is true by construction is proposed, and what only looks so is not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from bench.planted_histories import Truth, ask
from bench.planted_truths import TRUTHS
from optimizer.elsewhere import elsewhere
from optimizer.models.alike import DAY_S, MOMENTS, Times, changes, same_times, time_columns
from optimizer.models.levels import between_runs

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


# ---- hardware at other hours ----------------------------------------------------------------


def classes(rows: list[tuple[str, int, float]]) -> pa.Table:
    """What the record sums up of one step: (class, part of the day, mean log seconds)."""
    same = {"playbook": "p", "step": "s", "attempts": 50, "runs": 5, "failed": 0}
    usd = {"log_usd": 0.0, "priced": 50, "succeeded": 50}
    told = [
        {**same, **usd, "setting": one, "daypart": part, "log_s": log_s}
        for one, part, log_s in rows
    ]
    return pa.Table.from_pylist(told)


def test_a_worker_that_ran_at_night_alone_is_not_known_beside_those_of_the_day() -> None:
    told = elsewhere(classes([("day", 2, 2.0), ("day", 3, 2.0), ("fast", 0, 1.0)]))
    assert told.of("time", ("p", "s"), "day") == pytest.approx(2.0)
    assert np.isnan(told.of("time", ("p", "s"), "fast"))


def test_workers_of_the_same_hours_are_compared_with_the_hours_taken_out() -> None:
    night = -1.0  # everything is faster at night, when the fast worker runs most
    rows = [("day", 2, 2.0), ("day", 0, 2.0 + night), ("fast", 0, 1.5 + night)]
    told = elsewhere(classes(rows))
    gain = told.of("time", ("p", "s"), "fast") - told.of("time", ("p", "s"), "day")
    assert gain == pytest.approx(-0.5)


def test_a_change_of_everything_on_any_one_day_is_allowed_for_between_runs() -> None:
    days = np.arange(40.0) * DAY_S
    run, items = np.arange(40), dict.fromkeys(range(40), 500.0)
    late = np.isin(run % 5, (0, 1, 2, 3)) == (run >= 20)  # 100 one day in five, then four in five
    value = np.where(late, 100, 25)
    y = np.where(run >= 20, -0.5, 0.0) + 0.02 * np.sin(7.0 * run)
    began = dict(zip(run.tolist(), days.tolist(), strict=True))
    released = between_runs(run, value, y, items, 25, began)[100]
    assert released.naive < -0.2
    assert abs(released.log) < 0.05
    real = between_runs(run, value, y - 0.4 * (value == 100), items, 25, began)[100]
    assert real.log == pytest.approx(-0.4, abs=0.05)
    assert between_runs(run, np.where(run >= 20, 100, 25), y, items, 25, began) == {}
    many = Times(np.arange(10_000.0))
    assert len(changes(many)) == MOMENTS


def test_a_trial_in_which_one_side_had_the_large_work_by_chance_does_not_speak_for_a_choice() -> (
    None
):
    truth = next(one for one in TRUTHS if one.name == "alternative, small inputs")
    told = [ask(truth, seed) for seed in (19, 36, 38)]  # 5 and 12 of the 17 large inputs
    assert [one.said for one in told] == ["abstained"] * 3
    assert "large work was too rare" in told[0].why

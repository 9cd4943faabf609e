"""A search over thousands of settings, and the space it is made over."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from optimizer.search.declared import Choice, NothingLeft, Number, Product, settings
from optimizer.search.history import History
from optimizer.search.numeric import LARGE, POOL, Numeric, Remembered, shipped
from optimizer.search.search import Search
from optimizer.search.space import Space

KNOBS: dict[str, Any] = {
    "batch": Number(1, 1024, log=True),
    "in_flight": Number(1, 32, log=True),
    "engine": Choice(("duckdb", "polars", "spark")),
}
SHARED = Product(("batch", "in_flight"), at_most=4096)
SPACE = settings({**KNOBS, "retries": Number(1, 6)}, (SHARED,))


def truth(space: Space, best: tuple[float, float] = (6.0, 2.0), slow: float = 0.0) -> np.ndarray:
    """Log outcomes: a bowl in two knobs, and an engine that is twice as slow."""
    batch = (space.columns["batch"].numbers - best[0]) / 3
    flight = (space.columns["in_flight"].numbers - best[1]) / 2
    engine = np.asarray([v == "spark" for v in space.columns["engine"].values])
    retries = 0.02 * space.columns["retries"].numbers
    return np.asarray(batch**2 + flight**2 + math.log(2) * engine + retries + slow)


def history(*bests: tuple[float, float]) -> History:
    rows = [truth(SPACE, best, slow) for slow, best in enumerate(bests)]
    return History.of(rows, [f"family {k}" for k in range(len(rows))], len(SPACE))


OTHERS = history((6.5, 2.0), (5.5, 1.5), (6.0, 2.5))


def played(search: Numeric, outcomes: np.ndarray, trials: int) -> list[int]:
    for _ in range(trials):
        step = search.next()
        assert step is not None
        search.tell(step.setting, float(outcomes[step.setting]))
    return search.tried


# ---- the search ---------------------------------------------------------------------------


def test_what_others_have_shown_leads_to_the_best_of_a_thousand_settings_in_a_few() -> None:
    assert len(SPACE) > LARGE
    outcomes = truth(SPACE)
    search = Numeric(SPACE, OTHERS)
    while (setting := search.ask()) is not None:
        search.tell(setting, float(outcomes[setting]))
    assert len(search.tried) <= 12
    assert outcomes[search.best] - outcomes.min() < 0.05


def test_without_history_it_does_better_than_chance_and_repeats_nothing() -> None:
    outcomes = truth(SPACE)
    tried = played(Numeric(SPACE, History.of([], [], len(SPACE))), outcomes, 14)
    assert len(set(tried)) == len(tried)
    better = float((outcomes < outcomes[tried].min()).mean())
    assert better < 0.02  # of 14 at random the best leaves one in fifteen above it


def test_the_same_log_and_seed_give_the_same_trials_whatever_the_level() -> None:
    outcomes = truth(SPACE)
    one = played(Numeric(SPACE, OTHERS), outcomes, 6)
    assert played(Numeric(SPACE, OTHERS), outcomes + math.log(1000.0), 6) == one


def test_a_search_goes_on_after_a_restart_with_what_was_asked_and_not_told() -> None:
    outcomes, log = truth(SPACE), Remembered()
    played(Numeric(SPACE, OTHERS, log=log), outcomes, 5)
    asked = Numeric(SPACE, OTHERS, log=log).ask()
    again = Numeric(SPACE, OTHERS, log=log)
    assert again.ask() == asked
    assert asked is not None
    again.tell(asked, float(outcomes[asked]))
    third = Numeric(SPACE, OTHERS, log=log)
    assert third.tried == again.tried
    assert third.outcomes == again.outcomes
    assert third.next() == again.next()


def test_optuna_is_told_the_best_trials_of_other_steps_and_which_trials_failed() -> None:
    search = Numeric(SPACE, OTHERS)
    past = search._study.get_trials()
    assert min(trial.value for trial in past) == pytest.approx(0.0)
    assert {tuple(trial.constraints.values()) for trial in past} == {(0.0,)}
    search.tell(3, 9.0, failed=True)
    assert search._study.get_trials()[-1].constraints == {"failed": 1.0}


def test_a_trial_that_was_asked_is_finished_in_optuna_with_its_constraint() -> None:
    search = Numeric(SPACE, OTHERS)
    setting = search.ask()
    assert setting is not None
    search.tell(setting, 1.0, failed=True)
    last = search._study.get_trials()[-1]
    assert (last.state.name, last.constraints) == ("COMPLETE", {"failed": 1.0})


def test_a_trial_is_chosen_from_a_pool_with_the_leaders_of_history() -> None:
    search = Numeric(SPACE, OTHERS)
    search.next()
    assert len(search._pool) == len(set(search._pool)) == POOL
    mean = OTHERS.rows.mean(axis=0)
    assert set(np.argsort(mean)[:20].tolist()) <= set(search._pool)


def test_a_pool_is_made_anew_when_the_trials_have_doubled_and_outlives_a_restart() -> None:
    outcomes, log, pools = truth(SPACE), Remembered(), []
    search = Numeric(SPACE, OTHERS, log=log)
    for _ in range(7):
        step = search.next()
        assert step is not None
        pools.append(tuple(search._pool))
        search.tell(step.setting, float(outcomes[step.setting]))
    assert pools[2] == pools[3] != pools[4]
    assert pools[4] == pools[6]
    again = Numeric(SPACE, OTHERS, log=log)
    assert again.next() == search.next()
    assert tuple(again._pool) == pools[6]


def test_only_a_large_space_is_searched_so() -> None:
    small = settings({"batch": Number(1, 64, log=True)})
    assert isinstance(shipped(small, History.of([], [], len(small)), 50), Search)
    assert isinstance(shipped(SPACE, OTHERS, 50), Numeric)


# ---- the space ----------------------------------------------------------------------------


@settings_of(max_examples=25)
@given(
    low=st.integers(1, 50), high=st.integers(50, 5000), log=st.booleans(),
    most=st.integers(50, 20_000), size=st.integers(8, 64),
)  # fmt: skip
def test_every_setting_is_inside_its_ends_and_keeps_to_the_bounds(
    low: int, high: int, log: bool, most: int, size: int
) -> None:
    knobs: dict[str, Any] = {"batch": Number(low, high, log=log), "in_flight": Number(1, 8)}
    bound = Product(("batch", "in_flight"), at_most=most)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        space = settings(knobs, (bound,), most=size)
    assert 1 <= len(space) <= size
    for batch, flight in zip(
        space.columns["batch"].values, space.columns["in_flight"].values, strict=True
    ):
        assert low <= batch <= high
        assert 1 <= flight <= 8
        assert bound.slack({"batch": batch, "in_flight": flight}) <= 0.0


def test_what_was_run_before_is_in_the_space_off_the_ladder_too() -> None:
    known = {"batch": 37, "in_flight": 3, "engine": "polars"}
    space = settings(KNOBS, (SHARED,), known=[known])
    assert space.names[0] == "batch=37 in_flight=3 engine=polars"
    over = {"batch": 1000, "in_flight": 30, "engine": "polars"}
    assert (
        "batch=1000 in_flight=30 engine=polars"
        not in settings(KNOBS, (SHARED,), known=[over]).names
    )


def test_bounds_that_leave_nothing_are_named() -> None:
    with pytest.raises(NothingLeft, match=r"5000 <= batch x in_flight; widen one"):
        settings(
            {"batch": Number(1, 10), "in_flight": Number(1, 10)},
            (Product(("batch", "in_flight"), at_least=5000),),
        )

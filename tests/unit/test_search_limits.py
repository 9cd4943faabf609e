"""Failures and limits in a search over finite spaces: beliefs of their own."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.search.failing import Failing
from optimizer.search.history import History
from optimizer.search.keeping import Keeping
from optimizer.search.kernels import Kernels
from optimizer.search.search import Search
from optimizer.search.space import Column, Space

SIZES = (1, 2, 4, 8, 16)
SPACE = Space.of(
    tuple(f"{cpus}-{kind}" for cpus in SIZES for kind in "ab"),
    {
        "cpus": Column("log", tuple(cpus for cpus in SIZES for _ in "ab")),
        "kind": Column("category", tuple(kind for _ in SIZES for kind in "ab")),
    },
)
KERNELS = Kernels.of(SPACE)
BIG = np.log2(np.repeat(SIZES, 2))
"""How large each setting is."""
seeds = st.integers(0, 5)


def history(seed: int, steps: int = 6) -> History:
    """Outcomes fall with size and the limited quantity rises; the smallest fail sometimes."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 0.2, (steps, len(SPACE))) - 0.5 * BIG
    over = rng.normal(0, 0.1, rows.shape) + 0.5 * (BIG - 2.5) + rng.normal(0, 1.0, (steps, 1))
    failed = (rng.random(rows.shape) < 0.5) & (BIG < 1)
    rows[failed] = over[failed] = np.nan
    families = [f"family {i % 3}" for i in range(steps)]
    return History.of(
        list(rows), families, len(SPACE), failed=list(failed.astype(float)), over=list(over)
    )


def played(search: Search, seed: int, shift: float = 0.0) -> list[int]:
    """A search on a step of the same sort, whose smallest setting fails."""
    step = history(seed + 100, steps=3)
    while (setting := search.ask()) is not None:
        failed = bool(np.isnan(step.rows[0, setting]))
        outcome = 9.0 if failed else float(step.rows[0, setting]) + shift
        assert step.over is not None
        over = -np.inf if failed else float(step.over[0, setting])
        search.tell(setting, outcome, failed=failed, over=over)
    return search.tried


@settings(deadline=None, max_examples=10)
@given(seeds, st.permutations(range(6)), st.floats(-8, 8))
def test_neither_the_unit_nor_the_order_of_history_matters(
    seed: int, order: list[int], shift: float
) -> None:
    past = history(seed)
    mixed = past.of_steps(np.asarray(order))
    moved = History(mixed.rows + shift, mixed.families, mixed.failed, mixed.over)
    assert played(Search(SPACE, past), seed) == played(Search(SPACE, moved), seed, shift)


@settings(deadline=None, max_examples=10)
@given(seeds, st.integers(0, len(SPACE) - 1))
def test_what_fails_for_all_is_not_tried(seed: int, place: int) -> None:
    past = history(seed)
    assert past.failed is not None
    past.failed[:, place], past.rows[:, place] = 1.0, np.nan
    rows = np.random.default_rng(seed).normal(0, 0.5, len(SPACE))
    search = Search(SPACE, History(past.rows, past.families, past.failed))
    while (setting := search.ask()) is not None:
        search.tell(setting, float(rows[setting]), failed=setting == place)
    assert place not in search.tried


@settings(deadline=None, max_examples=15)
@given(seeds, st.permutations(range(len(SPACE))), st.lists(st.booleans(), min_size=4, max_size=4))
def test_a_failure_makes_failing_there_likelier_and_a_success_less(
    seed: int, order: list[int], failed: list[bool]
) -> None:
    believed = Failing(history(seed), KERNELS)
    here = order[4]
    before = believed.chance(order[:4], failed)[here]
    assert believed.chance(order[:5], [*failed, True])[here] >= before - 1e-12
    assert believed.chance(order[:5], [*failed, False])[here] <= before + 1e-12


def test_what_is_like_a_setting_that_failed_is_likelier_to_fail() -> None:
    past = history(0)
    past = History(past.rows, past.families, past.failed)
    chance = Failing(past, KERNELS).chance([0], [True])
    assert chance[0] > chance[2] > chance[8]


def test_where_nothing_ever_failed_nothing_is_expected_to() -> None:
    rows = [np.linspace(1, 0, len(SPACE))] * 3
    believed = Failing(History.of(rows, ["a", "b", "c"], len(SPACE)), KERNELS)
    assert (believed.chance([1], [False]) == 0.0).all()
    assert believed.chance([1], [True])[1] > 0.3


def test_a_step_of_which_a_trial_kept_the_limit_easily_may_have_more_than_others_had() -> None:
    past = history(0)
    believed = Keeping(SPACE, past, KERNELS)
    before, slow = believed.chance([], []), believed.chance([4], [2.0])
    quick = believed.chance([4], [-3.0])
    assert (slow < before).all()
    assert (before < quick).all()
    assert quick[-1] > 0.7
    assert slow[0] < 0.3


def test_the_chance_to_keep_a_limit_falls_with_what_it_is_lowered_by() -> None:
    past = history(1)
    assert past.over is not None
    lower = History(past.rows, past.families, past.failed, past.over + 0.5)
    loose, tight = (Keeping(SPACE, one, KERNELS) for one in (past, lower))
    assert (tight.chance([2, 5], [-0.5, 0.5]) <= loose.chance([2, 5], [-1.0, 0.0]) + 1e-9).all()


def test_what_broke_the_limit_is_not_in_use_and_still_says_what_it_took() -> None:
    search = Search(SPACE, history(0))
    search.tell(8, -3.0, over=1.0)
    assert search.best == 8
    search.tell(4, -1.0, over=-0.5)
    assert search.best == 4
    mean = search.belief().average()
    assert mean[8] < -1.0
    assert search.good()[8] < 0.1


def test_a_failed_run_says_nothing_of_what_others_take() -> None:
    one, other = Search(SPACE, history(0)), Search(SPACE, history(0))
    for search in (one, other):
        search.tell(4, -1.0)
    other.tell(0, 50.0, failed=True)
    np.testing.assert_allclose(one.belief().average(), other.belief().average())
    assert other.best == 4


def test_a_step_that_is_of_another_size_than_all_before_is_believed_after_a_trial() -> None:
    rng = np.random.default_rng(0)
    shape = 0.2 * (BIG - 2.5)
    over = [1.5 + shape + rng.normal(0, 0.02, len(SPACE)) for _ in range(6)]  # all of one size
    rows = [-0.5 * BIG + rng.normal(0, 0.05, len(SPACE)) for _ in over]
    past = History.of(rows, [f"family {i}" for i in range(6)], len(SPACE), over=over)
    believed = Keeping(SPACE, past, KERNELS)
    assert believed.chance([], []).max() < 0.3
    assert believed.chance([4], [-1.5 + shape[4]]).min() > 0.9


def test_some_of_a_history_of_quantities_are_quantities_too() -> None:
    class Plain(History):
        def warped(self) -> np.ndarray:
            return self.rows

    past = history(0)
    plain, some = Plain(past.rows, past.families), np.asarray([0, 2])
    np.testing.assert_array_equal(plain.of_steps(some).warped(), past.rows[some])
    np.testing.assert_array_equal(plain.of_settings(some).warped(), past.rows[:, some])

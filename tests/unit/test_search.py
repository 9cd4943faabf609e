"""The search over finite spaces: laws first, then what history is good for."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.search.components import chosen
from optimizer.search.history import History, centred, unwarp, warp
from optimizer.search.kernels import Kernels
from optimizer.search.mixture import Mixture
from optimizer.search.posterior import Posterior
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
outcomes = st.lists(
    st.floats(-3, 3, allow_nan=False), min_size=len(SPACE), max_size=len(SPACE)
).map(np.asarray)


def history(seed: int, steps: int = 6, holes: float = 0.2) -> History:
    rng = np.random.default_rng(seed)
    rows = rng.normal(0, 0.4, (steps, len(SPACE))) + np.linspace(1, 0, len(SPACE))
    rows[rng.random(rows.shape) < holes] = np.nan
    rows[:, 0] = 1.0
    return History.of(list(rows), [f"family {i % 3}" for i in range(steps)], len(SPACE))


def played(truth: np.ndarray, past: History, horizon: int = 50) -> list[int]:
    search = Search(SPACE, past, horizon=horizon)
    while (setting := search.ask()) is not None:
        search.tell(setting, float(truth[setting]))
    return search.tried


@settings(deadline=None, max_examples=30)
@given(outcomes, st.integers(0, 5))
def test_a_search_tries_no_setting_twice_and_ends(truth: np.ndarray, seed: int) -> None:
    tried = played(truth, history(seed))
    assert len(set(tried)) == len(tried) <= len(SPACE)
    assert all(0 <= setting < len(SPACE) for setting in tried)


@settings(deadline=None, max_examples=20)
@given(outcomes, st.integers(0, 5), st.floats(-8, 8))
def test_the_unit_of_the_outcome_scales_out(truth: np.ndarray, seed: int, shift: float) -> None:
    past = history(seed)
    moved = History(past.rows + shift, past.families)
    assert played(truth, past) == played(truth + shift, moved)


@settings(deadline=None, max_examples=20)
@given(outcomes, st.integers(0, 5), st.permutations(range(6)))
def test_the_order_of_history_does_not_matter(
    truth: np.ndarray, seed: int, order: list[int]
) -> None:
    past = history(seed)
    shuffled = History(past.rows[order], tuple(past.families[i] for i in order))
    assert played(truth, past) == played(truth, shuffled)


@settings(deadline=None, max_examples=20)
@given(outcomes, st.integers(0, 5))
def test_the_fewer_runs_are_to_come_the_sooner_a_search_ends(truth: np.ndarray, seed: int) -> None:
    past = history(seed)
    short, long = played(truth, past, horizon=5), played(truth, past, horizon=200)
    assert len(short) <= len(long)
    assert long[: len(short)] == short


def test_without_a_run_to_come_nothing_more_is_tried() -> None:
    search = Search(SPACE, history(0), horizon=1)
    first = search.ask()
    assert first is not None
    search.tell(first, 0.0)
    assert search.ask() is None


def test_what_was_best_for_others_is_tried_first() -> None:
    rows = np.tile(np.linspace(2, 0, len(SPACE)), (4, 1))
    past = History.of(list(rows), ["a", "b", "c", "d"], len(SPACE))
    assert Search(SPACE, past).ask() == len(SPACE) - 1


def test_a_history_that_misleads_loses_its_say() -> None:
    rows = np.tile(np.linspace(2, 0, len(SPACE)), (4, 1))
    past = History.of(list(rows), ["a", "b", "c", "d"], len(SPACE))
    truth = np.linspace(0, 2, len(SPACE))  # the other way round
    assert int(np.argmin(truth)) in played(truth, past)[:5]


def test_what_nobody_ran_is_expected_to_be_like_its_neighbours() -> None:
    rows = np.tile(np.linspace(2, 0, len(SPACE)), (3, 1))
    rows[:, -1] = np.nan
    past = History.of(list(rows), ["a", "b", "c"], len(SPACE))
    mean = Search(SPACE, past).mixture.prior_mean
    assert mean[-1] < np.median(mean)


def test_a_mean_that_goes_with_a_quantity_goes_on_beyond_what_was_run() -> None:
    sizes = np.log2(np.repeat(SIZES, 2))
    rows = np.tile(0.3 * sizes, (4, 1))  # the smaller the better; nobody ran the smallest
    rows[:, :2] = np.nan
    past = History.of(list(rows), ["a", "b", "c", "d"], len(SPACE))
    mean = Search(SPACE, past).mixture.prior_mean
    assert mean[0] < mean[2] - 0.15


def test_levels_of_rows_and_settings_are_told_apart_despite_holes() -> None:
    levels = np.asarray([0.0, 1.0, 3.0])
    rows = levels + np.asarray([[0.0], [5.0], [-2.0]])
    rows[1, 0] = rows[2, 2] = np.nan
    _, found = centred(rows)
    np.testing.assert_allclose(found - found[0], levels, atol=1e-3)


def test_warping_keeps_order_and_leaves_small_distances_alone() -> None:
    far = np.linspace(0, 6, 100)
    assert (np.diff(warp(far)) > 0).all()
    np.testing.assert_allclose(warp(far[far < 0.7]), far[far < 0.7])


def test_unwarping_undoes_warping_up_to_the_most() -> None:
    far = np.linspace(0, 6, 100)
    np.testing.assert_allclose(unwarp(warp(far), 3.0), np.minimum(far, 3.0))


@settings(deadline=None, max_examples=20)
@given(outcomes, st.integers(0, 5), st.permutations(range(len(SPACE))))
def test_the_order_of_trials_does_not_matter_to_what_is_believed(
    truth: np.ndarray, seed: int, order: list[int]
) -> None:
    mixture = Mixture(SPACE, history(seed))
    some = order[:5]
    one = mixture.posterior(some, truth[some])
    other = mixture.posterior(some[::-1], truth[some[::-1]])
    np.testing.assert_allclose(one.average(), other.average(), atol=1e-5)
    np.testing.assert_allclose(one.variance, other.variance, atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(outcomes, st.integers(0, 5), st.permutations(range(len(SPACE))))
def test_no_trial_makes_any_component_less_sure(
    truth: np.ndarray, seed: int, order: list[int]
) -> None:
    mixture = Mixture(SPACE, history(seed))
    before = mixture.posterior(order[:1], truth[order[:1]]).variance
    for many in range(2, len(order)):
        after = mixture.posterior(order[:many], truth[order[:many]]).variance
        assert (after <= before + 1e-8).all()
        before = after


@settings(deadline=None, max_examples=20)
@given(outcomes, st.permutations(range(len(SPACE))))
def test_what_is_believed_does_not_depend_on_what_was_asked_before(
    truth: np.ndarray, order: list[int]
) -> None:
    mixture, other = Mixture(SPACE, history(0)), Mixture(SPACE, history(0))
    for some in (order[:4], order[:2], order[2:6]):
        mixture.posterior(some, truth[some])
    np.testing.assert_allclose(
        mixture.posterior(order[:4], truth[order[:4]]).mean,
        other.posterior(order[:4], truth[order[:4]]).mean,
    )


def test_a_setting_that_nobody_ran_is_the_least_sure() -> None:
    past = history(0, holes=0.0)
    past.rows[:, -1] = np.nan
    believed = Mixture(SPACE, past).posterior([0], [0.0])
    spread = believed.weights @ believed.variance
    assert int(np.argmax(spread)) == len(SPACE) - 1


def test_a_history_in_which_steps_resemble_each_other_is_believed_more() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.5, len(SPACE))
    families = [f"family {i}" for i in range(6)]
    alike = [shared + rng.normal(0, 0.05, len(SPACE)) for _ in range(6)]
    apart = [rng.normal(0, 0.5, len(SPACE)) for _ in range(6)]
    shares = []
    for rows in (alike, apart):
        past = History.of(rows, families, len(SPACE))
        found = chosen(Kernels.of(SPACE), past)
        shares.append(float(np.exp(found.log_prior)[found.uses > 0].sum()))
    assert shares[0] > shares[1]
    assert 0.87 < shares[0] < 0.95  # the rest knows no history, whatever history says


def test_the_product_of_two_columns_is_a_quantity_too_unless_it_says_nothing_new() -> None:
    nodes, memory = (1, 1, 2, 2), (1, 4, 1, 4)
    columns = {"nodes": Column("log", nodes), "memory": Column("log", memory)}
    assert Kernels.of(Space.of("abcd", columns)).features.shape == (4, 3)
    total = Column("log", tuple(n * m for n, m in zip(nodes, memory, strict=True)))
    assert Kernels.of(Space.of("abcd", {**columns, "total": total})).features.shape[1] <= 5


def test_what_a_run_saves_and_costs_is_in_multiples_of_the_best_so_far() -> None:
    sure = Posterior(np.ones(1), np.log([[0.5, 1.0, 1.8, 1e9]]), np.full((1, 4), 1e-12))
    np.testing.assert_allclose(sure.saving(), [0.5, 0.0, 0.0, 0.0], atol=1e-5)
    np.testing.assert_allclose(sure.price(), [0.5, 1.0, 1.8, 11.0], atol=1e-4)

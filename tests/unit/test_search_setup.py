"""What is made once and for many at a time says the same as one by one, by the plain formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.search import failing
from optimizer.search.carried import FEWEST, RIDGE, SURE, carried
from optimizer.search.components import chosen
from optimizer.search.expert import Expert
from optimizer.search.forest import Seen
from optimizer.search.history import History
from optimizer.search.kernels import LENGTHS, Kernels
from optimizer.search.learnt import Learnt, positive
from optimizer.search.recalled import Recalled, name_of
from optimizer.search.space import Column, Space

CPUS, NODES = (2.0, 4.0, 8.0, 16.0), (1.0, 2.0, 3.0, 4.0, 6.0)
GRID = [(cpus, nodes) for cpus in CPUS for nodes in NODES]
SPACE = Space.of(
    tuple(f"{cpus:g}x{nodes:g}" for cpus, nodes in GRID),
    {
        "cpus": Column("log", tuple(cpus for cpus, _ in GRID)),
        "nodes": Column("log", tuple(nodes for _, nodes in GRID)),
        "kind": Column("category", tuple("abc"[i % 3] for i in range(len(GRID)))),
    },
)
KERNELS = Kernels.of(SPACE)
EVERY = np.arange(len(SPACE))
EXACT = 1e-9

seeds = st.integers(0, 10_000)


def drawn(rng: np.random.Generator, steps: int, holes: float) -> np.ndarray:
    """Log outcomes of some steps that differ in slope, with holes."""
    slopes = rng.normal(size=(steps, SPACE.features.shape[1]))
    rows = slopes @ SPACE.features.T + rng.normal(size=(steps, len(SPACE))) * 0.05
    return np.where(rng.random(rows.shape) < holes, np.nan, rows)


@pytest.mark.parametrize("view", [0, 1, 3])
def test_how_alike_settings_are_is_the_same_pair_by_pair(view: int) -> None:
    one, other = np.asarray([0, 7, 19]), np.asarray([19, 3])
    rows = KERNELS.rows(one)[view][:, other]
    assert np.allclose(KERNELS.near(one, other, view), rows, rtol=0.0, atol=EXACT)


def filled_plainly(row: np.ndarray) -> np.ndarray:
    """Regression on what one step knows, written down as it is defined."""
    here, holes = np.flatnonzero(np.isfinite(row)), np.flatnonzero(~np.isfinite(row))
    told = row[here] - row[here].mean()
    found = []
    for view in range(len(LENGTHS)):
        near = KERNELS.near(EVERY, EVERY, view)
        inverse = np.linalg.inv(near[np.ix_(here, here)] + RIDGE * np.eye(len(here)))
        pull = near[np.ix_(holes, here)] @ inverse
        unsure = np.diag(near)[holes] - (pull * near[np.ix_(holes, here)]).sum(axis=1)
        missed = ((inverse @ told / np.diag(inverse)) ** 2).mean()
        found.append((missed, np.where(unsure <= SURE, row[here].mean() + pull @ told, np.nan)))
    whole = row.copy()
    whole[holes] = min(found, key=lambda one: one[0])[1]
    return whole


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from([0.1, 0.3, 0.5, 0.7]))
def test_a_hole_is_filled_alike_by_what_is_known_and_by_what_is_not(
    seed: int, holes: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = np.vstack([drawn(rng, 3, holes), drawn(rng, 1, 0.0)])
    rows[1, ~np.isfinite(rows[0])] = np.nan  # two of them may know the same
    found = carried(SPACE, History.of(list(rows), list("abcd"), len(SPACE)))
    for row, came in zip(rows, found.rows, strict=True):
        known = np.isfinite(row)
        if known.sum() < FEWEST or known.all():
            assert np.array_equal(came, row, equal_nan=True)
            continue
        low, high = SPACE.features[known].min(axis=0), SPACE.features[known].max(axis=0)
        within = ((SPACE.features >= low - EXACT) & (SPACE.features <= high + EXACT)).all(axis=1)
        plain = np.where(within, filled_plainly(row), row)
        assert np.allclose(came, plain, rtol=0.0, atol=EXACT, equal_nan=True)


@settings(max_examples=20, deadline=None)
@given(seeds, st.sampled_from([0.0, 0.4]))
def test_what_failed_for_others_is_what_is_left_without_a_family(seed: int, holes: float) -> None:
    rng = np.random.default_rng(seed)
    told = np.where(rng.random((7, len(SPACE))) < holes, np.nan, rng.random((7, len(SPACE))))
    families = np.asarray(list("aabcccd"))
    near = np.stack([KERNELS.nearness(s) for s in range(len(SPACE))], axis=1)
    every = failing._Counted.of(near, told, tuple(families))
    for family in "abcd":
        own = families == family
        left = every.without(failing._Counted.of(near, told[own], tuple(families[own])))
        anew = failing._Counted.of(near, told[~own], tuple(families[~own]))
        assert np.allclose(left.begins(), anew.begins(), rtol=0.0, atol=EXACT)


def test_steps_that_are_foretold_side_by_side_are_foretold_as_one_by_one() -> None:
    rng = np.random.default_rng(5)
    bad = rng.random((5, len(SPACE))) < 0.2
    told = np.where(rng.random(bad.shape) < 0.3, np.nan, bad)
    near = np.stack([KERNELS.nearness(s) for s in range(len(SPACE))], axis=1)
    begins = failing._Counted.of(near, told, tuple("abcde")).begins()
    together = list(failing._foretold(near, begins, told, EVERY))
    for row, found in zip(told, together, strict=True):
        index = EVERY[np.isfinite(row)]
        half = len(index) // 2
        before, after = index[:half], index[half:]
        later = failing._after(near, begins, before, row[before])[:, :, after]
        plain = failing._likely(begins[None, :, before], row[before])
        assert np.allclose(found, plain + failing._likely(later, row[after]), rtol=EXACT)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(0, 8), st.sampled_from([0.0, 0.3]))
def test_what_is_learnt_is_a_covariance_with_and_without_holes(
    seed: int, unseen: int, holes: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = drawn(rng, 6, holes)
    rows[:, rng.permutation(len(SPACE))[:unseen]] = np.nan
    rows = rows[np.isfinite(rows).any(axis=1)]
    learnt = Learnt.of(rows, np.ones(len(rows)), KERNELS.near)
    nearest = positive(learnt.covariance)
    assert np.allclose(learnt.covariance, nearest, rtol=0.0, atol=EXACT * np.abs(nearest).max())


def test_what_metrics_say_is_conditioned_as_every_setting_with_every_other() -> None:
    rng = np.random.default_rng(2)
    rows = drawn(rng, 6, 0.0)
    metrics = np.exp(np.stack([rows, rng.normal(size=rows.shape)], axis=2))
    history = History.of(list(rows), list("aabbcc"), len(SPACE), metrics=list(metrics))
    near = np.stack([KERNELS.near(EVERY, EVERY, view) for view in range(len(LENGTHS))])
    expert = Expert._plain(Seen.of(SPACE, history.seen), history, near)
    tried, told = np.asarray([4, 11, 2]), np.asarray([0.3, 0.0, 1.0])
    said = expert.said(tried, told, [metrics[0, s] for s in tried])
    assert said is not None
    each = np.mean([expert.forest.told(int(s), metrics[0, s]) for s in tried], axis=0)
    off = (each - each.mean(axis=0)) / math.sqrt(len(each) - 1)
    for part in range(len(expert.weights)):
        whole = off.T @ off + expert.alike[part] * near[expert.view[part]] + 25.0
        inner = whole[np.ix_(tried, tried)] + (expert.noise[part] ** 2 + 1e-8) * np.eye(3)
        pull = whole[:, tried] @ np.linalg.inv(inner)
        mean = expert.usual + each.mean(axis=0)
        assert np.allclose(said.mean[part], mean + pull @ (told - mean[tried]), atol=1e-6)
        left = np.diag(whole) - (pull * whole[:, tried]).sum(axis=1)
        assert np.allclose(said.variance[part], np.maximum(left, 1e-8), atol=1e-6)


def test_a_search_on_a_history_that_was_searched_before_believes_the_same() -> None:
    rng = np.random.default_rng(4)
    rows = drawn(rng, 8, 0.3)
    told = History.of(list(rows), list("aabbccdd"), len(SPACE))
    first, again = (carried(SPACE, told) for _ in range(2))
    assert first.rows is not again.rows
    assert np.array_equal(first.rows, again.rows, equal_nan=True)
    beliefs = [chosen(Kernels.of(SPACE), history).log_prior for history in (first, again)]
    assert np.array_equal(*beliefs)
    other = History.of(list(rows), list("abcdabcd"), len(SPACE))
    assert not np.array_equal(chosen(KERNELS, carried(SPACE, other)).log_prior, beliefs[0])


def test_what_is_recalled_is_bounded_and_hangs_on_all_it_was_made_from() -> None:
    kept: Recalled[int] = Recalled(2)
    made = [kept.of(name_of([np.arange(n)]), lambda n=n: n) for n in (1, 2, 1, 3, 1, 2)]
    assert made == [1, 2, 1, 3, 1, 2]
    assert len(kept) == 2
    zeros = np.zeros((2, 3))
    others = (zeros.T, zeros.astype(np.float32), zeros + 1.0)
    assert name_of([zeros], "a") == name_of([zeros.copy()], "a")
    assert all(name_of([zeros], "a") != name_of([other], "a") for other in others)
    assert name_of([zeros], "a") != name_of([zeros], "b")


def test_the_chance_of_failing_after_trials_is_that_of_all_settings_beside_all() -> None:
    rng = np.random.default_rng(8)
    bad = (rng.random((4, len(SPACE))) < 0.2).astype(float)
    rows = np.where(bad > 0.0, np.nan, drawn(rng, 4, 0.0))
    told = History.of(list(rows), list("aabb"), len(SPACE), failed=list(bad))
    found = failing.Failing(told, KERNELS).chance([3, 7], [True, False])
    learnt = failing._Learnt.of(bad, told.families, KERNELS)
    near = np.stack([failing._near(KERNELS, s) for s in range(len(SPACE))], axis=1)
    failed = np.asarray([1.0, 0.0])
    by_view = failing._after(near, learnt.begins, np.asarray([3, 7]), failed)
    worth = np.asarray(failing.WORTH)[:, None]
    first = learnt.begins[:, 3]
    second = (worth * learnt.begins[:, 7] + near[:, 7, 3]) / (worth + near[:, 7, 3])
    likely = np.clip(first, 1e-3, 0.999) * (1.0 - np.clip(second, 1e-3, 0.999))
    weights = learnt.weights * likely
    plain = np.einsum("wv,wvn->n", weights / weights.sum(), by_view)
    assert np.allclose(found, plain, rtol=EXACT)

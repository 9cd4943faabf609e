"""What the stopping rule goes by: what a trial is expected to save and to cost."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.search.history import History
from optimizer.search.search import Search, Step
from optimizer.search.space import Column, Space

SIZES = (1, 2, 4, 8, 16, 32)
SPACE = Space.of(
    tuple(f"{cpus}-{kind}" for cpus in SIZES for kind in "ab"),
    {
        "cpus": Column("log", tuple(cpus for cpus in SIZES for _ in "ab")),
        "kind": Column("category", tuple(kind for _ in SIZES for kind in "ab")),
    },
)
TRIALS = 6
WORLDS = 60


def step(rng: np.random.Generator) -> np.ndarray:
    """One step of a world: how it goes with size and kind is its own, about what is usual."""
    size = np.log2(np.repeat(SIZES, 2))
    slope, kind = rng.normal(-0.1, 0.15), rng.normal(0.1, 0.2)
    own = rng.normal(0.0, 0.1, len(SPACE))
    return np.asarray(slope * size + kind * np.tile((0.0, 1.0), len(SIZES)) + own)


def world(seed: int) -> tuple[np.ndarray, History]:
    rng = np.random.default_rng(seed)
    past = [step(rng) for _ in range(8)]
    return step(rng), History.of(past, [f"family {i}" for i in range(8)], len(SPACE))


def steps(truth: np.ndarray, past: History) -> Iterator[tuple[Step, float]]:
    """Yield each trial after the first, with what it took as a multiple of the best before."""
    search = Search(SPACE, past)
    while len(search.tried) < TRIALS and (found := search.next()) is not None:
        if search.tried:
            yield found, float(np.exp(truth[found.setting] - min(search.outcomes)))
        search.tell(found.setting, float(truth[found.setting]))


def test_on_average_a_trial_saves_and_costs_what_it_was_expected_to() -> None:
    played = [pair for seed in range(WORLDS) for pair in steps(*world(seed))]
    saves, price = np.mean([(one.saves, one.price) for one, _ in played], axis=0)
    took = np.asarray([multiple for _, multiple in played])
    assert 0.75 < saves / np.maximum(1.0 - took, 0.0).mean() < 1.35
    assert 0.9 < price / took.mean() < 1.1


def test_nothing_is_expected_before_something_good_was_tried() -> None:
    truth, past = world(0)
    search = Search(SPACE, past)
    first = search.next()
    assert first is not None
    assert math.isnan(first.saves)
    assert math.isnan(first.price)
    search.tell(first.setting, 0.0, failed=True)
    second = search.next()
    assert second is not None
    assert math.isnan(second.saves)
    search.tell(second.setting, float(truth[second.setting]))
    third = search.next()
    assert third is not None
    assert 0.0 <= third.saves < 1.0 < third.price


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 200), st.floats(-8, 8))
def test_what_is_expected_is_the_same_in_every_unit(seed: int, shift: float) -> None:
    truth, past = world(seed)
    moved = History(past.rows + shift, past.families)
    told = [(one.setting, one.saves, one.price) for one, _ in steps(truth, past)]
    again = [(one.setting, one.saves, one.price) for one, _ in steps(truth + shift, moved)]
    assert np.allclose(told, again, rtol=1e-6, atol=1e-9)

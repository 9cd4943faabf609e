"""What a step's size says of the settings that suit it, and how far history has to show it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.search.components import chosen
from optimizer.search.history import History
from optimizer.search.kernels import Kernels
from optimizer.search.mixture import Mixture
from optimizer.search.search import Search
from optimizer.search.sized import Sizes
from optimizer.search.space import Column, Space, once

NODES = (1, 2, 3, 4, 6, 8, 12, 16)
SPACE = Space.of(tuple(map(str, NODES)), {"nodes": Column("log", NODES)})
SIZES = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0)


def taking(size: float, seed: int = 0, matters: float = 1.0) -> np.ndarray:
    """A job's log seconds by nodes: a start for each, and work that is divided among them."""
    rng = np.random.default_rng(seed)
    work, start = np.exp(size), 0.1
    divided = np.log(work / np.asarray(NODES) + start * np.asarray(NODES))
    plain = rng.normal(0, 0.3, len(NODES)) + size
    return matters * divided + (1.0 - matters) * plain + rng.normal(0, 0.02, len(NODES))


def past(families: int = 6, matters: float = 1.0) -> History:
    rows = [taking(size, seed, matters) for seed, size in enumerate(SIZES)]
    return History.of(rows, [f"family {i % families}" for i in range(len(rows))], len(SPACE))


@pytest.mark.parametrize("size", [-2.5, 1.5])
def test_one_trial_says_how_large_a_step_is_and_so_what_suits_it(size: float) -> None:
    truth = taking(size, seed=9)
    middle = NODES.index(3)
    believed = Mixture(SPACE, past()).posterior([middle], [truth[middle]]).average()
    assert abs(int(np.argmin(believed)) - int(np.argmin(truth))) <= 1


def test_sizes_are_believed_as_far_as_history_bears_them_out() -> None:
    shares = []
    for matters in (1.0, 0.0):
        found = chosen(Kernels.of(SPACE), past(matters=matters))
        prior, about = np.exp(found.log_prior), found.uses == 1.0
        shares.append(float(prior[found.sized > 0].sum() / prior[about].sum()))
    assert shares[0] > 0.7 > 0.5 > shares[1]


def test_a_line_through_the_sizes_of_three_families_has_no_say() -> None:
    assert (chosen(Kernels.of(SPACE), past(families=3)).sized == 0).all()
    assert (chosen(Kernels.of(SPACE), past(families=4)).sized > 0).any()


def test_a_step_larger_than_all_before_is_taken_to_be_as_large_as_the_largest() -> None:
    sizes, tried = Sizes.of(past()), np.arange(len(NODES))
    largest = sizes.shift(tried, taking(max(SIZES), len(SIZES) - 1))
    np.testing.assert_allclose(sizes.shift(tried, taking(9.0)), largest, atol=0.1)


@settings(deadline=None, max_examples=10)
@given(st.floats(-8, 8), st.permutations(range(len(SIZES))), st.floats(-3, 2))
def test_neither_the_unit_nor_the_order_of_history_counts_in_sizes(
    shift: float, order: list[int], size: float
) -> None:
    one, truth = past(), taking(size, seed=7)
    moved = History(one.rows + shift, one.families).of_steps(np.asarray(order))

    def tried(history: History, outcomes: np.ndarray) -> list[int]:
        search = Search(SPACE, history)
        while (setting := search.ask()) is not None:
            search.tell(setting, float(outcomes[setting]))
        return search.tried

    assert tried(one, truth) == tried(moved, truth + shift)


def test_what_several_categories_say_together_counts_once() -> None:
    provider, family = tuple("aaabbb"), tuple("xxyzzw")
    alone = {"provider": Column("category", provider), "nodes": Column("log", (1, 2, 4) * 2)}
    again = {**alone, "its vendor": Column("category", provider)}
    (one, _), (both, _, third) = once(alone), once(again)
    np.testing.assert_allclose((one[0] - one[3]) ** 2, 2 * (both[0] - both[3]) ** 2)
    np.testing.assert_allclose(both, third)
    nested = once({**alone, "family": Column("category", family)})
    assert float(np.abs(nested[0]).max()) < float(np.abs(one).max())

"""Results of an `each` come back in the order of their items, however they came."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from runtime.run.results import Results


@given(st.randoms(use_true_random=False), st.integers(0, 5000), st.integers(1, 3000))
def test_results_are_in_the_order_of_their_items(
    chance: random.Random, count: int, near: int
) -> None:
    starts = sorted(range(count), key=lambda n: n + chance.random() * near)
    results = Results()
    for start in starts:
        results.add(start, {"n": start})
    assert len(results) == count
    assert list(results) == [{"n": n} for n in range(count)]
    assert list(results) == list(results)


def test_one_more_leaves_those_that_were_as_they_are() -> None:
    results = Results()
    for start in range(1023):
        results.add(start, start)
    more = results.and_also(1023, None)
    assert len(results) == 1023
    assert [*results, None] == list(more)

"""What the batches of an each come to does not depend on which ends first."""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.run.folding import Folded
from runtime.run.reduce import combine
from runtime.run.results import Results

TEXTS, LISTS = st.text(max_size=3), st.lists(st.integers(), max_size=3)
MAPS = st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=3)
WHOLE = st.integers(-(10**12), 10**12)
VALUES = st.one_of(
    st.tuples(st.just("add"), st.lists(WHOLE, max_size=9)),
    st.tuples(st.just("add"), st.lists(TEXTS, max_size=9)),
    st.tuples(st.just("add"), st.lists(LISTS, max_size=9)),
    st.tuples(st.just("append"), st.lists(st.one_of(TEXTS, WHOLE, MAPS), max_size=9)),
    st.tuples(st.just("merge"), st.lists(MAPS, max_size=9)),
    st.tuples(st.sampled_from(["min", "max"]), st.lists(st.floats(-1e9, 1e9), max_size=9)),
    st.tuples(st.sampled_from(["min", "max"]), st.lists(TEXTS, max_size=9)),
)


def folded(op: str, values: list[tuple[int, Any]]) -> Any:
    found = Folded()
    for start, value in values:
        assert found.objection({"x": {op: value}}) == ""
        found.add(start, {"x": {op: value}})
    came_to = found.value("x", op)
    return list(came_to) if isinstance(came_to, Results) else came_to


@given(VALUES, st.randoms(use_true_random=False))
def test_folding_in_any_order_is_gathering_and_then_reducing(
    wanted: tuple[str, list[Any]], chance: Any
) -> None:
    op, values = wanted
    placed = list(enumerate(values))
    chance.shuffle(placed)
    empty = {"append": [], "merge": {}}.get(op)
    assert folded(op, placed) == reduce(lambda a, b: combine(op, a, b), values, empty)


@given(st.lists(st.floats(-1e200, 1e200), min_size=1), st.randoms(use_true_random=False))
def test_a_sum_is_exact_and_rounded_once(values: list[float], chance: Any) -> None:
    placed = list(enumerate(values))
    chance.shuffle(placed)
    assert folded("add", placed) == math.fsum(values)


@given(VALUES)
def test_one_batch_more_leaves_what_there_is_as_it_was(wanted: tuple[str, list[Any]]) -> None:
    op, values = wanted
    if not values:
        return
    found = Folded()
    for start, value in enumerate(values[:-1]):
        found.add(start, {"x": {op: value}})
    before = str(found.value("x", op)) if op != "append" else str(list(found.value("x", op)))
    more = found.and_also(len(values), {"x": {op: values[-1]}})
    told = more.value("x", op)
    assert (list(told) if op == "append" else told) == folded(op, list(enumerate(values)))
    after = str(found.value("x", op)) if op != "append" else str(list(found.value("x", op)))
    assert after == before


@pytest.mark.parametrize(
    ("op", "first", "second", "says"),
    [
        ("add", 1, "x", "a batch gave a text, where others gave a number"),
        ("add", [], {}, "add takes a number or text or list, and a batch gave mapping"),
        ("add", True, 1, "and a batch gave true or false"),
        ("add", 1e301, 1, "a batch gave number that is too large"),
        ("merge", {}, [], "merge takes a mapping, and a batch gave list"),
        ("min", None, 1, "and a batch gave no value"),
        ("max", "a", 1, "a batch gave a number, where others gave a text"),
    ],
)
def test_values_that_do_not_go_together_are_named(
    op: str, first: Any, second: Any, says: str
) -> None:
    found = Folded()
    objection = found.objection({"x": {op: first}})
    if not objection:
        found.add(0, {"x": {op: first}})
        objection = found.objection({"x": {op: second}})
    assert objection.startswith("reduce x: ")
    assert says in objection

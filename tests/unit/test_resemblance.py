"""Resemblance: what makes steps alike, what it earns, and what is borrowed by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.gate.lent import Lent, centred, gains, lent
from optimizer.gate.moves import Moves
from optimizer.gate.replay import calibrated
from optimizer.gate.tendency import Tendency
from optimizer.resemblance import (
    SHARES,
    Described,
    between,
    described,
    earned,
    pulls,
    resemblance,
    words_of,
)
from optimizer.search import history as plain
from optimizer.search.history import History
from optimizer.search.space import Column, Space

WORDS = st.frozensets(st.sampled_from(["load", "orders", "train", "model", "a", "b"]))
TAKES = st.dictionaries(st.sampled_from(["log_s", "log_rows"]), st.floats(-9.0, 9.0))
STEPS = st.builds(
    Described, st.sampled_from(["", "sql", "python"]), st.sampled_from(["", "x", "y"]),
    WORDS, TAKES,
)  # fmt: skip
SPACE = Space.of(("a", "b", "c"), {"class": Column("category", ("a", "b", "c"))})


@given(STEPS, STEPS)
def test_it_lies_between_nought_and_one_and_the_order_does_not_matter(
    one: Described, two: Described
) -> None:
    assert 0.0 <= resemblance(one, two) <= 1.0
    assert resemblance(one, two) == resemblance(two, one)


@given(STEPS, STEPS)
def test_the_same_code_comes_before_the_same_tool_the_same_text_and_the_rest(
    one: Described, other: Described
) -> None:
    one = replace(one, tool="http", code="z", words=frozenset({"own"}), takes={"log_s": 1.0})
    code, tool = replace(other, code="z", tool=""), replace(other, code="", tool="http")
    text = replace(other, code="", tool="", words=one.words, takes={})
    rest = replace(other, code="", tool="", words=frozenset())
    told = [resemblance(one, it) for it in (code, tool, text, rest)]
    assert told == sorted(told, reverse=True)
    assert len(set(told)) == 4 or told[2] == told[3]


def test_what_is_not_known_makes_nothing_alike() -> None:
    assert resemblance(Described(), Described()) == 0.0
    known = described({"tool": "sql", "code": "x", "text": "Load the orders of 2024"})
    assert resemblance(known, known) == pytest.approx(14 / 15)
    assert words_of("load_orders-2024") == {"load", "orders", "2024"}


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=9), st.floats(0.0, 1.0))
def test_one_that_resembles_less_never_weighs_more(alike: list[float], share: float) -> None:
    weights = pulls(np.asarray(alike), share)
    order = np.argsort(alike, kind="stable")
    assert (np.diff(weights[order]) >= 0.0).all()
    assert weights.max() == pytest.approx(1.0)
    assert (weights >= 1.0 - share - 1e-12).all()


def camps(steps: int = 5, useful: bool = True) -> tuple[History, list[Described]]:
    """Families of which half like the second setting and half the third; a tool tells them."""
    rng = np.random.default_rng(5)
    rows, families, told = [], [], []
    for n in range(2 * steps):
        better = np.asarray([0.0, -0.6, 0.4] if n % 2 else [0.0, 0.4, -0.6])
        rows.append(rng.uniform(1, 2) + better + rng.normal(0, 0.05, 3))
        families.append(f"f{n}")
        camp = n % 2 if useful else (n // 2) % 2
        told.append(Described(tool=("sql", "python")[camp]))
    return History.of(rows, families, 3), told


def share_of(history: History, told: list[Described]) -> float:
    return earned(gains(history, between(told)), history.families)


def test_what_tells_steps_apart_earns_a_weight_and_what_does_not_earns_none() -> None:
    assert share_of(*camps()) > 0.3
    assert share_of(*camps(useful=False)) == 0.0


def test_a_few_families_earn_less_than_many_and_two_nothing() -> None:
    assert 0.0 == share_of(*camps(1)) < share_of(*camps(3)) < share_of(*camps(8)) < max(SHARES)


def test_chance_alone_hardly_ever_earns_a_weight() -> None:
    rng = np.random.default_rng(2)
    history, _ = camps()
    shares = []
    for _ in range(60):
        told = [Described(words=words_of(str(rng.integers(4)))) for _ in range(len(history))]
        shares.append(share_of(history, told))
    assert np.mean(np.asarray(shares) > 0.0) <= 0.1


def test_without_a_weight_all_is_as_if_nothing_resembled_anything() -> None:
    history, told = camps(useful=False)
    alike = between(told)
    assert lent(history, alike[0], 0.0) is history
    assert lent(history, np.zeros(len(history)), 0.9) is history
    assert calibrated(SPACE, history, alike, 0.0) == calibrated(SPACE, history)
    even = centred(history.rows, np.ones(len(history)))
    for one, two in zip(even, plain.centred(history.rows), strict=True):
        assert np.allclose(one, two)


def test_a_new_step_is_thought_of_as_those_that_resemble_it() -> None:
    history, told = camps()
    new = np.asarray([resemblance(Described(tool="sql"), one) for one in told])
    leaning = lent(history, new, share_of(history, told))
    assert isinstance(leaning, Lent)
    for known in (Tendency.of(SPACE, history), Tendency.of(SPACE, leaning)):
        assert np.isfinite(known.mean).all()
    flat, mean = (Tendency.of(SPACE, one).mean for one in (history, leaning))
    assert mean[2] - mean[1] < flat[2] - flat[1] - 0.2
    moves, before = Moves.of(leaning, 0, 1.5), Moves.of(history, 0, 1.5)
    assert moves.mean[2] < before.mean[2] - 0.1
    assert moves.families[2] < before.families[2]


def test_the_order_of_steps_does_not_matter() -> None:
    history, told = camps()
    order = np.random.default_rng(1).permutation(len(history))
    other = History(history.rows[order], tuple(history.families[i] for i in order))
    moved = [told[i] for i in order]
    share = share_of(history, told)
    assert share_of(other, moved) == pytest.approx(share)
    new = np.asarray([resemblance(told[0], one) for one in told])
    one = Tendency.of(SPACE, lent(history, new, share))
    two = Tendency.of(SPACE, lent(other, new[order], share))
    assert np.allclose(one.mean, two.mean)
    assert np.allclose(one.learnt, two.learnt)


def test_a_family_does_not_vouch_for_itself() -> None:
    rng = np.random.default_rng(3)
    rows = [row + rng.normal(0, 0.01, 3) for row in rng.normal(0, 1, (6, 3)) for _ in range(2)]
    told = [Described(code=str(n // 2)) for n in range(12)]
    history = History.of(rows, [f"f{n // 2}" for n in range(12)], 3)
    assert (gains(history, between(told)) == 0.0).all()

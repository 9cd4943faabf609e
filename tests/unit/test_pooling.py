"""What is known of other steps' errors speaks to a step by how much they resemble it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.models.chains import Cells, together
from optimizer.models.recovery import ANYTHING
from optimizer.pooling import NOTHING, Errors, Priors, earned_by, priors
from optimizer.resemblance import Described

BROKEN = Cells((2.0,), (0.0,), (12.0,))
"""Two more tries failed, for good."""
FICKLE = Cells((0.0, 1.0), (1.0, 1.0), (10.0, 2.0))


def error(playbook: str, code: str, cells: Cells) -> Errors:
    return Errors(playbook, f"{code}-step", Described(code=code), {"transient": cells})


KINDS = [
    error(f"p{n}", code, cells)
    for n in range(12)
    for code, cells in (("ftp", BROKEN), ("http", FICKLE))
]
"""Two kinds of code in each of many playbooks: what one raises never recovers."""


def test_a_step_borrows_most_from_those_that_run_the_same_code_where_history_bears_it_out() -> (
    None
):
    share = earned_by(KINDS)
    assert share > 0.5
    for code, never in (("ftp", 0.8), ("http", 0.2)):
        found = priors(error("new", code, FICKLE), KINDS, share)
        flat = priors(error("new", code, FICKLE), KINDS, 0.0)
        assert abs(found.of("transient").never - never) < abs(flat.of("transient").never - never)
        assert f"p0#{code}-step 1.00" in found.says(["transient"])
    assert found.says(["throttled"]) == "" == flat.says(["transient"])


def test_resemblance_that_says_nothing_of_errors_earns_nothing() -> None:
    rng = np.random.default_rng(3)
    mixed = [
        error(f"p{n}", str(rng.choice(["ftp", "http"])), BROKEN if rng.random() < 0.5 else FICKLE)
        for n in range(24)
    ]
    assert earned_by(mixed) == 0.0
    assert earned_by(KINDS[:2]) == earned_by([]) == 0.0


counts = st.integers(0, 30).map(float)
steps = st.lists(
    st.builds(
        lambda p, c, f, s, n: error(f"p{p}", c, Cells((f, 1.0), (s, 0.0), (n + 1.0, 2.0))),
        st.integers(0, 4), st.sampled_from(["a", "b", ""]), counts, counts, counts,
    ),
    min_size=1, max_size=8,
)  # fmt: skip


@settings(max_examples=20)
@given(steps, st.floats(0.0, 0.9), st.randoms(use_true_random=False))
def test_the_order_of_steps_means_nothing_and_nobody_else_is_borrowed_from(
    others: list[Errors], share: float, chance: random.Random
) -> None:
    mine = error("mine", "a", FICKLE)
    one = priors(mine, others, share).of("transient").weights
    mixed = list(others)
    chance.shuffle(mixed)
    assert priors(mine, mixed, share).of("transient").weights == pytest.approx(one)
    alike = together([one.cells for one in others])["transient"]
    flat = alike.rates(ANYTHING, NOTHING, None).weights
    assert priors(mine, others, 0.0).of("transient").weights == pytest.approx(flat)
    assert one.sum() == pytest.approx(1.0)
    assert Priors().of("transient") is ANYTHING


@settings(max_examples=8)
@given(steps)
def test_what_resemblance_earns_is_a_share(others: list[Errors]) -> None:
    assert 0.0 <= earned_by(others) < 1.0

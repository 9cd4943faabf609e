"""Blocks of tries: smooth enough to prove something, and enough of them in a run."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from optimizer.blocks import BLOCKS_A_RUN, MOST, batches_a_block, noise, spread_of_blocks
from optimizer.guard import Limits

COUNTS = st.integers(0, 10_000)


@given(COUNTS)
def test_a_run_keeps_enough_blocks_where_a_block_has_several_batches(run_batches: int) -> None:
    batches = batches_a_block(run_batches)
    assert 1 <= batches <= MOST
    assert batches == 1 or run_batches / batches >= BLOCKS_A_RUN


def test_blocks_of_tries_that_seldom_hang_differ_less_than_single_tries() -> None:
    rng = np.random.default_rng(1)
    tries = np.where(rng.random(4_000) < 1 / 15, 1.0, 0.01)
    spreads = [spread_of_blocks(tries, batches, rng) for batches in (1, 4, 16)]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[2] < spreads[0] / 2


@given(st.floats(-2.0, 0.5), st.floats(0.01, 5.0), COUNTS)
def test_a_trial_has_its_last_stage_at_least_and_its_horizon_at_most(
    log: float, spread: float, run_batches: int
) -> None:
    limits = Limits()
    found = noise(log, (spread, spread), run_batches, limits)
    both = math.hypot(spread, spread)
    most = limits.horizon_runs * run_batches
    assert found <= both / math.sqrt(1.2 * limits.ramp_units) + 1e-12
    assert found >= both / math.sqrt(max(most, 1.2 * limits.ramp_units)) - 1e-12


def test_a_larger_gain_is_proven_by_fewer_blocks() -> None:
    limits = Limits()
    errors = [noise(log, (1.0, 1.0), 2_000, limits) for log in (-0.2, -0.3, -0.5)]
    assert errors == sorted(errors)
    assert noise(-3.0, (1.0, 1.0), 2_000, limits) == math.hypot(1.0, 1.0) / math.sqrt(72.0)

"""A pool pauses when its processes die from all over, and never for one step's sake."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.workers.intensity import (
    AGAIN,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    SAME,
    WITHIN_S,
    Intensity,
)

MOST = 8
GAPS = st.lists(st.floats(0, 5), max_size=200)


@given(GAPS)
def test_one_step_alone_never_pauses_a_pool(gaps: list[float]) -> None:
    pool, at = Intensity(MOST), 0.0
    for gap in gaps:
        at += gap
        assert pool.died(at, "a step", "exit code 1") == 0.0
    assert pool.deaths <= SAME


@given(GAPS)
def test_without_a_success_each_pause_is_longer_up_to_a_minute(gaps: list[float]) -> None:
    pool, at, pauses = Intensity(MOST), 0.0, list[float]()
    for gap in gaps:
        at += min(gap, WITHIN_S / MOST)
        pause = pool.died(at, "", "no room for a process")
        if pause:
            pauses.append(pause)
            at += pause
    assert pauses == [min(FIRST_PAUSE_S * 2**n, LONGEST_PAUSE_S) for n in range(len(pauses))]
    assert len(pauses) >= (len(gaps) - MOST) // AGAIN
    assert pool.pauses == len(pauses)


@given(st.integers(0, 60))
def test_a_success_forgives_what_died_before(deaths: int) -> None:
    pool = Intensity(MOST)
    for n in range(deaths):
        pool.died(0.01 * n, "", "killed")
    pool.well()
    assert not pool.unwell
    assert [pool.died(100.0, "", "killed") for _ in range(MOST - 1)] == [0.0] * (MOST - 1)
    assert pool.died(100.0, "", "killed") == FIRST_PAUSE_S


def test_deaths_that_are_far_apart_are_no_reason() -> None:
    pool = Intensity(MOST)
    assert {pool.died((WITHIN_S + 1) * n, "", "killed") for n in range(50)} == {0.0}


def test_many_steps_that_die_are_the_pools_trouble() -> None:
    pool = Intensity(MOST)
    assert any(pool.died(0.1 * n, f"step {n}", "signal 11") for n in range(MOST))

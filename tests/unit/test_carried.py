"""What a step took where it ran is carried over to settings near by, and not further."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st

from optimizer.search.carried import carried, lent
from optimizer.search.history import History
from optimizer.search.space import Column, Space

SIZES = tuple(2**k for k in range(10))
GPUS = (1, 2, 4)
SETTINGS = [(gpus, size) for gpus in GPUS for size in SIZES]
SPACE = Space.of(
    tuple(f"{gpus}x{size}" for gpus, size in SETTINGS),
    {
        "gpus": Column("log", tuple(gpus for gpus, _ in SETTINGS)),
        "batch": Column("log", tuple(size for _, size in SETTINGS)),
    },
)


def curve(start: float, slope: float) -> np.ndarray:
    """Log seconds an item: a start that a batch shares, and GPUs that do not speed up in full."""
    gpus, size = np.asarray(SETTINGS, float).T
    return np.asarray(np.log(start / size + slope) - 0.8 * np.log(gpus))


def with_holes(row: np.ndarray, *holes: int) -> np.ndarray:
    row = row.copy()
    row[list(holes)] = np.nan
    return row


def history(*rows: np.ndarray) -> History:
    return History.of(list(rows), [f"family {n}" for n in range(len(rows))], len(SPACE))


INNER = st.sets(
    st.sampled_from([g * len(SIZES) + s for g in range(3) for s in range(2, 8)]), max_size=4
)


@settings_of(max_examples=25, deadline=None)
@given(INNER, st.floats(0.1, 30.0), st.floats(0.05, 1.0), st.floats(-9.0, 9.0))
def test_known_outcomes_stay_and_holes_move_with_the_unit(
    holes: set[int], start: float, slope: float, shift: float
) -> None:
    row = with_holes(curve(start, slope), *holes)
    one = carried(SPACE, history(row), unseen=True).rows[0]
    assert np.array_equal(one[np.isfinite(row)], row[np.isfinite(row)])
    other = carried(SPACE, history(row + shift), unseen=True).rows[0]
    assert np.allclose(other, one + shift, equal_nan=True, atol=1e-6)


@settings_of(max_examples=25, deadline=None)
@given(INNER, st.floats(0.1, 30.0), st.floats(0.05, 1.0), st.randoms(use_true_random=False))
def test_the_order_of_settings_does_not_matter(
    holes: set[int], start: float, slope: float, rng: Random
) -> None:
    row = with_holes(curve(start, slope), *holes)
    order = list(range(len(SPACE)))
    rng.shuffle(order)
    columns = {
        name: Column(column.kind, tuple(column.values[i] for i in order))
        for name, column in SPACE.columns.items()
    }
    moved = Space.of(tuple(SPACE.names[i] for i in order), columns)
    there = carried(moved, history(row[order]), unseen=True).rows[0]
    here = carried(SPACE, history(row), unseen=True).rows[0]
    assert np.allclose(there, here[order], equal_nan=True, atol=1e-6)


@settings_of(max_examples=25, deadline=None)
@given(INNER.filter(bool), st.floats(0.1, 30.0), st.floats(0.05, 1.0))
def test_a_hole_among_what_is_known_is_filled_with_nearly_the_truth(
    holes: set[int], start: float, slope: float
) -> None:
    truth = curve(start, slope)
    found = carried(SPACE, history(with_holes(truth, *holes), truth + 1.0)).rows[0]
    filled = [hole for hole in holes if np.isfinite(found[hole])]
    assert np.allclose(found[filled], truth[filled], atol=0.15)
    if len(holes) == 1:
        assert filled


def test_what_lies_outside_of_what_a_step_knows_stays_unknown() -> None:
    beyond = [g * len(SIZES) + s for g in range(3) for s in (7, 8, 9)]
    found = carried(SPACE, history(with_holes(curve(8.0, 0.5), *beyond)), unseen=True).rows[0]
    assert np.isnan(found[[9, 19, 29]]).all()


def test_what_no_step_ran_stays_unknown_where_it_would_pass_for_measured() -> None:
    row = with_holes(curve(8.0, 0.5), 4, 15)
    other = with_holes(curve(2.0, 0.5), 4)
    found = carried(SPACE, history(row, other)).rows
    assert np.isnan(found[:, 4]).all()
    assert np.isfinite(found[:, 15]).all()


def test_a_step_that_knows_few_settings_is_left_as_it_is() -> None:
    row = with_holes(curve(8.0, 0.5), *range(3, len(SPACE)))
    assert np.array_equal(carried(SPACE, history(row)).rows[0], row, equal_nan=True)


def test_a_step_with_a_grid_of_its_own_speaks_of_ours() -> None:
    its = tuple(3 * 2**k for k in range(8))
    settings = [(gpus, size) for gpus in GPUS for size in its]
    other = Space.of(
        tuple(f"{gpus}/{size}" for gpus, size in settings),
        {
            "batch": Column("log", tuple(size for _, size in settings)),
            "gpus": Column("log", tuple(gpus for gpus, _ in settings)),
            "zone": Column("category", tuple("b" for _ in settings)),
        },
    )
    gpus, size = np.asarray(settings, float).T
    told = np.log(8.0 / size + 0.5) - 0.8 * np.log(gpus)
    row = lent(SPACE, other, told)
    among = [n for n, (_, size) in enumerate(SETTINGS) if 8 <= size <= 256]
    assert np.allclose(row[among], curve(8.0, 0.5)[among], atol=0.1)

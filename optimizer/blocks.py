"""Blocks of tries: how many batches a unit of a trial has where the knob is about single tries.

Whether one try hangs, or fails for good, is all or nothing: single tries differ so much that
a trial of a few dozen proves nothing. A block of several is smoother, and a run still has
enough of them. What a study foretells is the noise of such blocks, of as many as a trial
needs for its proof or has by its horizon.

>>> batches_a_block(300), batches_a_block(20), batches_a_block(10_000)
(7, 1, 16)
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.effect import PROOF
from optimizer.guard import Limits
from optimizer.models.durations import spread_of

Array: TypeAlias = NDArray[Any]

BLOCKS_A_RUN: Final = 40
"""A run has so many blocks at least: a trial needs some 220, and is to be over in a few runs."""
MOST: Final = 16
"""Batches of a block at most: what harms is to be seen soon."""
LAST: Final = 0.4
"""Share of the blocks until the horizon that each side has in the last stage."""
DRAWS: Final = 2_000


def batches_a_block(run_batches: float) -> int:
    """Return how many batches make a block of a run that has so many."""
    return max(1, min(MOST, int(run_batches / BLOCKS_A_RUN)))


def spread_of_blocks(units: Array, batches: int, rng: np.random.Generator) -> float:
    """Return the spread of blocks of so many such units, as a trial counts them."""
    if batches <= 1:
        return spread_of(units)
    return spread_of(rng.choice(units, (DRAWS, batches)).mean(axis=1))


def noise(log: float, spreads: tuple[float, float], run_batches: float, limits: Limits) -> float:
    """Return the standard error of a log effect in a trial that goes on until it is proven.

    ``spreads`` are those of a block under either value. It has the last stage's blocks at
    least, and at most those that the runs until the horizon have.
    """
    both = math.hypot(*spreads)
    least = 1.2 * limits.ramp_units
    most = LAST * limits.horizon_runs * run_batches / batches_a_block(run_batches)
    margin = math.log(1.0 - limits.min_gain) - log
    needed = (PROOF * both / margin) ** 2 * 1.01 if margin > 0.0 else math.inf
    return both / math.sqrt(max(least, min(needed, most)))

"""The current regime: a step's history since what an item takes last went to another level.

Levels are of runs, each against what is usual under its own values of the knobs, so that a
change of a knob is no change of regime. What came before is left out, and counted: two
regimes pooled say nothing true of either.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.changes import Sensitivity, regimes
from optimizer.distinct import distinct
from optimizer.evidence import Batches

Array: TypeAlias = NDArray[Any]

LATEST: Final = 2000
"""Runs looked at; what is older than so many is the past anyhow."""
MUCH: Final = Sensitivity(least=0.15)
"""Smaller changes of level cancel out between values that were tried side by side."""


def current(history: Batches) -> Batches:
    """Return the batches of the current regime; all of them when there is but one."""
    if not len(history):
        return history
    _, codes = distinct(history.run)
    levels, began = _levels(history, codes)
    order = np.argsort(began, kind="stable")[-LATEST:]
    last = regimes(np.exp(levels[order]), asked=MUCH)[-1]
    if not last.start:
        return history
    since = float(began[order[last.start]])
    kept = history.where(began[codes] >= since)
    left_out = len(history) - len(kept)
    return replace(kept, quality=replace(
        history.quality, regime_since=math.floor(since), regime_factor=last.factor,
        before_regime=left_out,
    ))  # fmt: skip


def _levels(history: Batches, codes: Array) -> tuple[Array, Array]:
    """Each run's mean log seconds per item against what is usual for its values, and its start."""
    y = np.log(history.seconds / np.maximum(history.items, 1))
    _, kinds = np.unique(history.size * 100_003 + history.in_flight, return_inverse=True)
    usual = np.asarray([np.median(y[kinds == kind]) for kind in range(kinds.max() + 1)])
    runs = int(codes.max()) + 1
    counts = np.bincount(codes, minlength=runs)
    levels = np.bincount(codes, weights=y - usual[kinds], minlength=runs) / counts
    began = np.full(runs, np.inf)
    np.minimum.at(began, codes, history.start)
    return np.asarray(levels), began

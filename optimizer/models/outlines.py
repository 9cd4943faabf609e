"""Outlines: all the ways in which seconds may rise with size, drawn once and always the same.

An outline is the sum of a fixed part, a part per item and a part per item squared, some of
them missing, and where they meet is anywhere; or it is flat until the device is full, and
rises from there. What no item does to the time (a flat start) and what every pair of items
does to it (a bend) are in it alike, so that no usual curve is beyond what is believed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

MANY: Final = 1500
"""Outlines that are drawn; each is weighed by what was measured."""
FLAT: Final = 0.4
"""Share of outlines that are flat until they rise; the others rise from the first item on."""
NO_FIXED, NO_LINE, BENT = 0.15, 0.2, 0.5
"""Shares without a fixed part and without a part per item, and with a part per item squared."""


def outlines(low: float, high: float) -> Callable[[Array], Array]:
    """Return log seconds, one row an outline, whose parts meet about ``low`` to ``high``.

    >>> rows = outlines(0.0, 6.0)(np.array([0.0, 3.0, 6.0]))
    >>> rows.shape, bool((np.diff(rows, axis=1) >= 0.0).all())
    ((1500, 3), True)
    """
    rng = np.random.default_rng(7)
    line_at = rng.uniform(low - 2.0, high + 1.0, MANY)[:, None]
    bend_at = rng.uniform(low, high + 3.0, MANY)[:, None]
    fixed = _some(rng, 1.0 - NO_FIXED)
    line, bend = _some(rng, 1.0 - NO_LINE), _some(rng, BENT)
    line = np.maximum(line, 1.0 - bend)
    flat = rng.random(MANY)[:, None] < FLAT
    sharp = np.exp(rng.uniform(np.log(2.0), np.log(16.0), MANY))[:, None]
    fixed = np.where(flat, fixed * rng.random(MANY)[:, None], fixed)

    def at(x: Array) -> Array:
        by_item = line * np.exp(np.clip(x[None, :] - line_at, -30.0, 30.0))
        by_pair = bend * np.exp(np.clip(2.0 * (x[None, :] - bend_at), -60.0, 40.0))
        rising = np.log(np.maximum(fixed + by_item + by_pair, 1e-12))
        held = rising + np.log1p(np.exp(np.clip(-sharp * rising, -50.0, 50.0))) / sharp
        return np.asarray(np.where(flat, held, rising))

    return at


def _some(rng: np.random.Generator, share: float) -> Array:
    return np.asarray((rng.random(MANY) < share).astype(float))[:, None]

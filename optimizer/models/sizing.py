"""Which batch size to take under a limit: most items a second that are expected within it.

What a size brings counts as far as it is likely to keep the limit. One whose chance of
breaking it is above `CAP` is not taken at all; below that, each per cent of risk is worth
`PRICE` per cent of throughput. A limit is broken by what takes more than `SLACK` longer. Where
no size is safe enough, there is nothing to choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.models.shapes import Fan

Array: TypeAlias = NDArray[Any]

CAP: Final = 0.1
PRICE: Final = 2.0
SLACK: Final = 0.05
LEAST: Final = 1e-9
NARROW: Final = 4.0
"""Measured sizes that span less than this factor say nothing of sizes beyond twice the stable."""
STEP: Final = 2.0


def largest(measured: Sequence[float], stable: float) -> float:
    """Return the largest size that may be chosen from what was measured.

    >>> largest([20, 25, 30], 25), largest([5, 25, 100], 25)
    (50.0, inf)
    """
    return STEP * stable if max(measured) < NARROW * min(measured) else float("inf")


def choose(
    fan: Fan, sizes: Sequence[float], limit: float, most: float = float("inf")
) -> int | None:
    """Return the place of the size to take, among ``sizes`` up to ``most``; None for none."""
    n = np.asarray(sizes, float)
    belief = fan.at(n)
    risk = 1.0 - belief.below(np.log(limit * (1.0 + SLACK)))
    kept = np.maximum(belief.below(np.log(limit)), LEAST)
    worth = np.log(n * kept) - belief.mean - PRICE * risk
    allowed = (n <= most * (1.0 + 1e-9)) & (risk <= CAP)
    return int(np.argmax(np.where(allowed, worth, -np.inf))) if allowed.any() else None

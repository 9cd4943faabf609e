"""Roughness: by how much seconds leave a smooth curve from one size to the next.

Where time does not depend on the size it is the fixed part that is seen: waiting, network,
what others do; where it rises in proportion it is the work itself, which varies less. So the
roughness of a size hangs on how steep the curve is there, and both ends of that are learnt from
the curves of others.

>>> rough = Roughness(rising=0.01, flat=0.08)
>>> [round(float(rough.spread(steep)), 3) for steep in (0.0, 0.5, 1.0)]
[0.081, 0.041, 0.01]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[Any]
Curve: TypeAlias = tuple[Sequence[float], Sequence[float]]
"""Sizes, ascending, and the seconds of each."""

FEWEST: Final = 5
"""Sizes from which on a curve tells how rough it is."""
LEAST: Final = 1e-4
"""No curve is thought to be smoother than this."""
ROUNDS: Final = 4
"""Fits, each weighed by the curve of the one before."""


@dataclass(frozen=True, slots=True)
class Roughness:
    """The spread of log seconds around a smooth curve, where it rises and where it is flat."""

    rising: float
    flat: float

    def spread(self, steep: ArrayLike) -> Array:
        """Return the spread where seconds grow as size to the power of ``steep``."""
        level = 1.0 - np.clip(np.asarray(steep, float), 0.0, 1.0)
        return np.asarray(np.sqrt(self.rising**2 + (self.flat * level) ** 2))


UNKNOWN: Final = Roughness(0.03, 0.0)
"""Where no other curve tells."""


def learnt(others: Sequence[Curve], pulls: Sequence[float] | None = None) -> Roughness:
    """Return the roughness of other curves, each weighing as its pull says.

    Least squares on squared distances, none below zero, relative to what they come to.
    """
    from scipy.optimize import nnls

    weights = np.ones(len(others)) if pulls is None else np.asarray(pulls, float)
    told = list(_told(others, weights))
    if not told:
        return UNKNOWN
    level, square, weight = (np.concatenate(part) for part in zip(*told, strict=True))
    design = np.stack([np.ones_like(level), level**2], axis=1)
    solved, scale = np.zeros(2), np.ones_like(square)
    for _ in range(ROUNDS):
        by = np.sqrt(weight) / scale
        solved, _ = nnls(design * by[:, None], square * by)
        scale = np.maximum(design @ solved, LEAST**2)
    rising, flat = np.sqrt(np.maximum(solved, 0.0))
    return Roughness(max(float(rising), LEAST), float(flat))


def _told(others: Sequence[Curve], weights: Array) -> Iterator[tuple[Array, Array, Array]]:
    """By curve: how flat it is at each inner size, its squared distance there, and a weight."""
    for (sizes, seconds), weight in zip(others, weights, strict=True):
        if len(sizes) < FEWEST:
            continue
        x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(seconds, float))
        share = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
        off = y[1:-1] - (1.0 - share) * y[:-2] - share * y[2:]
        steep = np.clip((y[2:] - y[:-2]) / (x[2:] - x[:-2]), 0.0, 1.0)
        square = off**2 / (1.0 + share**2 + (1.0 - share) ** 2)
        yield 1.0 - steep, square, np.full(len(off), weight / len(off))

"""How wall time per item falls with the number of batches in flight: serial + shared / f.

The part that more workers cannot share is what bends the curve (Amdahl 1967). The curve
says only whether a value not yet tried is worth trying; what a tried value does is
measured in drained blocks, because a limit (a pool, a quota) is a cliff no curve foresees.

>>> curve = fit([2, 4], [1.0, 0.5], [8, 8])
>>> round(curve.level(8), 2)
0.25
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Curve:
    """Wall time per item, relative to the stable value: ``serial + shared / f``."""

    serial: float
    shared: float

    def level(self, in_flight: float) -> float:
        """Return the relative wall time per item at ``in_flight``."""
        return self.serial + self.shared / in_flight


def fit(values: Sequence[float], levels: Sequence[float], weights: Sequence[float]) -> Curve:
    """Return the non-negative curve through relative levels, by relative error.

    Raises:
        ValueError: there are not two different values.
    """
    if len(set(values)) < 2:
        raise ValueError("a curve needs at least two values of in_flight")
    from scipy.optimize import nnls

    f, level = np.asarray(values, float), np.asarray(levels, float)
    scale = np.sqrt(np.asarray(weights, float)) / level
    columns = np.column_stack([np.ones_like(f), 1.0 / f]) * scale[:, None]
    serial, shared = nnls(columns, level * scale)[0]
    return Curve(float(serial), float(shared))

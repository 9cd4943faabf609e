"""How long a batch takes, as a function of its size: a + b·n + c·n², none below zero.

The fit is non-negative least squares on the *relative* error (Lawson & Hanson, "Solving
Least Squares Problems", 1974): a small batch's 5% counts as much as a large one's. One
size cannot tell the fixed part from the part per item; such a curve refuses to exist.

>>> curve = fit([25, 50, 100], [0.0625, 0.065, 0.07], [9, 9, 9])
>>> round(curve.seconds(200), 3)
0.08
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds of a batch of n items: ``fixed + per_item·n + bend·n²``."""

    fixed: float
    per_item: float
    bend: float

    def seconds(self, n: float) -> float:
        """Return the seconds of a batch of n."""
        return self.fixed + self.per_item * n + self.bend * n * n

    def seconds_per_item(self, n: float) -> float:
        """Return the seconds per item in a batch of n."""
        return self.seconds(n) / n


def fit(sizes: Sequence[float], seconds: Sequence[float], weights: Sequence[float]) -> Curve:
    """Return the curve through mean seconds by size, each weighted (by its count).

    Raises:
        ValueError: there are not two different sizes.
    """
    if len(set(sizes)) < 2:
        raise ValueError("a curve needs batches of at least two sizes")
    from scipy.optimize import nnls

    n, t = np.asarray(sizes, float), np.asarray(seconds, float)
    scale = np.sqrt(np.asarray(weights, float)) / t
    columns = np.column_stack([np.ones_like(n), n, n * n][: min(len(set(sizes)), 3)])
    unit = columns.max(axis=0)
    solved, _ = nnls(columns / unit * scale[:, None], t * scale)
    fixed, per_item, bend = (*(solved / unit), 0.0)[:3]
    return Curve(float(fixed), float(per_item), float(bend))

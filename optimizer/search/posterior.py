"""What is believed of every setting after some trials.

Everything is in *warped* log distance from the best outcome told so far, which stands at 0
(below `KNEE` it is the log distance itself; see `history.warp`). Questions in a user's units,
such as what a trial costs, are answered with the warping undone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.history import unwarp

Array: TypeAlias = NDArray[Any]

DEAREST: Final = 11.0
"""A run is never charged more than this multiple of a run under the best so far."""
_NODES: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """By component: its weight, and its mean and variance by setting.

    ``mean`` and ``variance`` are components × settings, warped log distances. The belief of a
    setting is the mixture of normals with these weights. The last ``heard`` of them are the
    expert's on metrics (see `expert`).
    """

    weights: Array
    mean: Array
    variance: Array
    heard: int = 0

    @property
    def of_metrics(self) -> float:
        """The weight of what metrics say."""
        return float(self.weights[len(self.weights) - self.heard :].sum())

    def average(self) -> Array:
        """Return the expected distance by setting."""
        return np.asarray(self.weights @ self.mean)

    def below(self, threshold: float) -> Array:
        """Return the chance by setting that its distance is below a threshold."""
        from scipy.special import ndtr

        z = (threshold - self.mean) / np.sqrt(self.variance)
        return np.asarray(self.weights @ ndtr(z))

    def improvement(self) -> Array:
        """Return the expected improvement on the best so far, by setting, in log distance."""
        from scipy.special import ndtr

        spread = np.sqrt(self.variance)
        z = -self.mean / spread
        density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        return np.asarray(self.weights @ (spread * (z * ndtr(z) + density)))

    def saving(self) -> Array:
        """Return what a run is expected to save, where it saves: a share of the best so far."""
        from scipy.special import ndtr

        spread = np.sqrt(self.variance)
        z = -self.mean / spread
        kept = np.exp(np.minimum(self.mean + self.variance / 2.0, 50.0)) * ndtr(z - spread)
        return np.asarray(self.weights @ np.maximum(ndtr(z) - kept, 0.0))

    def price(self) -> Array:
        """Return what one run is expected to cost, as a multiple of one under the best so far."""
        nodes, shares = np.polynomial.hermite_e.hermegauss(_NODES)
        spread = np.sqrt(self.variance)
        total = np.zeros(self.mean.shape[1])
        for node, share in zip(nodes, shares / shares.sum(), strict=True):
            multiple = np.exp(unwarp(self.mean + node * spread, math.log(DEAREST)))
            total += share * (self.weights @ multiple)
        return total

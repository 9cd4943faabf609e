"""How likely a batch's first try fails, as a function of its size: logistic in log n.

Fitted with scikit-learn on counts by size, with a light ridge so that a size without any
failure stays finite. `worse` compares two counts by Beta posteriors, for the question that
matters at once: does this value fail clearly more often than the stable one?
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

PRIOR: Final = (0.5, 10.0)
"""Beta prior of a failure share: failures are rare until shown otherwise."""


@dataclass(frozen=True, slots=True)
class Risk:
    """The chance of failure of a batch of n items."""

    intercept: float
    slope: float

    def chance(self, n: float) -> float:
        """Return the chance that the first try of a batch of n fails."""
        return 1.0 / (1.0 + math.exp(-(self.intercept + self.slope * math.log(n))))


def fit(sizes: Sequence[float], failed: Sequence[int], total: Sequence[int]) -> Risk:
    """Return the logistic risk through failures by size."""
    if sum(failed) in (0, sum(total)):
        share = (sum(failed) + PRIOR[0]) / (sum(total) + sum(PRIOR))
        return Risk(math.log(share / (1.0 - share)), 0.0)
    import numpy as np
    from sklearn.linear_model import LogisticRegression  # takes seconds: where failures are, only

    logs = np.log(np.repeat(np.asarray(sizes, float), 2)).reshape(-1, 1)
    events = np.tile([1, 0], len(sizes))
    weights = np.ravel([(f, t - f) for f, t in zip(failed, total, strict=True)])
    model = LogisticRegression(C=10.0).fit(logs, events, sample_weight=weights)
    return Risk(float(model.intercept_[0]), float(model.coef_[0, 0]))


def worse(failed: int, total: int, base_failed: int, base_total: int, margin: float) -> float:
    """Return how likely this share of failures exceeds the base's by more than ``margin``.

    Normal approximation to the difference of the Beta posteriors.

    >>> worse(5, 7, 4, 400, 0.05) > 0.99, worse(0, 20, 4, 400, 0.05) < 0.1
    (True, True)
    """
    mean, variance = _posterior(failed, total)
    base_mean, base_variance = _posterior(base_failed, base_total)
    z = (mean - base_mean - margin) / math.sqrt(variance + base_variance)
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def _posterior(failed: int, total: int) -> tuple[float, float]:
    a, b = PRIOR[0] + failed, PRIOR[1] + total - failed
    return a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1.0))

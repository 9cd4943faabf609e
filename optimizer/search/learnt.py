"""What other steps say of the settings: a mean and a covariance, honest about what none ran.

The mean and covariance are the empirical ones of the steps' warped log distances from their
best (as in Wang et al., "Pre-trained Gaussian processes for Bayesian optimization", JMLR
2024), families counting alike. A setting that no step ever ran is expected to be like the
settings near it, and its variance says how little is known of it: without that, what nobody
ran would look certain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.history import centred

Array: TypeAlias = NDArray[Any]
Near: TypeAlias = Callable[[Array, Array], Array]
"""How alike settings are to others, both by index."""

FEW: Final = 0.25
"""Steps vary about the mean of n of them by this share of all variance, over n, more than
they seem to: one step alone does not vary at all."""
_LEAST: Final = 1e-3
_RIDGE: Final = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What steps say: ``alike`` is their mean variance about the mean, ``total`` about none."""

    mean: Array
    covariance: Array
    alike: float
    total: float

    @classmethod
    def of(cls, rows: Array, weights: Array, near: Near) -> Learnt:
        """Learn from rows (steps × settings, with holes), each with its weight."""
        known = np.isfinite(rows)
        level_free, mean = centred(rows)
        rest = np.where(known, level_free - mean[None, :], 0.0)
        counts = (known * weights[:, None]).T @ known.astype(float)
        covariance = positive((rest * weights[:, None]).T @ rest / np.maximum(counts, 1.0))
        seen = np.asarray(known.any(axis=0))
        total = max(float(np.nanmean(level_free**2)), _LEAST)
        alike = max(float(np.diag(covariance)[seen].mean()) + FEW * total / len(rows), _LEAST)
        if not seen.all():
            mean, covariance = _extended(mean, covariance, seen, near, alike)
        return cls(mean, covariance, alike, total)


def _extended(
    mean: Array, covariance: Array, seen: Array, near: Near, alike: float
) -> tuple[Array, Array]:
    """Carry a mean and covariance on to settings that no step ran, by regression."""
    known, unknown = np.flatnonzero(seen), np.flatnonzero(~seen)
    pull = np.linalg.solve(
        near(known, known) + _RIDGE * np.eye(len(known)), near(known, unknown)
    ).T
    mean, covariance = mean.copy(), covariance.copy()
    base = mean[known].mean()
    mean[unknown] = base + pull @ (mean[known] - base)
    spread = float(mean[known].var()) + alike
    unsure = spread * (near(unknown, unknown) - pull @ near(known, unknown))
    cross = pull @ covariance[np.ix_(known, known)]
    covariance[np.ix_(unknown, known)] = cross
    covariance[np.ix_(known, unknown)] = cross.T
    covariance[np.ix_(unknown, unknown)] = cross @ pull.T + unsure
    return mean, positive(covariance)


def positive(matrix: Array) -> Array:
    """Return the nearest matrix that can be a covariance."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)

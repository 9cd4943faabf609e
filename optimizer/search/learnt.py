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
from optimizer.search.kernels import Kernels

Array: TypeAlias = NDArray[Any]
Near: TypeAlias = Callable[[Array, Array], Array]
"""How alike settings are to others, both by index."""

FEW: Final = 0.25
"""Steps vary about the mean of n of them by this share of all variance, over n, more than
they seem to: one step alone does not vary at all."""
_LEAST: Final = 1e-3
_RIDGE: Final = 0.1
_NOTHING: Final = 1e-12


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
        covariance = (rest * weights[:, None]).T @ rest / np.maximum(counts, 1.0)
        seen = np.asarray(known.any(axis=0))
        if (known[:, seen] != known[:, seen][:, :1]).any():  # else it is a sum of squares
            covariance = positive(covariance)
        total = max(float(np.nanmean(level_free**2)), _LEAST)
        alike = max(float(np.diag(covariance)[seen].mean()) + FEW * total / len(rows), _LEAST)
        if not seen.all():
            mean, covariance = _extended(mean, covariance, seen, near, alike)
        return cls(mean, covariance, alike, total)


def likeliest(kernels: Kernels, rows: Array) -> Near:
    """Return how alike settings are in the view under which their means are likeliest.

    It is the view that carries the mean on to what nobody ran: where what is less falls with
    less of a quantity, it falls on beyond what was run.
    """
    _, mean = centred(rows)
    known = np.flatnonzero(np.isfinite(rows).any(axis=0))
    if len(known) == rows.shape[1]:
        return kernels.near
    told = mean[known] - mean[known].mean()
    factors = np.linalg.cholesky(kernels.rows(known)[:, :, known] + _RIDGE * np.eye(len(known)))
    apart = np.stack([np.linalg.solve(factor, told) for factor in factors])
    heights = np.log(np.diagonal(factors, axis1=1, axis2=2)).mean(axis=1)
    unlikely = 0.5 * np.log((apart**2).mean(axis=1) + _NOTHING) + heights
    view = int(np.argmin(unlikely))
    return lambda one, other: kernels.near(one, other, view)


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
    return mean, (covariance + covariance.T) / 2.0


def positive(matrix: Array) -> Array:
    """Return the nearest matrix that can be a covariance."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)

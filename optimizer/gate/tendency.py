"""Tendency: which settings tend to be better than which, as other steps have shown.

A mixture of normal priors over settings. Some know what history's steps had in common (the
mean, and how settings go together: Wang et al., "Pre-trained Gaussian processes for Bayesian
optimization", JMLR 2024), blended with how alike settings are (Matérn 5/2 and a linear term
on their features); a few know no history. A step's own level is unknown, so that what one
run of the incumbent tells is only where the others stand from there. The search has a model
of its own, which learns from many trials; this one is for when there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.gate import lent
from optimizer.search.components import LEVEL
from optimizer.search.history import History, centred
from optimizer.search.posterior import Posterior
from optimizer.search.space import Space

Array: TypeAlias = NDArray[Any]

LENGTHS: Final = (0.7, 1.5, 3.0, 6.0)
"""Matérn length scales, in standard deviations of a feature."""
BLENDS: Final = (0.0, 0.5, 0.85)
"""The share of the history's covariance in a component that uses its mean."""
SCALES: Final = (0.5, 1.0, 2.0, 4.0)
FLAT_SCALES: Final = (0.5, 1.0, 3.0)
FLAT_SHARE: Final = 0.15
"""The weight of the components that know no history."""
ALONE: Final = (0.05, 0.2, 0.8, 3.0)
"""Variances of the components when there is no history at all."""
LINEAR: Final = 0.3
NOISE: Final = 0.02
"""Standard deviation of one measurement's log outcome beyond what the model knows."""
FEWEST_STEPS: Final = 2
_LEAST: Final = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Tendency:
    """The priors: kernels by length, history's mean and covariance, and the components.

    A component is (length, share of the learnt covariance, share of the kernel, uses the mean,
    weight).
    """

    kernels: Array
    mean: Array
    learnt: Array
    components: Array

    @classmethod
    def of(cls, space: Space, history: History) -> Tendency:
        """Return what a history shows of a space."""
        kernels, size = _kernels(space.features), len(space)
        if len(history) < FEWEST_STEPS:
            each = 1.0 / (len(LENGTHS) * len(ALONE))
            parts = [(n, 0.0, v, 0.0, each) for n in range(len(LENGTHS)) for v in ALONE]
            return cls(kernels, np.zeros(size), np.zeros((size, size)), np.asarray(parts))
        rows, weights = history.warped(), history.weights()[:, None]
        free, mean = centred(rows)
        if isinstance(history, lent.Lent):
            free, mean = lent.centred(rows, weights[:, 0])
        known = np.isfinite(rows)
        rest = np.where(known, free - mean[None, :], 0.0)
        counts = (known * weights).T @ known.astype(float)
        learnt = _positive((rest * weights).T @ rest / np.maximum(counts, 1.0))
        seen = np.asarray(known.any(axis=0))
        alike = max(float(np.diag(learnt)[seen].mean()), _LEAST)
        total = max(float(np.nanmean(free**2)), _LEAST)
        filled = _filled(mean, seen, kernels[1])
        return cls(kernels, filled, learnt, np.asarray(_components(alike, total)))

    def about(self, incumbent: int) -> Posterior:
        """Return how every setting stands from the incumbent, in warped log distance."""
        length, learnt, alike, uses, weight = self.components.T
        mine = _apart(self.learnt, incumbent)
        near = np.stack([_apart(kernel, incumbent) for kernel in self.kernels])
        variance = learnt[:, None] * mine + alike[:, None] * near[length.astype(int)]
        mean = uses[:, None] * (self.mean - self.mean[incumbent])[None, :]
        return Posterior(weight, mean, np.maximum(variance + NOISE**2, 1e-12))

    def likely(self, index: Array, told: Array) -> float:
        """Return the log likelihood of some settings' outcomes, the step's level unknown."""
        length, learnt, alike, uses, weight = self.components.T
        here = np.ix_(index, index)
        near = self.kernels[length.astype(int)][:, here[0], here[1]]
        own = learnt[:, None, None] * self.learnt[here] + alike[:, None, None] * near
        factor = np.linalg.cholesky(own + LEVEL + NOISE**2 * np.eye(len(index)))
        apart = told - uses[:, None] * self.mean[index]
        surprise = np.linalg.solve(factor, apart[:, :, None])[:, :, 0]
        heights = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        logs = np.log(weight) - 0.5 * (surprise * surprise).sum(axis=1) - heights
        return float(np.logaddexp.reduce(logs))


def _apart(covariance: Array, place: int) -> Array:
    """The variance of the difference between each and one."""
    own = np.diag(covariance)
    return np.asarray(np.maximum(own + own[place] - 2.0 * covariance[place], 0.0))


def _components(alike: float, total: float) -> list[tuple[float, ...]]:
    found: list[tuple[float, ...]] = []
    taught = (1.0 - FLAT_SHARE) / (len(LENGTHS) * len(BLENDS) * len(SCALES))
    flat = FLAT_SHARE / (len(LENGTHS) * len(FLAT_SCALES))
    for length in range(len(LENGTHS)):
        for blend in BLENDS:
            found += [(length, s * blend, s * (1.0 - blend) * alike, 1.0, taught) for s in SCALES]
        found += [(length, 0.0, scale * total, 0.0, flat) for scale in FLAT_SCALES]
    return found


def _kernels(features: Array) -> Array:
    apart = ((features[:, None] - features[None]) ** 2).sum(axis=-1)
    distance = np.sqrt(np.maximum(apart, 0.0)) * math.sqrt(5.0)
    linear = LINEAR * (features @ features.T) / features.shape[1]
    return np.stack([_matern(distance / length) + linear for length in LENGTHS])


def _matern(d: Array) -> Array:
    return np.asarray((1.0 + d + d * d / 3.0) * np.exp(-d))


def _positive(matrix: Array) -> Array:
    """The nearest matrix that can be a covariance."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2.0)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


def _filled(mean: Array, seen: Array, kernel: Array) -> Array:
    """The mean, where history never saw a setting borrowed from the settings like it."""
    if seen.all():
        return mean
    known = kernel[np.ix_(seen, seen)] + 0.1 * np.eye(int(seen.sum()))
    base = mean[seen].mean()
    filled = mean.copy()
    filled[~seen] = base + kernel[np.ix_(~seen, seen)] @ np.linalg.solve(known, mean[seen] - base)
    return np.asarray(filled)

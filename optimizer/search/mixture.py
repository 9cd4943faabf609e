"""A mixture of Gaussian priors over the settings of a space, some learnt from history.

Each component is a mean and a covariance over settings: from other steps' outcomes
(empirical mean and covariance, as in Wang et al., "Pre-trained Gaussian processes for
Bayesian optimization", JMLR 2024), from how alike settings are (Matérn 5/2 and a linear
term on their features), or a blend. A component's weight is the likelihood of what the new
step has shown, so that a history that misleads loses its say after two or three trials.
Everything is in *warped* log distance from the best (`runtime` of twice the best is 0.69).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.history import History, centred, warp
from optimizer.search.space import Space

Array: TypeAlias = NDArray[Any]

LENGTHS: Final = (0.7, 1.5, 3.0, 6.0)
"""Matérn length scales, in standard deviations of a feature."""
BLENDS: Final = (0.0, 0.5, 0.85)
"""The share of the history's covariance in a component that uses its mean."""
SCALES: Final = (0.5, 1.0, 2.0, 4.0)
FLAT_SCALES: Final = (0.5, 1.0, 3.0)
FLAT_SHARE: Final = 0.15
"""The prior weight of the components that know no history."""
ALONE_VARIANCES: Final = (0.05, 0.2, 0.8, 3.0)
"""Variances of the components when there is no history at all."""
LINEAR: Final = 0.3
NOISE: Final = 0.02
"""Standard deviation of one measurement's log outcome beyond what the model knows."""
LEVEL: Final = 25.0
"""Variance of a step's own level: it is as good as unknown."""
ENOUGH_STEPS: Final = 2
_LEAST: Final = 1e-3
_JITTER: Final = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """What is believed of every setting: by component, and the components' weights.

    ``mean`` and ``variance`` are components × settings, warped log distances from the best
    outcome seen so far (which stands at 0).
    """

    weights: Array
    mean: Array
    variance: Array

    def average(self) -> Array:
        """Return the expected distance by setting."""
        return np.asarray(self.weights @ self.mean)

    def below(self, threshold: float) -> Array:
        """Return the chance by setting that its distance is below a threshold."""
        from scipy.special import ndtr

        z = (threshold - self.mean) / np.sqrt(self.variance)
        return np.asarray(self.weights @ ndtr(z))

    def improvement(self) -> Array:
        """Return the expected improvement on the best so far, by setting."""
        from scipy.special import ndtr

        spread = np.sqrt(self.variance)
        z = -self.mean / spread
        density = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        return np.asarray(self.weights @ (spread * (z * ndtr(z) + density)))


@dataclass(frozen=True, slots=True)
class _Component:
    """Covariance = ``learnt``·S + ``alike``·K(length), about the history's mean or none."""

    from_history: bool
    length: int
    learnt: float
    alike: float
    log_prior: float


class Mixture:
    """The priors for one space and one history. Make it once; ask it after every trial."""

    def __init__(self, space: Space, history: History) -> None:
        self._kernels = _kernels(space.features)
        self._size = len(space)
        self._mean = np.zeros(self._size)
        self._learnt = np.zeros((self._size, self._size))
        if len(history) < ENOUGH_STEPS:
            self._components = _alone()
            return
        self._components = self._learn(history)

    @property
    def prior_mean(self) -> Array:
        """The expected distance by setting before anything of the step is known."""
        return self._mean

    def _learn(self, history: History) -> list[_Component]:
        rows = history.warped()
        level_free, mean = centred(rows)
        known = np.isfinite(rows)
        rest = np.where(known, level_free - mean[None, :], 0.0)
        weighted = rest * history.weights()[:, None]
        counts = (known * history.weights()[:, None]).T @ known.astype(float)
        self._learnt = _positive(weighted.T @ rest / np.maximum(counts, 1.0))
        seen = np.asarray(known.any(axis=0))
        self._mean = _filled(mean, seen, self._kernels[1])
        alike = max(float(np.diag(self._learnt)[seen].mean()), _LEAST)
        total = max(float(np.nanmean(level_free**2)), _LEAST)
        return _with_history(alike, total)

    def posterior(self, tried: Sequence[int], outcomes: Sequence[float]) -> Posterior:
        """Return the belief after trials: settings by index, and their log outcomes."""
        told = np.asarray(outcomes, float)
        told = warp(told - told.min())
        index = np.asarray(tried, int)
        rows, diagonal, mean = self._covariance(index)
        seen = rows[:, :, index]
        seen = seen + (NOISE**2 + _JITTER) * np.eye(len(index))
        factor = np.linalg.cholesky(seen)
        apart = np.linalg.solve(factor, (told - mean[:, index])[:, :, None])[:, :, 0]
        pull = np.linalg.solve(factor, rows)
        expected = mean + np.einsum("ck,ckn->cn", apart, pull)
        variance = np.maximum(diagonal - (pull * pull).sum(axis=1), 1e-12)
        heights = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        log = np.asarray([c.log_prior for c in self._components])
        log = log - 0.5 * (apart * apart).sum(axis=1) - heights
        weights = np.exp(log - log.max())
        return Posterior(weights / weights.sum(), expected, variance)

    def _covariance(self, index: Array) -> tuple[Array, Array, Array]:
        """Each component's covariance of the tried with all, its diagonal, and its mean."""
        learnt = np.asarray([c.learnt for c in self._components])
        alike = np.asarray([c.alike for c in self._components])
        length = np.asarray([c.length for c in self._components])
        near = np.stack([kernel[index] for kernel in self._kernels])[length]
        rows = learnt[:, None, None] * self._learnt[index] + alike[:, None, None] * near + LEVEL
        own = np.stack([np.diag(kernel) for kernel in self._kernels])[length]
        diagonal = learnt[:, None] * np.diag(self._learnt) + alike[:, None] * own + LEVEL
        uses = np.asarray([c.from_history for c in self._components], float)
        return rows, diagonal, uses[:, None] * self._mean[None, :]


def _kernels(features: Array) -> list[Array]:
    apart = ((features[:, None] - features[None]) ** 2).sum(axis=-1)
    distance = np.sqrt(np.maximum(apart, 0.0)) * math.sqrt(5.0)
    linear = LINEAR * (features @ features.T) / features.shape[1]
    return [_matern(distance / length) + linear for length in LENGTHS]


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


def _with_history(alike: float, total: float) -> list[_Component]:
    found: list[_Component] = []
    learnt = len(LENGTHS) * len(BLENDS) * len(SCALES)
    flat = len(LENGTHS) * len(FLAT_SCALES)
    for length in range(len(LENGTHS)):
        for blend in BLENDS:
            for scale in SCALES:
                found.append(_Component(
                    True, length, scale * blend, scale * (1.0 - blend) * alike,
                    math.log((1.0 - FLAT_SHARE) / learnt),
                ))  # fmt: skip
        for scale in FLAT_SCALES:
            prior = math.log(FLAT_SHARE / flat)
            found.append(_Component(False, length, 0.0, scale * total, prior))
    return found


def _alone() -> list[_Component]:
    return [
        _Component(False, length, 0.0, variance, 0.0)
        for length in range(len(LENGTHS))
        for variance in ALONE_VARIANCES
    ]

"""A mixture of Gaussian priors over the settings of a space, some learnt from history.

Each component (see `components`) is a mean and a covariance over settings: from other steps'
outcomes (see `learnt`), from how alike settings are (see `kernels`), or a blend. A
component's weight is what it earned on other steps, times the likelihood of what the new
step has shown, so that a history that misleads loses its say after two or three trials.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.components import JITTER, LEVEL, alone, chosen, evidence, forward
from optimizer.search.expert import Expert, Likely, joined
from optimizer.search.history import History, unwarp, warp
from optimizer.search.kernels import Kernels
from optimizer.search.learnt import Learnt, likeliest
from optimizer.search.posterior import DEAREST, Posterior
from optimizer.search.sized import Known, telling
from optimizer.search.space import Space

__all__ = ["Mixture", "Posterior"]

Array: TypeAlias = NDArray[Any]

ENOUGH_STEPS: Final = 2
_LEAST_VARIANCE: Final = 1e-12


@dataclass(slots=True, eq=False)
class _Factors:
    """The lower triangular factors of the tried settings, grown as trials are added.

    ``factor`` is components × tried × tried, ``pull`` components × tried × settings: the
    inverse factor times the covariance of the tried with all.
    """

    tried: tuple[int, ...]
    factor: Array
    pull: Array


@dataclass(frozen=True, slots=True)
class Level:
    """How high a step's values are before any is told, where that is known.

    Values with a known level are taken as they are: not as distances from a best, not warped.
    """

    mean: float
    variance: float


class Mixture:
    """The priors for one space and one history. Make it once; ask it after every trial."""

    def __init__(
        self, space: Space, history: History, kernels: Kernels | None = None,
        level: Level | None = None,
    ) -> None:  # fmt: skip
        self._kernels = kernels or Kernels.of(space)
        self._level = level
        size = len(space)
        self._sizing = level is None and telling(history.families)
        if len(history) < ENOUGH_STEPS:
            self._known = Known.nothing(size)
            self._components = alone(len(self._kernels))
            self._risk = np.ones(size)
        else:
            near = likeliest(self._kernels, history.warped())
            self._known = Known.of(history, near, sized=self._sizing)
            self._components = chosen(self._kernels, history, sized=self._sizing)
            self._risk = np.ones(size) if level else _risk(history, self._known.plain)
        self._expert = None if level else Expert.of(space, history, self._rival)
        self._factors = self._none()

    @property
    def prior_mean(self) -> Array:
        """The expected distance by setting before anything of the step is known."""
        return self._known.plain.mean

    @property
    def risk(self) -> Array:
        """What a first run is expected to cost, as a multiple of one under the best setting.

        It is the mean over steps, not over their logs: a setting that is dear for a few is
        not tried first because it is good for many.
        """
        return self._risk

    def posterior(
        self, tried: Sequence[int], outcomes: Sequence[float], anchor: float | None = None,
        metrics: Sequence[Array | None] = (),
    ) -> Posterior:  # fmt: skip
        """Return the belief after trials: settings by index, and their log outcomes.

        Distances are from ``anchor``, a log outcome; if it is not given, from the best told.
        ``metrics`` are what each trial was seen to do (see `forest`), where that is known.
        """
        return self.weighed(tried, outcomes, anchor, metrics)[1]

    def at(self, level: Level) -> Mixture:
        """Return the same mixture for steps of another level."""
        other = copy(self)
        other._level, other._factors = level, self._none()
        return other

    def weighed(
        self, tried: Sequence[int], outcomes: Sequence[float], anchor: float | None = None,
        metrics: Sequence[Array | None] = (),
    ) -> tuple[float, Posterior]:  # fmt: skip
        """Return the belief after trials, and the log of how likely they were beforehand."""
        told, index = np.asarray(outcomes, float), np.asarray(tried, int)
        shift = self._known.sizes.shift(index, told)
        if self._level is not None:
            told = told - self._level.mean
        else:
            told = warp(told - (told.min() if anchor is None else anchor))
        held = self._grown(tuple(map(int, tried)))
        c = self._components
        mean = c.means(self._known.plain.mean, shift)
        apart = forward(held.factor, told - mean[:, index])
        expected = mean + np.einsum("ck,ckn->cn", apart, held.pull)
        variance = self._diagonal() - np.einsum("ckn,ckn->cn", held.pull, held.pull)
        heights = np.log(np.diagonal(held.factor, axis1=1, axis2=2)).sum(axis=1)
        log = c.log_prior - 0.5 * (apart * apart).sum(axis=1) - heights
        if self._level is not None:
            expected = expected + self._level.mean
        variance = np.maximum(variance, _LEAST_VARIANCE)
        said = self._expert.said(index, told, metrics) if self._expert and len(metrics) else None
        return joined(log, expected, variance, said)

    def _rival(self, rest: History) -> Likely:
        """What the components make of a step when this is all that is known of others."""
        others = Known.of(rest, self._kernels.near, sized=self._sizing)
        c = self._components

        def likely(index: Array, told: Array, outcomes: Array) -> float:
            logs = c.log_prior + evidence(c, self._kernels, others, index, told, outcomes)
            return float(np.logaddexp.reduce(logs))

        return likely

    @property
    def _own(self) -> float:
        """The variance of a step's own level."""
        return LEVEL if self._level is None else self._level.variance

    def _none(self) -> _Factors:
        many, size = len(self._components), len(self._known.plain.mean)
        return _Factors((), np.zeros((many, 0, 0)), np.zeros((many, 0, size)))

    def _grown(self, tried: tuple[int, ...]) -> _Factors:
        """The factors of these trials; those of the last call are gone on with if they can."""
        known = len(self._factors.tried)
        if tried[:known] != self._factors.tried:
            self._factors = self._none()
        for setting in tried[len(self._factors.tried) :]:
            self._factors = self._with(self._factors, setting)
        return self._factors

    def _with(self, held: _Factors, setting: int) -> _Factors:
        """Add one trial: one more row of a Cholesky factor, for every component."""
        row = self._row(setting)
        reach = held.pull[:, :, setting]
        own = row[:, setting] + self._components.noise**2 + JITTER
        height = np.sqrt(np.maximum(own - (reach * reach).sum(axis=1), JITTER))
        rest = row - np.einsum("ck,ckn->cn", reach, held.pull)
        many, n = reach.shape
        factor = np.zeros((many, n + 1, n + 1))
        factor[:, :n, :n] = held.factor
        factor[:, n, :n] = reach
        factor[:, n, n] = height
        pull = np.concatenate([held.pull, (rest / height[:, None])[:, None, :]], axis=1)
        return _Factors((*held.tried, setting), factor, pull)

    def _row(self, setting: int) -> Array:
        """Each component's covariance of a setting with all."""
        near = self._kernels.rows(np.asarray([setting]))[:, 0]
        return self._components.covariances(self._known, setting, near) + self._own

    def _diagonal(self) -> Array:
        near = self._kernels.diagonal()
        every = np.arange(near.shape[1])
        return self._components.covariances(self._known, (every, every), near) + self._own


def _risk(history: History, learnt: Learnt) -> Array:
    rows, weights = history.warped(), history.weights()
    own = np.nanmean(rows - learnt.mean, axis=1, keepdims=True)
    whole = np.where(np.isfinite(rows), rows, learnt.mean + own)
    if history.over is None:
        whole = whole - whole.min(axis=1, keepdims=True)
    multiples = np.exp(unwarp(whole, np.log(DEAREST)))
    return np.asarray(weights / weights.sum() @ multiples)

"""The expert on metrics: a forest as one component of a mixture, with what it has earned.

What trials' metrics say of all settings (see `forest`) is the mean of a Gaussian whose
covariance is how far the trees differ, and beyond that what no metric says: settings that are
alike err alike. How large that is, and how much the expert is believed beforehand, is learnt
from history: every family in turn is taken for the new step, and foretold from one setting's
metrics by a forest of the others; the weights are those that make what it showed most likely,
with the rest of the mixture as the rival. The new step's own trials then set the weights as
they do those of the other components. Without metrics, or where it earned nothing, there is no
expert.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.components import JITTER, LEVEL, NOISES, forward
from optimizer.search.forest import Forest, Seen, measured, ordered, taught
from optimizer.search.history import History, centred
from optimizer.search.kernels import LENGTHS, Kernels
from optimizer.search.learnt import Learnt
from optimizer.search.posterior import Posterior
from optimizer.search.space import Space

Array: TypeAlias = NDArray[Any]
Likely: TypeAlias = Callable[[Array, Array, Array], float]
"""The log likelihood of one step's distances under some settings, its own level unknown; the
last are the log outcomes themselves."""
Rival: TypeAlias = Callable[[History], Likely]
"""What the rest of a mixture makes of a step, having learnt from a history."""

SCALES: Final = (0.05, 0.2, 0.5, 1.0)
"""Shares of history's variance that no metric says anything of."""
SHARE: Final = 0.1
"""The expert's weight before history was asked."""
ROUNDS: Final = 5
TRIALS, SEARCHES = 6, 4
"""A left out step is foretold so many outcomes at a time, so often: as long as searches are."""
DOUBT: Final = 2.0
"""What is not learnt counts as much as so many families."""
FOLDS: Final = 4
"""Families are left out together where there are more of them."""
FEWEST: Final = 2
"""Families with metrics from which on the expert can earn a weight."""
LEAST: Final = 0.05
"""An expert that earned less than this has no say."""


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What the expert says by part: log weight, and mean and variance by setting."""

    log: Array
    mean: Array
    variance: Array
    share: float
    """The expert's weight before any trial; the rest is that of the others."""


@dataclass(slots=True, eq=False)
class Expert:
    """A forest, with the parts of its belief: parallel arrays as those of `Components`."""

    forest: Forest
    usual: Array
    kernels: Array
    view: Array
    alike: Array
    noise: Array
    weights: Array
    _told: dict[tuple[int, bytes], Array] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """How much the expert is believed before the first trial, beside the others."""
        return float(self.weights.sum())

    @classmethod
    def of(cls, space: Space, history: History, rival: Rival) -> Expert | None:
        """Return the expert that a history bears out, or None."""
        history = ordered(taught(history))
        steps = np.asarray(measured(history.seen).any(axis=1))
        families = len(set(history.of_steps(steps).families))
        if families < FEWEST:
            return None
        seen, kernels = Seen.of(space, history.seen), Kernels.of(space)
        every = np.arange(len(space))
        near = np.stack([kernels.near(every, every, view) for view in range(len(LENGTHS))])
        made = cls._plain(seen, history, near)
        made.weights = _earned(*_contest(made, history, steps, rival), families)
        return made if made.share >= LEAST else None

    @classmethod
    def _plain(cls, seen: Seen, history: History, near: Array) -> Expert:
        """The expert of one history, its parts weighing alike."""
        rows, weights = history.warped(), history.weights()
        usual = Learnt.of(rows, weights, lambda one, other: near[1][np.ix_(one, other)]).mean
        spread = max(float(np.nanmean((centred(rows)[0] - usual) ** 2)), JITTER)
        parts = [(v, s, n) for v in range(len(near)) for s in SCALES for n in NOISES]
        view, scale, noise = np.asarray(parts, float).T
        alike = np.full(len(parts), SHARE / len(parts))
        forest = Forest.of(seen, history)
        return cls(forest, usual, near, view.astype(int), scale * spread, noise, alike)

    def having_learnt(self, history: History) -> Expert | None:
        """Return the expert as if this were all that is known; it is believed as before."""
        history = ordered(taught(history))
        if not measured(history.seen).any():
            return None
        made = Expert._plain(self.forest.seen, history, self.kernels)
        made.weights = self.weights
        return made

    def said(self, tried: Array, told: Array, metrics: Sequence[Array | None]) -> Said | None:
        """Return what it says after trials, of which some were measured; None if none was."""
        pairs = zip(map(int, tried), metrics, strict=True)
        sources = [(place, one) for place, one in pairs if one is not None and measured(one)]
        if not sources:
            return None
        mean, off = self._belief(sources)
        pull, factor, apart = self._solved(tried, told, mean, off)
        shift = np.einsum("ck,ckn->cn", apart, pull)
        spread = self._own(off) - np.einsum("ckn,ckn->cn", pull, pull)
        log = np.log(self.weights) + _height(factor, apart)
        return Said(log, mean + shift, np.maximum(spread, JITTER), self.share)

    def about(self, setting: int, metrics: Array) -> Said:
        """Return how every setting stands from one that was run and measured."""
        mean, off = self._belief([(setting, metrics)])
        own, every = self._own(off), np.arange(len(mean))
        beside = self._covariance(off, np.asarray([setting]), every)[:, 0]
        apart = own + own[:, [setting]] - 2.0 * beside
        spread = np.maximum(apart + (self.noise**2)[:, None], JITTER)
        stands = np.broadcast_to(mean - mean[setting], spread.shape)
        return Said(np.log(self.weights), stands, spread, self.share)

    def likely(self, source: int, metrics: Array, index: Array, told: Array) -> Array:
        """Return the log likelihood by part of outcomes, when one setting was measured."""
        mean, off = self._belief([(source, metrics)])
        return _height(*self._surprised(index, told, mean, off))

    def _belief(self, sources: Sequence[tuple[int, Array]]) -> tuple[Array, Array]:
        """The mean by setting, and how far each tree is off it (trees × settings)."""
        each = np.mean([self._trees(place, metrics) for place, metrics in sources], axis=0)
        mean = each.mean(axis=0)
        return self.usual + mean, (each - mean) / math.sqrt(len(each) - 1)

    def _covariance(self, off: Array, one: Array, other: Array) -> Array:
        """The covariance of settings with others by part: parts × one × other."""
        differ = off[:, one].T @ off[:, other] + LEVEL
        near = self.kernels[:, one[:, None], other]
        return np.asarray(self.alike[:, None, None] * near[self.view] + differ)

    def _own(self, off: Array) -> Array:
        """The variance by part and setting."""
        near = np.diagonal(self.kernels, axis1=1, axis2=2)[self.view]
        return np.asarray((off * off).sum(axis=0) + self.alike[:, None] * near + LEVEL)

    def _trees(self, place: int, metrics: Array) -> Array:
        key = (place, np.ascontiguousarray(metrics).tobytes())
        if key not in self._told:
            self._told[key] = self.forest.told(place, metrics)
        return self._told[key]

    def _solved(
        self, index: Array, told: Array, mean: Array, off: Array
    ) -> tuple[Array, Array, Array]:  # fmt: skip
        """The inverse factor times the covariance with all; the factor; the surprise."""
        factor, apart = self._surprised(index, told, mean, off)
        beside = self._covariance(off, index, np.arange(len(mean)))
        return np.linalg.solve(factor, beside), factor, apart

    def _surprised(
        self, index: Array, told: Array, mean: Array, off: Array
    ) -> tuple[Array, Array]:  # fmt: skip
        inner = self._covariance(off, index, index)
        inner += (self.noise**2 + JITTER)[:, None, None] * np.eye(len(index))
        factor = np.linalg.cholesky(inner)
        surprise = np.broadcast_to(told - mean[index], (len(factor), len(index)))
        return factor, forward(factor, surprise)


def joined(
    log: Array, mean: Array, variance: Array, said: Said | None
) -> tuple[float, Posterior]:  # fmt: skip
    """Return the belief of components and, where it has something to say, of the expert.

    The number before it is the log of how likely the trials were by all of them.
    """
    if said is not None:
        log = np.concatenate([log + math.log1p(-said.share), said.log])
        mean = np.concatenate([mean, said.mean])
        variance = np.concatenate([variance, said.variance])
    weights = np.exp(log - log.max())
    likely = float(log.max() + np.log(weights.sum()))
    heard = 0 if said is None else len(said.log)
    return likely, Posterior(weights / weights.sum(), mean, variance, heard)


def _height(factor: Array, apart: Array) -> Array:
    heights = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(-0.5 * (apart * apart).sum(axis=1) - heights)


# ---- what it has earned ----------------------------------------------------------------------


def _contest(
    made: Expert, history: History, steps: Array, rival: Rival
) -> tuple[Array, Array]:  # fmt: skip
    """Log likelihoods (steps × parts, the rival last), and what each step counts."""
    rows, families = history.warped(), np.asarray(history.families)
    logs, counts = [], []
    for family, expert, other in _folds(made, history, steps, rival):
        for step in np.flatnonzero((families == family) & steps):
            each = [
                np.append(
                    expert.likely(source, metrics, index, told),
                    other(index, told, history.rows[step][index]),
                )
                for source, metrics, index, told in _searches(history, rows, int(step))
            ]
            if each:
                logs.append(np.mean(each, axis=0))
                counts.append(history.weights()[step])
    return np.asarray(logs), np.asarray(counts)


def _folds(
    made: Expert, history: History, steps: Array, rival: Rival
) -> Iterator[tuple[str, Expert, Likely]]:  # fmt: skip
    """Yield each family with an expert and a rival that learnt from others alone."""
    families = np.asarray(history.families)
    names = sorted({str(one) for one in families[steps]})
    for fold in range(min(FOLDS, len(names))):
        out = names[fold :: min(FOLDS, len(names))]
        rest = ~np.isin(families, out)
        others = history.of_steps(rest)
        expert = made.having_learnt(others)
        if expert is None:
            continue
        likely = rival(others)
        yield from ((family, expert, likely) for family in out)


def _searches(
    history: History, rows: Array, step: int
) -> Iterator[tuple[int, Array, Array, Array]]:  # fmt: skip
    """Yield short searches of a left out step: the setting seen, its metrics, all outcomes."""
    order = np.random.default_rng(1).permutation(rows.shape[1])
    known = order[np.isfinite(rows[step][order])]
    for place in range(0, min(len(known), TRIALS * SEARCHES), TRIALS):
        index = known[place : place + TRIALS]
        seen = index[measured(history.seen[step, index])]
        if len(seen) and len(index) > 1:
            source = int(seen[0])
            yield source, history.seen[step, source], index, rows[step][index]


def _earned(logs: Array, counts: Array, families: int) -> Array:
    """The parts' weights after history: shares of 1 with the rival, whose own is left out."""
    if not len(logs):
        return np.zeros(0)
    parts = logs.shape[1] - 1
    prior = np.append(np.full(parts, SHARE / parts), 1.0 - SHARE)
    weights, likely = prior, np.exp(logs - logs.max(axis=1, keepdims=True))
    for _ in range(ROUNDS):
        share = likely * weights
        weights = (counts / counts.sum()) @ (share / share.sum(axis=1, keepdims=True))
    return np.asarray((families * weights + DOUBT * prior) / (families + DOUBT))[:-1]

"""The components of a mixture: Gaussian priors, and how much each is believed beforehand.

A component sees how alike settings are in one view, and is about the history's mean, half
of it or none. Its covariance blends the history's own with the view's, at some scale, and its
trials have some noise. Which of the very many deserve belief is learnt from history itself:
every family in turn is taken for the new step, and the weights are those that make what it
showed most likely on average (a few steps of expectation maximisation over the weights). So
a history in which steps do not resemble each other is known for it before the first trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.history import History
from optimizer.search.kernels import LENGTHS, Kernels
from optimizer.search.learnt import Learnt

Array: TypeAlias = NDArray[Any]

TRUSTS: Final = (
    (1.0, (0.0, 0.5, 0.85), (0.5, 1.0, 2.0, 4.0)),
    (0.5, (0.0, 0.5), (0.5, 1.0, 2.0)),
)
"""How much of the history's mean is used, with the shares of its covariance and the scales."""
FLAT_SCALES: Final = (0.5, 1.0, 3.0)
FLAT_SHARE: Final = 0.15
"""The prior weight of the components that know no history's mean."""
ALONE_VARIANCES: Final = (0.05, 0.2, 0.8, 3.0)
"""Variances of the components when there is no history at all."""
NOISES: Final = (0.02, 0.08)
"""Standard deviations of one trial's log outcome beyond what the model knows."""
LEVEL: Final = 25.0
"""Variance of a step's own level: it is as good as unknown."""
DEFAULT_SHARE: Final = 0.3
"""The prior weight of the views that see columns alike, whatever history says."""
KEPT: Final = (48, 24)
"""So many of the components that history believes in take part: about its mean, and flat."""
SETTINGS: Final = 24
"""How many settings of a family's step are looked at when weights are learnt."""
TEMPER: Final = 0.5
"""The weight of one setting's evidence: they are not as independent as the model says."""
ROUNDS: Final = 3
DOUBT: Final = 2.0
"""What is not learnt counts as much as so many families."""
JITTER: Final = 1e-8
_NOTHING: Final = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Parallel arrays, one entry a component.

    The covariance is ``learnt`` × the history's + ``alike`` × the view's (in units of the
    history's own variance), about ``uses`` × the history's mean.
    """

    view: Array
    uses: Array
    learnt: Array
    alike: Array
    noise: Array
    log_prior: Array

    def __len__(self) -> int:
        return len(self.view)

    def amount(self, history: Learnt) -> Array:
        """Return the variance that each component gives its view."""
        return self.alike * np.where(self.uses > 0, history.alike, history.total)

    def believed(self, index: Array, share: Array) -> Components:
        """Return some components, with their prior weights."""
        return Components(
            self.view[index], self.uses[index], self.learnt[index], self.alike[index],
            self.noise[index], np.log(share + _NOTHING),
        )  # fmt: skip

    @classmethod
    def joined(cls, one: Components, other: Components) -> Components:
        """Return two lots of components as one."""
        pairs = [(getattr(one, name), getattr(other, name)) for name in cls.__dataclass_fields__]
        return cls(*(np.concatenate(pair) for pair in pairs))


def alone(views: int) -> Components:
    """Return the components of a step that nothing is known of."""
    found = [
        (view, 0, 0.0, variance, noise)
        for view in range(views)
        for variance in ALONE_VARIANCES
        for noise in NOISES
    ]
    return _listed(found, np.zeros(len(found)))


def many(views: int) -> Components:
    """Return every component of these views, before anything is learnt."""
    found, shares = [], []
    blended = [
        (trust, blend, scale, noise)
        for trust, blends, scales in TRUSTS
        for blend in blends
        for scale in scales
        for noise in NOISES
    ]
    flat = [(s, n) for s in FLAT_SCALES for n in NOISES]
    for view in range(views):
        found += [(view, t, s * b, s * (1.0 - b), n) for t, b, s, n in blended]
        found += [(view, 0, 0.0, s, n) for s, n in flat]
        shares += [(1.0 - FLAT_SHARE) / (views * len(blended))] * len(blended)
        shares += [FLAT_SHARE / (views * len(flat))] * len(flat)
    return _listed(found, np.log(shares))


def _listed(found: Sequence[tuple[float, ...]], log_prior: Array) -> Components:
    view, uses, learnt, alike, noise = np.asarray(found, float).T
    return Components(view.astype(int), uses, learnt, alike, noise, log_prior)


def chosen(kernels: Kernels, history: History) -> Components:
    """Return the components that history believes in, beside the plain ones."""
    plain = many(len(LENGTHS))
    if len(set(history.families)) < 2:
        return plain
    every = many(len(kernels))
    weights = _learnt_weights(every, kernels, history)
    best = np.concatenate(
        [_best(weights, every.uses > 0, KEPT[0]), _best(weights, every.uses == 0, KEPT[1])]
    )
    share = (1.0 - DEFAULT_SHARE) * _doubted(weights[best], every.uses[best] == 0)
    rest = plain.believed(np.arange(len(plain)), DEFAULT_SHARE * np.exp(plain.log_prior))
    return Components.joined(every.believed(best, share), rest)


def _best(weights: Array, among: Array, many: int) -> Array:
    """The greatest of some weights, by index."""
    return np.argsort(np.where(among, -weights, 1.0), kind="stable")[:many]


def _doubted(weights: Array, flat: Array) -> Array:
    """Shares of 1 in which no history is believed beyond all doubt."""
    share = weights / weights.sum()
    held = max(float(share[flat].sum()), FLAT_SHARE)
    within = np.where(flat, weights[flat].sum(), weights[~flat].sum()) + _NOTHING
    return np.asarray(np.where(flat, held, 1.0 - held) * (weights + _NOTHING) / within)


def _learnt_weights(every: Components, kernels: Kernels, history: History) -> Array:
    """The weights under which each family's steps are likely, given the other families."""
    rows, counts = history.warped(), history.weights()
    families = np.asarray(history.families)
    order = np.random.default_rng(0).permutation(rows.shape[1])
    logs = np.zeros((len(rows), len(every)))
    for family in sorted(set(history.families)):
        own = families == family
        others = Learnt.of(rows[~own], counts[~own], kernels.near)
        for step in np.flatnonzero(own):
            index = order[np.isfinite(rows[step][order])][:SETTINGS]
            logs[step] = TEMPER * evidence(every, kernels, others, index, rows[step][index])
    likely = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights = np.exp(every.log_prior)
    for _ in range(ROUNDS):
        share = likely * weights
        weights = (counts / counts.sum()) @ (share / share.sum(axis=1, keepdims=True))
    families_seen = len(set(history.families))
    prior = np.exp(every.log_prior)
    return np.asarray((families_seen * weights + DOUBT * prior) / (families_seen + DOUBT))


def evidence(c: Components, kernels: Kernels, others: Learnt, index: Array, told: Array) -> Array:
    """The log likelihood by component of one step's outcomes under some settings."""
    near = kernels.rows(index)[:, :, index]
    covariance = c.amount(others)[:, None, None] * near[c.view] + LEVEL
    covariance += c.learnt[:, None, None] * others.covariance[np.ix_(index, index)]
    here = np.arange(len(index))
    covariance[:, here, here] += (c.noise**2 + JITTER)[:, None]
    factor = np.linalg.cholesky(covariance)
    apart = forward(factor, told - c.uses[:, None] * others.mean[index])
    heights = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(-0.5 * (apart * apart).sum(axis=1) - heights)


def forward(factor: Array, right: Array) -> Array:
    """Solve lower triangular systems side by side: components × n."""
    found = np.zeros_like(right)
    for row in range(right.shape[1]):
        done = np.einsum("ck,ck->c", factor[:, row, :row], found[:, :row])
        found[:, row] = (right[:, row] - done) / factor[:, row, row]
    return found

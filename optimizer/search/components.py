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
from optimizer.search.recalled import Recalled, name_of
from optimizer.search.sized import Known, telling

Array: TypeAlias = NDArray[Any]

TRUSTS: Final = (
    (1.0, 0.0, (0.0, 0.5, 0.85), (0.5, 1.0, 2.0, 4.0)),
    (1.0, 1.0, (0.0, 0.5, 0.85), (0.5, 1.0, 2.0, 4.0)),
    (0.5, 0.0, (0.0, 0.5), (0.5, 1.0, 2.0)),
)
"""How much of the history's mean is used, and how much of what a step's size says (see
`sized`), with the shares of its covariance and the scales."""
FLAT_SCALES: Final = (0.5, 1.0, 3.0)
FLAT_SHARE: Final = 0.15
"""The prior weight of the components that know no history's mean."""
HELD: Final = 0.1
"""They keep so much of it, whatever history says: it may mislead."""
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
_WEIGHTS: Final[Recalled[Array]] = Recalled(64)


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Parallel arrays, one entry a component.

    The covariance is ``learnt`` × the history's + ``alike`` × the view's (in units of the
    history's own variance), about ``uses`` × the history's mean, in which the step's size
    counts ``sized`` times.
    """

    view: Array
    uses: Array
    sized: Array
    learnt: Array
    alike: Array
    noise: Array
    log_prior: Array

    def __len__(self) -> int:
        return len(self.view)

    def means(self, mean: Array, shift: Array) -> Array:
        """Return what each is about, by setting: the history's mean, and what a size adds."""
        return np.asarray(self.uses[:, None] * (mean + self.sized[:, None] * shift))

    def covariances(self, known: Known, at: Any, near: Array) -> Array:
        """Return each one's covariance ``at`` some places, where views are ``near`` so far."""
        wide = (-1,) + (1,) * (near.ndim - 1)
        learnt = np.stack([known.plain.covariance[at], known.sized.covariance[at]])
        own = self.learnt.reshape(wide) * learnt[self.sized.astype(int)]
        return np.asarray(own + self._amount(known).reshape(wide) * near[self.view])

    def _amount(self, known: Known) -> Array:
        """The variance that each component gives its view."""
        about = np.where(self.sized > 0, known.sized.alike, known.plain.alike)
        return self.alike * np.where(self.uses > 0, about, known.plain.total)

    def believed(self, index: Array, share: Array) -> Components:
        """Return some components, with their prior weights."""
        return Components(
            self.view[index], self.uses[index], self.sized[index], self.learnt[index],
            self.alike[index], self.noise[index], np.log(share + _NOTHING),
        )  # fmt: skip

    @classmethod
    def joined(cls, one: Components, other: Components) -> Components:
        """Return two lots of components as one."""
        pairs = [(getattr(one, name), getattr(other, name)) for name in cls.__dataclass_fields__]
        return cls(*(np.concatenate(pair) for pair in pairs))


def alone(views: int) -> Components:
    """Return the components of a step that nothing is known of."""
    found = [
        (view, 0, 0, 0.0, variance, noise)
        for view in range(views)
        for variance in ALONE_VARIANCES
        for noise in NOISES
    ]
    return _listed(found, np.zeros(len(found)))


def many(views: int, *, sized: bool = True) -> Components:
    """Return every component of these views, before anything is learnt."""
    found, shares = [], []
    blended = [
        (trust, size, blend, scale, noise)
        for trust, size, blends, scales in TRUSTS
        if sized or not size
        for blend in blends
        for scale in scales
        for noise in NOISES
    ]
    flat = [(s, n) for s in FLAT_SCALES for n in NOISES]
    for view in range(views):
        found += [(view, t, z, s * b, s * (1.0 - b), n) for t, z, b, s, n in blended]
        found += [(view, 0, 0, 0.0, s, n) for s, n in flat]
        shares += [(1.0 - FLAT_SHARE) / (views * len(blended))] * len(blended)
        shares += [FLAT_SHARE / (views * len(flat))] * len(flat)
    return _listed(found, np.log(shares))


def _listed(found: Sequence[tuple[float, ...]], log_prior: Array) -> Components:
    view, uses, sized, learnt, alike, noise = np.asarray(found, float).T
    return Components(view.astype(int), uses, sized, learnt, alike, noise, log_prior)


def chosen(kernels: Kernels, history: History, *, sized: bool = True) -> Components:
    """Return the components that history believes in, beside the plain ones."""
    sized = sized and telling(history.families)
    plain = many(len(LENGTHS), sized=sized)
    if len(set(history.families)) < 2:
        return plain
    every = many(len(kernels), sized=sized)
    seen = [kernels.features, kernels.lengths, kernels.linear, history.rows, history.warped()]
    name = name_of(seen, history.families, sized)
    weights = _WEIGHTS.of(name, lambda: _learnt_weights(every, kernels, history))
    weights = _doubted(weights, every.uses == 0)
    best = np.concatenate(
        [_best(weights, every.uses > 0, KEPT[0]), _best(weights, every.uses == 0, KEPT[1])]
    )
    share = (1.0 - DEFAULT_SHARE) * weights[best] / weights[best].sum()
    doubt = DEFAULT_SHARE * _by_kind(plain, every, weights)
    rest = plain.believed(np.arange(len(plain)), doubt)
    return Components.joined(every.believed(best, share), rest)


def _by_kind(plain: Components, every: Components, weights: Array) -> Array:
    """Shares of 1 of the plain components: a kind of mean has what history has learnt of it.

    They are kept for doubt about how settings are alike, not about what they are about.
    """
    one, other = (2.0 * c.uses + 4.0 * c.sized for c in (plain, every))
    learnt = np.asarray([weights[other == kind].sum() for kind in one])
    alike = np.asarray([(one == kind).sum() for kind in one])
    share = learnt / alike
    return np.asarray(share / share.sum())


def _doubted(weights: Array, flat: Array) -> Array:
    """Shares of 1 in which no history is believed beyond all doubt."""
    share = weights / weights.sum()
    held = max(float(share[flat].sum()), HELD)
    within = np.where(flat, share[flat].sum(), share[~flat].sum())
    return np.asarray(np.where(flat, held, 1.0 - held) * share / within)


def _best(weights: Array, among: Array, many: int) -> Array:
    """The greatest of some weights, by index."""
    return np.argsort(np.where(among, -weights, 1.0), kind="stable")[:many]


def _learnt_weights(every: Components, kernels: Kernels, history: History) -> Array:
    """The weights under which each family's steps are likely, given the other families."""
    rows, counts = history.warped(), history.weights()
    families = np.asarray(history.families)
    order = np.random.default_rng(0).permutation(rows.shape[1])
    logs = np.zeros((len(rows), len(every)))
    for family in sorted(set(history.families)):
        own = families == family
        rest = Known.of(history.of_steps(~own), kernels.near, sized=bool(every.sized.any()))
        for step in np.flatnonzero(own):
            index = order[np.isfinite(rows[step][order])][:SETTINGS]
            told, outcomes = rows[step][index], history.rows[step][index]
            logs[step] = TEMPER * evidence(every, kernels, rest, index, told, outcomes)
    likely = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights = np.exp(every.log_prior)
    for _ in range(ROUNDS):
        share = likely * weights
        weights = (counts / counts.sum()) @ (share / share.sum(axis=1, keepdims=True))
    families_seen = len(set(history.families))
    prior = np.exp(every.log_prior)
    return np.asarray((families_seen * weights + DOUBT * prior) / (families_seen + DOUBT))


def evidence(
    c: Components, kernels: Kernels, rest: Known, index: Array, told: Array, outcomes: Array
) -> Array:
    """The log likelihood by component of one step's distances under some settings.

    Its log outcomes say how large it is.
    """
    near = kernels.rows(index)[:, :, index]
    covariance = c.covariances(rest, np.ix_(index, index), near) + LEVEL
    here = np.arange(len(index))
    covariance[:, here, here] += (c.noise**2 + JITTER)[:, None]
    factor = np.linalg.cholesky(covariance)
    shift = rest.sizes.shift(index, outcomes)[index]
    apart = forward(factor, told - c.means(rest.plain.mean[index], shift))
    heights = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(-0.5 * (apart * apart).sum(axis=1) - heights)


def forward(factor: Array, right: Array) -> Array:
    """Solve lower triangular systems side by side: components × n."""
    found = np.zeros_like(right)
    for row in range(right.shape[1]):
        done = np.einsum("ck,ck->c", factor[:, row, :row], found[:, :row])
        found[:, row] = (right[:, row] - done) / factor[:, row, row]
    return found

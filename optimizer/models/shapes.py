"""What a few measured batch sizes say of all others: a fan of shapes, weighed by how they fit.

A shape is log seconds against log size. All that there may be are in the fan (`outlines`);
beside them are the curves that other steps have had, at their own sizes and moved along, those
that resemble this step with more weight, so that what is known of the hardware is borrowed
(partial pooling). Each shape may be off by a smooth residual, and each size by a roughness of
its own (`roughness`); the level is free. What was measured stays as it was measured. Weights
are the likelihoods of the sizes that were measured. Far from them shapes disagree, which is
what keeps a choice near home: from sizes close together nothing far away can be said.

>>> sizes, seconds = [10, 80, 640], [1.1, 1.8, 7.4]  # 1 + n/100
>>> fan = fit(sizes, seconds, [0.0, 0.0, 0.0])
>>> bool(2.7 < fan.seconds([200])[0] < 3.3), bool(fan.chance_above([200], 3.7)[0] < 0.05)
(True, True)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer.models.outlines import outlines
from optimizer.models.roughness import Curve, Roughness, learnt

Array: TypeAlias = NDArray[Any]

BORROWED: Final = 24
"""Curves of others that are looked at; of more those that weigh most, and a sample of the rest."""
MOVES: Final = np.arange(-3.0, 3.01, 0.5)
OWN_SHARE: Final = (0.4, 0.4, 0.2)
"""Prior shares: outlines, others' curves as they are, others' curves moved along."""
FAINT: Final = 8.0
"""Shapes whose log weight is further below the best one's are left out."""
LEVEL: Final = 25.0
"""Prior variance of a shape's level: it is free."""
NEAR: Final = 0.35
"""How far to either side, in log size, a shape is looked at to see how steep it is."""
LEAST: Final = 1e-8
"""The least variance that is told."""
SAME: Final = 1e-9
"""Log sizes that are closer are one size."""


@dataclass(frozen=True, slots=True)
class Off:
    """By how much shapes of one kind are off: spread and length (in log size) of a residual."""

    spread: float
    length: float

    def between(self, one: Array, two: Array) -> Array:
        """Return the covariance (Matérn 3/2), a free level included."""
        far = np.sqrt(3.0) * np.abs(one[:, None] - two[None, :]) / self.length
        return np.asarray(self.spread**2 * (1.0 + far) * np.exp(-far) + LEVEL)


DRAWN, LENT = Off(0.08, 2.0), Off(0.05, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Shapes of one kind: log seconds at any log sizes, one row a shape, with prior shares."""

    at: Callable[[Array], Array]
    off: Off
    shares: Array

    def seen(self, x: Array) -> tuple[Array, Array]:
        """Return log seconds at log sizes ``x``, and the power of size with which they grow."""
        here, after, before = np.split(self.at(np.concatenate([x, x + NEAR, x - NEAR])), 3, axis=1)
        return here, (after - before) / (2.0 * NEAR)


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """Log seconds at some sizes: a mixture of normals, one row a shape."""

    means: Array
    variances: Array
    weights: Array

    @property
    def mean(self) -> Array:
        """The expected log seconds."""
        return np.asarray(self.weights @ self.means)

    @property
    def spread(self) -> Array:
        """The standard deviation of log seconds."""
        square = self.weights @ (self.means**2 + self.variances)
        return np.asarray(np.sqrt(np.maximum(square - self.mean**2, 0.0)))

    def below(self, log_seconds: ArrayLike) -> Array:
        """Return the chance of taking no longer."""
        from scipy.special import ndtr

        z = (np.asarray(log_seconds) - self.means) / np.sqrt(self.variances)
        return np.asarray(self.weights @ ndtr(z))

    def likely(self, log_seconds: ArrayLike) -> Array:
        """Return the log density of these log seconds, size by size."""
        z = (np.asarray(log_seconds) - self.means) ** 2 / self.variances
        each = np.exp(-z / 2.0) / np.sqrt(2.0 * np.pi * self.variances)
        return np.asarray(np.log(np.maximum(self.weights @ each, 1e-300)))


@dataclass(frozen=True, slots=True, eq=False)
class Fan:
    """The shapes with what was measured, ``errors`` being those of its logs."""

    log_sizes: Array
    log_seconds: Array
    errors: Array
    kinds: tuple[Kind, ...]
    rough: Roughness

    def at(self, sizes: ArrayLike) -> Belief:
        """Return what is believed of these sizes, the roughness of those not measured included."""
        x = np.log(np.asarray(sizes, float))
        held = [_Held.of(self, kind) for kind in self.kinds]
        top = max(float(one.logs.max()) for one in held)
        parts = [one.at(x, top) for one in held]
        weights = np.concatenate([part[2] for part in parts])
        return Belief(
            np.concatenate([part[0] for part in parts]),
            np.concatenate([part[1] for part in parts]),
            weights / weights.sum(),
        )

    def seconds(self, sizes: ArrayLike) -> Array:
        """Return the expected seconds."""
        return np.asarray(np.exp(self.at(sizes).mean))

    def chance_above(self, sizes: ArrayLike, limit: float) -> Array:
        """Return the chance that a size takes longer than ``limit``."""
        return np.asarray(1.0 - self.at(sizes).below(np.log(limit)))


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """The shapes of one kind held against what was measured; ``logs`` are log weights."""

    fan: Fan
    kind: Kind
    inverse: Array
    rough: Array
    shift: Array
    rest: Array
    logs: Array

    @classmethod
    def of(cls, fan: Fan, kind: Kind) -> _Held:
        x = fan.log_sizes
        here, steep = kind.seen(x)
        rough = fan.rough.spread(steep) ** 2
        own = (rough + fan.errors**2)[:, :, None] * np.eye(len(x))
        cov = kind.off.between(x, x) + own
        inverse = np.linalg.inv(cov)
        shift = (fan.log_seconds - here).mean(axis=1)
        rest = fan.log_seconds - here - shift[:, None]
        fits = np.einsum("pi,pij,pj->p", rest, inverse, rest) + np.linalg.slogdet(cov)[1]
        return cls(fan, kind, inverse, rough, shift, rest, np.log(kind.shares) - fits / 2.0)

    def at(self, x: Array, top: float) -> tuple[Array, Array, Array]:
        """Means, variances and weights of all but faint shapes at log sizes ``x``."""
        some = np.flatnonzero(self.logs > top - FAINT)
        there, steep = (part[some] for part in self.kind.seen(x))
        off, known = self.kind.off, self.fan.log_sizes
        toward = off.between(x, known)
        gain = toward @ self.inverse[some]
        means = there + self.shift[some, None] + (gain @ self.rest[some, :, None])[:, :, 0]
        variance = off.spread**2 + LEVEL - np.einsum("pxk,xk->px", gain, toward)
        variance = variance + self.fan.rough.spread(steep) ** 2
        for place, own in zip(*np.nonzero(np.abs(x[:, None] - known) < SAME), strict=True):
            means[:, place], variance[:, place] = self._measured(some, toward[place], own)
            means[:, place] += there[:, place] + self.shift[some]
        return means, np.maximum(variance, LEAST), np.exp(self.logs[some] - top)

    def _measured(self, some: Array, toward: Array, own: int) -> tuple[Array, Array]:
        """What is believed of a size that was measured, whose roughness is in what was seen."""
        rough = self.rough[some, own]
        both = np.repeat(toward[None, :], len(some), axis=0)
        both[:, own] += rough
        gain = np.einsum("pk,pkl->pl", both, self.inverse[some])
        variance = self.kind.off.spread**2 + LEVEL + rough - (gain * both).sum(axis=1)
        return (gain * self.rest[some]).sum(axis=1), variance


def fit(
    sizes: Sequence[float], seconds: Sequence[float], errors: Sequence[float],
    others: Sequence[Curve] = (), reach: tuple[float, float] | None = None,
    pulls: Sequence[float] | None = None,
) -> Fan:  # fmt: skip
    """Return the fan through mean seconds by size, each with the error of its log.

    ``reach`` are the least and the greatest size that will be asked about, ``pulls`` say how
    much each of ``others`` weighs (all alike without).

    Raises:
        ValueError: no size was measured.
    """
    if not len(sizes):
        raise ValueError("a fan needs a measured size")
    x = np.log(np.asarray(sizes, float))
    low, high = np.log(reach) if reach else (x.min() - 1.0, x.max() + 1.0)
    noise = np.asarray(errors, float)
    return Fan(
        x, np.log(np.asarray(seconds, float)), noise, kinds(low, high, others, pulls),
        learnt(others, pulls),
    )  # fmt: skip


def kinds(
    low: float, high: float, others: Sequence[Curve], pulls: Sequence[float] | None = None
) -> tuple[Kind, ...]:
    """Return the shapes to weigh; they bend about the log sizes ``low`` to ``high``."""
    drawn, still, moved = OWN_SHARE
    plain = outlines(low, high)
    many = len(plain(np.zeros(1)))
    weights = np.ones(len(others)) if pulls is None else np.asarray(pulls, float)
    lent = [place for place, (sizes, _) in enumerate(others) if len(sizes) >= 3]
    if not lent:
        return (Kind(plain, DRAWN, np.full(many, drawn / many)),)
    chance = np.random.default_rng(3).random(len(others))
    lent = sorted(sorted(lent, key=lambda at: (-weights[at], chance[at]))[:BORROWED])
    curves, weight = [others[at] for at in lent], weights[lent] / weights[lent].sum()
    each = np.repeat(weight, len(MOVES)) / len(MOVES)
    return (
        Kind(plain, DRAWN, np.full(many, drawn / many)),
        Kind(_lent(curves, np.zeros(1)), LENT, still * weight),
        Kind(_lent(curves, MOVES), LENT, moved * each),
    )


def _lent(curves: Sequence[Curve], moves: Array) -> Callable[[Array], Array]:
    """Others' curves, moved along by each of ``moves``; carried on beyond their ends."""
    logs = [(np.log(np.asarray(n, float)), np.log(np.asarray(t, float))) for n, t in curves]

    def at(x: Array) -> Array:
        every = x[None, :] + moves[:, None]
        return np.concatenate([_carried_on(n, t, every) for n, t in logs])

    return at


def _carried_on(n: Array, t: Array, x: Array) -> Array:
    first = min(max((t[2] - t[0]) / (n[2] - n[0]), 0.0), 1.0)
    last = min(max((t[-1] - t[-3]) / (n[-1] - n[-3]), 0.0), 1.3)
    beyond = last * np.maximum(x - n[-1], 0.0) - first * np.maximum(n[0] - x, 0.0)
    return np.asarray(np.interp(x, n, t) + beyond)

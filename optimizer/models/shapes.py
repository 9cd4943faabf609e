"""What a few measured batch sizes say of all others: a fan of shapes, weighed by how they fit.

A shape is log seconds against log size: flat until the device is full, then fixed part,
part per item and bend, none below zero; every such shape there may be is in the fan. Beside
them are the curves that other steps have had, at their own sizes and moved along, so that
what is known of the hardware is borrowed (partial pooling). Each shape may be off by a
smooth residual and by the roughness that other curves show; the level is free. Weights are
the likelihoods of the sizes that were measured. Far from them shapes disagree, which is
what keeps a choice near home: from sizes close together nothing far away can be said.

>>> sizes, seconds = [10, 80, 640], [1.1, 1.8, 7.4]  # 1 + n/100
>>> fan = fit(sizes, seconds, [0.0, 0.0, 0.0])
>>> bool(2.7 < fan.seconds([200])[0] < 3.3), bool(fan.chance_above([200], 3.6)[0] < 0.05)
(True, True)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[Any]
Curve: TypeAlias = tuple[Sequence[float], Sequence[float]]
"""Sizes, ascending, and the seconds of each."""

PLAIN: Final = 1500
"""Shapes drawn from all there may be."""
BORROWED: Final = 24
"""Curves of others that are looked at; of more a sample is drawn."""
MOVES: Final = np.arange(-3.0, 3.01, 0.5)
OWN_SHARE: Final = (0.4, 0.4, 0.2)
"""Prior shares: drawn shapes, others' curves as they are, others' curves moved along."""
ROUGH: Final = 0.03
"""Roughness of log seconds from one size to the next, where no other curve tells."""
FAINT: Final = 8.0
"""Shapes whose log weight is further below the best one's are left out."""
LEVEL: Final = 25.0
"""Prior variance of a shape's level: it is free."""


@dataclass(frozen=True, slots=True)
class Off:
    """By how much shapes of one kind are off: spread and length (in log size) of a residual."""

    spread: float
    length: float

    def between(self, one: Array, two: Array) -> Array:
        """Return the covariance (Matérn 3/2), a free level included."""
        far = np.sqrt(3.0) * np.abs(one[:, None] - two[None, :]) / self.length
        return np.asarray(self.spread**2 * (1.0 + far) * np.exp(-far) + LEVEL)


DRAWN, LENT = Off(0.12, 2.0), Off(0.05, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Shapes of one kind: log seconds at any log sizes, one row a shape, with a prior share."""

    at: Callable[[Array], Array]
    off: Off
    share: float


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


@dataclass(frozen=True, slots=True, eq=False)
class Fan:
    """The shapes with what was measured."""

    log_sizes: Array
    log_seconds: Array
    noise: Array
    kinds: tuple[Kind, ...]
    rough: float

    def at(self, sizes: ArrayLike) -> Belief:
        """Return what is believed of these sizes, roughness included."""
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
    shift: Array
    rest: Array
    logs: Array

    @classmethod
    def of(cls, fan: Fan, kind: Kind) -> _Held:
        here = kind.at(fan.log_sizes)
        cov = kind.off.between(fan.log_sizes, fan.log_sizes) + np.diag(fan.noise**2)
        inverse = np.linalg.inv(cov)
        shift = (fan.log_seconds - here).mean(axis=1)
        rest = fan.log_seconds - here - shift[:, None]
        fits = np.einsum("pi,ij,pj->p", rest, inverse, rest) + np.linalg.slogdet(cov)[1]
        return cls(fan, kind, inverse, shift, rest, np.log(kind.share / len(here)) - fits / 2.0)

    def at(self, x: Array, top: float) -> tuple[Array, Array, Array]:
        """Means, variances and weights of all but faint shapes at log sizes ``x``."""
        some = np.flatnonzero(self.logs > top - FAINT)
        off, there = self.kind.off, self.kind.at(x)[some]
        toward = off.between(x, self.fan.log_sizes)
        gain = toward @ self.inverse
        variance = off.spread**2 + LEVEL + self.fan.rough**2 - (gain * toward).sum(axis=1)
        means = there + self.shift[some, None] + self.rest[some] @ gain.T
        spread = np.broadcast_to(np.maximum(variance, 1e-12), means.shape)
        return means, spread, np.exp(self.logs[some] - top)


def fit(
    sizes: Sequence[float], seconds: Sequence[float], errors: Sequence[float],
    others: Sequence[Curve] = (), reach: tuple[float, float] | None = None,
) -> Fan:  # fmt: skip
    """Return the fan through mean seconds by size, each with the error of its log.

    ``reach`` are the least and the greatest size that will be asked about.

    Raises:
        ValueError: no size was measured.
    """
    if not len(sizes):
        raise ValueError("a fan needs a measured size")
    x = np.log(np.asarray(sizes, float))
    rough = roughness(others)
    low, high = np.log(reach) if reach else (x.min() - 1.0, x.max() + 1.0)
    noise = np.hypot(np.asarray(errors, float), rough)
    return Fan(x, np.log(np.asarray(seconds, float)), noise, kinds(low, high, others), rough)


def roughness(others: Sequence[Curve]) -> float:
    """Return how rough a curve may be: the spread of a size around its two neighbours.

    Two thirds of the other curves are smoother.
    """
    found = [_rough(*curve) for curve in others if len(curve[0]) >= 5]
    return float(np.quantile(found, 2 / 3)) if found else ROUGH


def _rough(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(seconds, float))
    share = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    bend = y[1:-1] - (1.0 - share) * y[:-2] - share * y[2:]
    return float((bend / np.sqrt(1.0 + share**2 + (1.0 - share) ** 2)).std())


def kinds(low: float, high: float, others: Sequence[Curve]) -> tuple[Kind, ...]:
    """Return the shapes to weigh; they bend about the log sizes ``low`` to ``high``."""
    drawn, still, moved = OWN_SHARE
    plain = Kind(_drawn(low, high), DRAWN, drawn)
    lent = [one for one in others if len(one[0]) >= 3]
    if not lent:
        return (plain,)
    if len(lent) > BORROWED:
        some = np.random.default_rng(3).choice(len(lent), BORROWED, replace=False)
        lent = [lent[i] for i in sorted(some)]
    return (
        plain, Kind(_lent(lent, np.zeros(1)), LENT, still), Kind(_lent(lent, MOVES), LENT, moved)
    )  # fmt: skip


def _drawn(low: float, high: float) -> Callable[[Array], Array]:
    """Shapes of all sorts, always the same; they bend somewhere about ``low`` to ``high``."""
    rng = np.random.default_rng(7)
    knee = rng.uniform(low - 2.0, high + 1.0, PLAIN)[:, None]
    fixed = np.where(rng.random(PLAIN) < 0.3, 0.0, rng.random(PLAIN))[:, None]
    flat = (rng.random(PLAIN) < 0.5)[:, None]
    bend = np.exp(rng.uniform(np.log(0.005), np.log(0.5), PLAIN))
    bend = np.where(rng.random(PLAIN) < 0.5, 0.0, bend)[:, None]
    sharp = np.exp(rng.uniform(np.log(2.0), np.log(16.0), PLAIN))[:, None]

    def at(x: Array) -> Array:
        u = np.exp(np.clip(x[None, :] - knee, -30.0, 6.0))
        rising = np.log(np.maximum(fixed + (1.0 - fixed) * u + bend * u * u * np.exp(-3.0), 1e-12))
        held = rising + np.log1p(np.exp(np.clip(-sharp * rising, -50.0, 50.0))) / sharp
        return np.asarray(np.where(flat, held, rising))

    return at


def _lent(curves: Sequence[Curve], moves: Array) -> Callable[[Array], Array]:
    """Others' curves, moved along by each of ``moves``; carried on beyond their ends."""
    logs = [(np.log(np.asarray(n, float)), np.log(np.asarray(t, float))) for n, t in curves]

    def at(x: Array) -> Array:
        return np.stack([_carried_on(n, t, x + move) for n, t in logs for move in moves])

    return at


def _carried_on(n: Array, t: Array, x: Array) -> Array:
    first = np.clip((t[2] - t[0]) / (n[2] - n[0]), 0.0, 1.0)
    last = np.clip((t[-1] - t[-3]) / (n[-1] - n[-3]), 0.0, 1.3)
    inside = np.interp(x, n, t)
    beyond = np.where(x > n[-1], last * (x - n[-1]), 0.0)
    return np.asarray(inside + beyond + np.where(x < n[0], first * (x - n[0]), 0.0))

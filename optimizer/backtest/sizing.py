"""Batch sizes under a limit: what a few logged sizes say, on measured curves.

For each curve and seed three sizes are logged, spread over the curve or next to each other,
and a limit is drawn; the largest throughput within the limit is the oracle's. Ours is the
fan of `optimizer.models`; the others are the usual curves with a margin of 5%, by least
squares on relative error (power: on logs). Only curves with ten sizes or more choose.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest.curves import DENSE, Curve
from optimizer.models.lending import Lending, earned_by
from optimizer.models.roughness import learnt
from optimizer.models.shapes import NEAR, Fan, Kind, kinds
from optimizer.models.sizing import SLACK, choose, largest

Array: TypeAlias = NDArray[Any]
Json: TypeAlias = Any
Design: TypeAlias = Literal["spread", "near"]
Fit: TypeAlias = Callable[[Array, Array], Callable[[Array], Array]]

OURS: Final = "trimtab"
MARGIN: Final = 1.05
"""A baseline keeps this far from the limit."""


@dataclass(frozen=True, slots=True)
class Logged:
    """Which sizes of a curve were logged, which of them is the stable one, and the limit."""

    places: Array
    stable: int
    limit: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a method made of it; ``place`` is None where it chooses nothing."""

    error: float
    covered: float
    place: int | None
    seconds: float


def logged(curve: Curve, design: Design, seed: int) -> Logged:
    """Draw what is logged of a curve; the same seed draws the same for every method."""
    rng = np.random.default_rng([seed, zlib.crc32(curve.name.encode())])
    many = len(curve.sizes)
    if design == "near":
        first = int(rng.integers(0, many - 2))
        places = np.arange(first, first + 3)
    else:
        jitter = rng.uniform(-0.4, 0.4, 3) * (many - 1) / 3 if many > 6 else 0.0
        spread = np.round(np.linspace(0, many - 1, 3) + jitter)
        places = np.unique(spread.clip(0, many - 1).astype(int))
    low, high = curve.seconds.min() * 1.1, curve.seconds.max() * 0.98
    limit = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return Logged(places, int(places[len(places) // 2]), limit)


def ours(curve: Curve, lent: Lending) -> Callable[[Logged], Chosen]:
    """Return our way with one curve, what is borrowed for it worked out once."""
    x, pulls = np.log(curve.sizes), lent.pulls()
    rough = learnt(lent.curves, pulls)
    known = tuple(_tabled(kind, x) for kind in kinds(x[0], x[-1], lent.curves, pulls))

    def way(seen: Logged) -> Chosen:
        began = time.perf_counter()
        here = seen.places
        exact = np.zeros(len(here))
        fan = Fan(x[here], np.log(curve.seconds[here]), exact, known, rough)
        belief = fan.at(curve.sizes)
        most = largest(list(curve.sizes[here]), float(curve.sizes[seen.stable]))
        place = choose(fan, list(curve.sizes), seen.limit, most)
        chance = belief.below(np.log(curve.seconds))
        rest = np.setdiff1d(np.arange(len(x)), here)
        inside = ((chance > 0.05) & (chance < 0.95))[rest]
        error = _error(np.exp(belief.mean), curve, rest)
        return Chosen(error, float(inside.mean()), place, time.perf_counter() - began)

    return way


def _tabled(kind: Kind, x: Array) -> Kind:
    """The same shapes, worked out once at the sizes of one curve."""
    every = np.unique(np.concatenate([x - NEAR, x, x + NEAR]))
    table = kind.at(every)
    return Kind(lambda at: table[:, np.searchsorted(every, at - 1e-9)], kind.off, kind.shares)


def usual(fit: Fit, curve: Curve) -> Callable[[Logged], Chosen]:
    """Return the way of a usual curve with one curve."""

    def way(seen: Logged) -> Chosen:
        began = time.perf_counter()
        here, n = seen.places, curve.sizes
        expected = fit(n[here], curve.seconds[here])(n)
        fits = expected * MARGIN <= seen.limit
        best = int(np.argmax(np.where(fits, n / expected, -1.0))) if fits.any() else 0
        rest = np.setdiff1d(np.arange(len(n)), here)
        error = _error(expected, curve, rest)
        return Chosen(error, float("nan"), best, time.perf_counter() - began)

    return way


def _error(expected: Array, curve: Curve, rest: Array) -> float:
    return float(np.abs(expected[rest] / curve.seconds[rest] - 1.0).mean())


# ---- the usual curves ---------------------------------------------------------------------


def polynomial(n: Array, t: Array, degree: int = 2) -> Callable[[Array], Array]:
    """A non-negative polynomial by least squares on relative error."""
    from scipy.optimize import nnls

    powers = range(min(degree, len(n) - 1) + 1)
    unit = [n.max() ** k for k in powers]
    design = np.stack([n**k / u for k, u in zip(powers, unit, strict=True)], axis=1)
    weights, _ = nnls(design / t[:, None], np.ones_like(t))
    return lambda m: np.maximum(
        sum(w * m**k / u for w, k, u in zip(weights, powers, unit, strict=True)), 1e-9
    )


def line(n: Array, t: Array) -> Callable[[Array], Array]:
    """Fixed part and part per item: a + b·n."""
    return polynomial(n, t, 1)


def flat_start(n: Array, t: Array) -> Callable[[Array], Array]:
    """Flat while the device is not full: max(c, a + b·n)."""
    ways = []
    for k in range(1, len(n)):
        floor = float(np.exp(np.log(t[:k]).mean()))
        rising = line(n[k:], t[k:]) if len(n) - k >= 2 else line(n, t)
        wrong = float(((np.maximum(floor, rising(n)) / t - 1.0) ** 2).sum())
        ways.append((wrong, floor, rising))
    _, floor, rising = min(ways, key=lambda way: way[0])
    return lambda m: np.maximum(floor, rising(m))


def power(n: Array, t: Array) -> Callable[[Array], Array]:
    """A power law: a·n^b."""
    b, a = np.polyfit(np.log(n), np.log(t), 1)
    return lambda m: np.asarray(np.exp(a + b * np.log(m)))


def isotonic(n: Array, t: Array) -> Callable[[Array], Array]:
    """Steps that never fall."""
    from sklearn.isotonic import IsotonicRegression

    found = IsotonicRegression(out_of_bounds="clip").fit(np.log(n), np.log(t))
    return lambda m: np.asarray(np.exp(found.predict(np.log(m))))


USUAL: Final[Mapping[str, Fit]] = {
    "linear": line, "quadratic": polynomial, "flat_start": flat_start, "power": power,
    "isotonic": isotonic,
}  # fmt: skip
METHODS: Final = (OURS, *USUAL)


def play(
    curves: Sequence[Curve], design: Design, method: str, seeds: int
) -> list[tuple[Curve, Logged, Chosen]]:
    """Return what a method makes of every curve, for every seed."""
    found, lendings = [], _lendings(curves) if method == OURS else {}
    for curve in curves:
        way = (
            ours(curve, replace(lendings[curve.family], mine=curve.described))
            if method == OURS
            else usual(USUAL[method], curve)
        )
        for seed in range(seeds):
            seen = logged(curve, design, seed)
            if len(seen.places) >= 2:
                found.append((curve, seen, way(seen)))
    return found


def _lendings(curves: Sequence[Curve]) -> dict[str, Lending]:
    """What each family may borrow of the others, with what resemblance has earned there."""
    found = {}
    for family in {curve.family for curve in curves}:
        lenders = tuple(curve.lender() for curve in curves if curve.family != family)
        found[family] = Lending(lenders=lenders, share=earned_by(lenders))
    return found


def summary(played: Sequence[tuple[Curve, Logged, Chosen]]) -> dict[str, Json]:
    """Return the figures of a method, in percent.

    ``error`` is the median over plays of the mean relative error on sizes not logged;
    ``oracle`` the throughput of choices within the limit, of the oracle's; ``oracle_all`` the
    same of all plays, nothing chosen and a limit not kept counting as nought; ``broken`` the
    share of choices that take over 5% longer than the limit; ``abstained`` how often nothing
    was chosen; ``covered`` the share of times inside the stated 90% interval.
    """
    errors = np.array([chosen.error for _, _, chosen in played])
    found: dict[str, Json] = {
        "tasks": len({curve.name for curve, _, _ in played}),
        "error": 100.0 * float(np.median(errors)),
        "error_p90": 100.0 * float(np.quantile(errors, 0.9)),
        "covered": _percent([c.covered for _, _, c in played if not np.isnan(c.covered)]),
        "ms": 1000.0 * float(np.mean([c.seconds for _, _, c in played])),
    }
    dense = [one for one in played if len(one[0].sizes) >= DENSE]
    choices = [_choice(*one) for one in dense if one[2].place is not None]
    within = [share for share, _ in choices if share is not None]
    return {
        **found,
        "choices": len(choices),
        "abstained": _percent([float(chosen.place is None) for _, _, chosen in dense]),
        "oracle": _percent(within),
        "oracle_all": 100.0 * sum(within) / len(dense) if dense else None,
        "broken": _percent([float(broken) for _, broken in choices]),
    }


def _choice(curve: Curve, seen: Logged, chosen: Chosen) -> tuple[float | None, bool]:
    rate = curve.sizes / curve.seconds
    best = float(rate[curve.seconds <= seen.limit].max())
    taken = curve.seconds[chosen.place]
    share = min(float(rate[chosen.place]) / best, 1.0) if taken <= seen.limit else None
    return share, bool(taken > seen.limit * (1.0 + SLACK))


def _percent(values: Sequence[float]) -> float | None:
    return 100.0 * float(np.mean(values)) if values else None

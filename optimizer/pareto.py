"""The Pareto view: which settings of a step are worth having, by cost, time and failures.

No single number says what is best when one setting is cheap and another quick. A setting
stands on the front when no other is at least as good in all three and clearly better in
one; a difference counts as clear beyond nine tenths of what chance does. What the step is
meant to keep (its SLO) is a constraint: a setting that breaks it is shown and stands on no
front. A setting with few attempts is shown as uncertain.

>>> cheap = Point({"hardware": "small"}, 50, Measure(1.0, 0.0), Measure(9.0, 0.0), Measure(0.0))
>>> quick = Point({"hardware": "large"}, 50, Measure(2.0, 0.0), Measure(3.0, 0.0), Measure(0.0))
>>> worse = Point({"hardware": "gpu"}, 50, Measure(3.0, 0.0), Measure(4.0, 0.0), Measure(0.0))
>>> [stand.standing for stand in front([cheap, quick, worse], Bounds())]
['front', 'front', 'dominated']
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.effect import REACH
from optimizer.evidence import Table

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]
Standing: TypeAlias = Literal["front", "dominated", "breaks_slo", "uncertain"]

FEWEST: Final = 10
"""Attempts below which a setting is shown as uncertain."""
SETTINGS: Final = ("hardware", "batch_size", "in_flight")
_TAIL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure and its standard error; less is better."""

    value: float
    error: float = 0.0

    def clearly_above(self, other: Measure) -> bool:
        """Whether this is worse than another beyond what chance does."""
        return self.value - other.value > REACH * math.hypot(self.error, other.error)


@dataclass(frozen=True, slots=True)
class Point:
    """One setting: what an item costs, how long an attempt takes at p95, the share that fails.

    ``attempts`` are those that are known by time and cost.
    """

    setting: Mapping[str, Json]
    attempts: int
    cost: Measure
    p95_s: Measure
    failures: Measure

    @property
    def measures(self) -> tuple[Measure, Measure, Measure]:
        """Cost, time and failures."""
        return self.cost, self.p95_s, self.failures


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the step is meant to keep; None for nothing."""

    p95_s: float | None = None
    success: float | None = None

    def broken_by(self, point: Point) -> bool:
        """Whether a setting breaks them."""
        slow = self.p95_s is not None and point.p95_s.value > self.p95_s
        return slow or (self.success is not None and 1.0 - point.failures.value < self.success)


@dataclass(frozen=True, slots=True)
class Stand:
    """A setting with where it stands, and by which other it is dominated."""

    point: Point
    standing: Standing
    by: Mapping[str, Json] | None = None

    def to_json(self) -> dict[str, Json]:
        """Return it for a reader; errors are standard errors."""
        told = dict(zip(("cost", "p95_s", "failures"), self.point.measures, strict=True))
        return {
            **self.point.setting,
            "attempts": self.point.attempts,
            **{name: measure.value for name, measure in told.items()},
            **{f"{name}_error": measure.error for name, measure in told.items()},
            "standing": self.standing,
            "dominated_by": dict(self.by) if self.by else None,
        }


def front(points: Sequence[Point], bounds: Bounds) -> list[Stand]:
    """Return every setting with where it stands, the cheapest first."""
    sound = [p for p in points if p.attempts >= FEWEST and not bounds.broken_by(p)]
    return [_stand(point, sound, bounds) for point in sorted(points, key=lambda p: p.cost.value)]


def _stand(point: Point, sound: Sequence[Point], bounds: Bounds) -> Stand:
    if point.attempts < FEWEST:
        return Stand(point, "uncertain")
    if bounds.broken_by(point):
        return Stand(point, "breaks_slo")
    above = next((other for other in sound if _dominates(other, point)), None)
    return Stand(point, "dominated", above.setting) if above else Stand(point, "front")


def _dominates(one: Point, other: Point) -> bool:
    pairs = list(zip(one.measures, other.measures, strict=True))
    no_worse = all(mine.value <= theirs.value for mine, theirs in pairs)
    return no_worse and any(theirs.clearly_above(mine) for mine, theirs in pairs)


def points(table: Table) -> list[Point]:
    """Return the settings in a table of attempts; cost is dollars an item, where all have one.

    Without a cost for every attempt it is slot seconds an item: what is missing is not nought.
    An attempt that has no time, lost with its worker, counts as failed and for nothing else.
    """
    columns = {name: table.column(name).to_numpy() for name in (*SETTINGS, *_READ)}
    run_s, items, dollars = (_numbers(columns[n]) for n in ("run_s", "items", "cost_usd"))
    paid = dollars if priced(table) else run_s
    failed = ~np.isin(columns["outcome"].astype(str), ("succeeded", "cancelled"))
    groups: dict[tuple[Json, ...], list[int]] = defaultdict(list)
    for row in range(len(run_s)):
        groups[tuple(_plain(columns[name][row]) for name in SETTINGS)].append(row)
    return [
        _point(
            dict(zip(SETTINGS, key, strict=True)), *(c[rows] for c in (paid, run_s, items, failed))
        )
        for key, rows in sorted(groups.items(), key=lambda group: str(group[0]))
    ]


_READ: Final = ("run_s", "items", "cost_usd", "outcome")


def priced(table: Table) -> bool:
    """Whether every attempt has a cost, so that points have theirs in dollars."""
    dollars = _numbers(table.column("cost_usd").to_numpy())
    return len(dollars) > 0 and bool((np.nan_to_num(dollars) > 0.0).all())


def _numbers(column: Array) -> Array:
    """A column of numbers; NaN where there is none."""
    return np.asarray([np.nan if one is None else float(one) for one in column])


def _plain(value: Json) -> Json:
    if value is None or isinstance(value, str):
        return value or ""
    return int(value) if np.isfinite(float(value)) else 0


def _point(
    setting: dict[str, Json], paid: Array, run_s: Array, items: Array, failed: Array
) -> Point:
    n, share = len(failed), float(failed.mean())
    known = np.isfinite(run_s) & np.isfinite(paid)
    good = np.where(failed, 0.0, np.maximum(np.nan_to_num(items), 1.0))[known]
    return Point(
        setting, int(known.sum()), _each(paid[known], good), _tail(run_s[known]),
        Measure(share, math.sqrt((share * (1.0 - share) + 1.0 / n) / n)),
    )  # fmt: skip


def _each(paid: Array, good: Array) -> Measure:
    """What a good item costs, with the error of a ratio (Cochran 1977, section 2.11)."""
    if not len(paid):
        return Measure(0.0)
    items = max(float(good.sum()), 1.0)
    mean = float(paid.sum()) / items
    rest = paid - mean * good
    return Measure(mean, math.sqrt(float(rest @ rest) * len(paid) / max(len(paid) - 1, 1)) / items)


def _tail(run_s: Array) -> Measure:
    """The p95 and its standard error, by the order statistics around it."""
    n = len(run_s)
    if not n:
        return Measure(0.0)
    reach = math.sqrt(_TAIL * (1.0 - _TAIL) / n)
    low, p95, high = np.quantile(run_s, (max(_TAIL - reach, 0.0), _TAIL, min(_TAIL + reach, 1.0)))
    return Measure(float(p95), float(high - low) / 2.0)

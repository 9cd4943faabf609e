"""Changes: where a series of times or costs went over to another level, found as points come.

``regimes`` reads a series from left to right and says where each regime began, and at which
point that could be known: what it says of a point never depends on later ones, so a chart of
the past and a word of warning agree. It works on logarithms, so a change is a factor.

The test is the window-limited generalized likelihood ratio for a change of the mean (Lai,
"Sequential changepoint detection in quality control and dynamical systems", J. R. Stat. Soc. B
57, 1995; Siegmund and Venkatraman, Ann. Stat. 23, 1995), made robust: the usual level is a
median, what stands far out counts as three deviations (Huber), so that no two points alone are
a change, and the deviation of a mean is the larger of what an AR(1) process and what the
series' own blocks of that length say, so that slow noise is not taken for news.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

DAY_S: Final = 86_400
WINDOWS: Final = (3, 4, 5, 6, 8, 11, 16, 22, 32, 45, 64, 90)
"""How many of the latest points are held against those before them."""
_FAR: Final = 3.0
"""Points further off, in spreads, count as being so far: one outlier is no new level."""
_MAD: Final = 1.4826
"""Median absolute deviations to a standard deviation, where noise is normal."""
_LEAST: Final = float(np.log(1.01))
"""No series is thought to be steadier than one in a hundred."""
_KEPT: Final = 500
"""The latest points that tell of the level and of likeness between days."""
_DAYS: Final = 14
"""The latest days that a slot of the day remembers."""
_SEASON: Final = 0.35
"""Rank correlation of a day with the day before, from which on days are alike."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How much must speak for a change.

    ``deviations`` is how far the mean of a window must be from the usual, in its own standard
    deviations; ``least`` the smallest change worth a word (0.05: 5 in 100); ``usual`` the
    points before anything is known to be usual, ``again`` those of a later regime.
    """

    deviations: float = 5.0
    least: float = 0.05
    usual: int = 24
    again: int = 6


@dataclass(frozen=True, slots=True)
class Regime:
    """A stretch on one level.

    ``start`` is the index of its first point, ``found`` that of the point at which the change
    could be known; ``level`` its median, ``factor`` that over the one before (1 for the first).
    """

    start: int
    found: int
    level: float
    factor: float


def slots_of_day(times: Sequence[float], bucket_s: int) -> Array:
    """Return which bucket of its day each time is in; all 0 where a bucket is a day or more."""
    if bucket_s >= DAY_S:
        return np.zeros(len(times), dtype=int)
    return (np.asarray(times, dtype=float) % DAY_S // bucket_s).astype(int)


def regimes(
    values: Sequence[float] | Array, slots: Array | None = None,
    asked: Sensitivity = Sensitivity(),
) -> list[Regime]:  # fmt: skip
    """Return the regimes of a series of positive values, the first one from its first point.

    ``slots`` says which part of a day each value is of; what recurs every day is then usual.
    """
    given = np.asarray(values, dtype=float)
    if not len(given):
        return []
    if not (np.isfinite(given) & (given > 0)).all():
        raise ValueError("a series of changes has positive values alone")
    watch = _Watch(np.log(given), slots, asked)
    for t in range(len(given)):
        watch.see(t)
    return watch.regimes(given)


class _Watch:
    """The series as known up to a point: usual level, deviations, and what recurs daily."""

    def __init__(self, logs: Array, slots: Array | None, asked: Sensitivity) -> None:
        self._logs, self._asked = logs, asked
        self._daily = None if slots is None or not slots.any() else _Daily(slots)
        self._y = np.empty_like(logs)
        """Logarithms less what is usual at this time of day."""
        self._noise = np.zeros_like(logs)
        """Of earlier regimes: how far each point was from its regime's median."""
        self._starts, self._found = [0], [0]

    def see(self, t: int) -> None:
        """Take the next point in, and begin a regime where it shows that there is one."""
        begin = self._starts[-1]
        usual = 0.0 if self._daily is None else self._daily.at(t)
        self._y[t] = self._logs[t] - usual
        if self._daily is not None:
            level = float(np.median(self._y[max(begin, t - _KEPT) : t + 1]))
            if self._daily.learn(t, self._logs[t] - level):
                self._y[begin : t + 1] = self._logs[begin : t + 1] - self._daily.usual(
                    begin, t + 1
                )
        least = self._asked.usual if begin == 0 else self._asked.again
        for window in WINDOWS:
            if t + 1 - window - begin < least:
                return
            if self._differs(t, begin, window):
                self._turn(t, begin, window)
                return

    def _differs(self, t: int, begin: int, window: int) -> bool:
        cut = t + 1 - window
        before = self._y[max(begin, cut - _KEPT) : cut]
        after = self._y[cut : t + 1]
        level = np.median(before)
        if abs(np.median(after) - level) < np.log1p(self._asked.least):
            return False
        noise = np.concatenate((self._noise[max(0, begin - _KEPT) : begin], before - level))
        noise = noise[-_KEPT:]
        scale = max(_MAD * float(np.median(np.abs(noise))), _LEAST)
        noise = np.clip(noise, -_FAR * scale, _FAR * scale)
        moved = np.clip(after - level, -_FAR * scale, _FAR * scale).mean()
        spread = _spread_of_mean(noise, scale, window)
        known = _spread_of_mean(noise, scale, len(before)) * 1.2533  # a median, not a mean
        return bool(abs(moved) > self._asked.deviations * np.hypot(spread, known))

    def _turn(self, t: int, begin: int, window: int) -> None:
        """Begin a regime where the two sides differ most."""
        first = max(begin, t + 1 - 2 * window - self._asked.again)
        part = self._y[first : t + 1]
        n = len(part)
        sums = np.cumsum(part - part.mean())[:-1]
        k = np.arange(1, n)
        at = first + 1 + int(np.argmax(np.abs(sums) / np.sqrt(k * (n - k))))
        self._noise[begin:at] = self._y[begin:at] - np.median(self._y[begin:at])
        self._starts.append(at)
        self._found.append(t)

    def regimes(self, values: Array) -> list[Regime]:
        ends = [*self._starts[1:], len(values)]
        bounds = list(zip(self._starts, ends, strict=True))
        levels = [float(np.median(values[a:b])) for a, b in bounds]
        even = [float(np.median(self._y[a:b])) for a, b in bounds]
        factors = [1.0, *(float(np.exp(b - a)) for a, b in itertools.pairwise(even))]
        found = zip(self._starts, self._found, levels, factors, strict=True)
        return [Regime(*each) for each in found]


class _Daily:
    """What recurs every day: per part of the day, how far it usually is from the level."""

    def __init__(self, slots: Array) -> None:
        self._slots = slots
        self._seen: dict[int, list[float]] = {}
        self._pairs: list[tuple[float, float]] = []
        self._weight = 0.0

    def at(self, t: int) -> float:
        """Return what is usual at the time of day of a point; 0 until days are alike."""
        seen = self._seen.get(int(self._slots[t]))
        return self._weight * float(np.median(seen)) if seen and self._weight else 0.0

    def usual(self, first: int, stop: int) -> Array:
        """Return the same of points in a row, as it is known now."""
        profile = np.zeros(int(self._slots.max()) + 1)
        for slot, seen in self._seen.items():
            profile[slot] = self._weight * float(np.median(seen))
        return profile[self._slots[first:stop]]

    def learn(self, t: int, off: float) -> bool:
        """Take in how far a point was from the level; says whether it looked anew at all days."""
        seen = self._seen.setdefault(int(self._slots[t]), [])
        if seen:
            self._pairs.append((seen[-1], off))
            del self._pairs[: -4 * _KEPT]
        seen.append(off)
        del seen[:-_DAYS]
        anew = t % 8 == 0 and (self._weight > 0 or len(self._pairs) >= len(self._seen))
        if anew:
            self._weight = self._likeness()
        return anew

    def _likeness(self) -> float:
        """Return how much a day is like the day before, from 0 to 1; 0 where it hardly is."""
        if len(self._pairs) < max(8, len(self._seen)):
            return 0.0
        was, now = np.array(self._pairs[-_KEPT:]).T
        rank = np.argsort(np.argsort(was)), np.argsort(np.argsort(now))
        alike = float(np.corrcoef(*rank)[0, 1])
        return alike if alike > _SEASON else 0.0


def _spread_of_mean(noise: Array, scale: float, size: int) -> float:
    """Return the standard deviation of the mean of ``size`` points in a row."""
    n = len(noise)
    squares = float(noise @ noise)
    rho = float(noise[1:] @ noise[:-1]) / squares if squares > 0 else 0.0
    rho = min(max(rho + (1 + 4 * rho) / n, 0.0), 0.95)  # small samples say too little
    lags = np.arange(1, size)
    inflated = 1 + 2 * float(((1 - lags / size) * rho**lags).sum())
    told = scale * float(np.sqrt(inflated / size))
    blocks = n // size
    if blocks < 6 or size < 3:
        return told
    means = noise[n - blocks * size :].reshape(blocks, size).mean(axis=1)
    return max(told, float(means.std(ddof=1)))

"""How long a try takes by luck alone: a survival curve, its work taken out, cut tries censored.

A try that was timed out or ended says only that it would have taken longer (Kaplan & Meier,
JASA 1958); where all the longest were, nobody knows when those would have ended. What more
work explains is no luck: log seconds are regressed on log work, and the curve is of what is
left. Ending a try early pays only where the time still to come grows with the time already
spent (van Moorsel & Wolter, "Analysis of Restart Mechanisms in Software Systems", IEEE TSE
2006); `remaining` shows whether it does.

>>> curve = Durations.fit([1.0, 1.0, 1.0, 9.0], [True] * 4, [1.0] * 4)
>>> curve.remaining(0.0), curve.remaining(2.0)
(3.0, 7.0)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[Any]

CLEAR: Final = 3.0
"""Standard errors from which on work is taken to bear on time."""


@dataclass(frozen=True, slots=True, eq=False)
class Durations:
    """A survival curve over ``times``, and by which factor a unit's work stretches it.

    ``longest`` is the longest that a try was seen to take, cut off or not.
    """

    times: Array
    alive: Array
    factors: Array
    power: float
    longest: float

    @classmethod
    def fit(cls, seconds: ArrayLike, whole: ArrayLike, work: ArrayLike) -> Durations:
        """Return the curve through tries, ``whole`` where a try came to its own end."""
        s, ended, w = np.asarray(seconds, float), np.asarray(whole, bool), np.asarray(work, float)
        power = _power(np.log(np.maximum(s[ended], 1e-9)), np.log(w[ended]))
        factors = (w / np.median(w)) ** power
        times, alive = kaplan_meier(s / factors, ended)
        return cls(times, alive, factors, power, float((s / factors).max()))

    def draw(self, chance: Array, factors: Array) -> Array:
        """Return seconds for uniform numbers; infinite beyond what anybody saw the end of."""
        place = np.searchsorted(-self.alive, -chance, side="left")
        return np.asarray(np.r_[self.times, np.inf][place] * factors)

    def still(self, after: float) -> float:
        """Return the share of tries of median work that take longer than ``after``."""
        place = int(np.searchsorted(self.times, after, side="right"))
        return float(self.alive[place - 1]) if place else 1.0

    def remaining(self, after: float) -> float:
        """Return the mean seconds still to come for a try that has taken ``after``.

        A try whose end nobody saw is taken to end at ``longest``: it takes at least as long.
        """
        steps = np.r_[0.0, self.times, max(self.longest, self.times[-1])]
        height = np.r_[1.0, self.alive]
        width = np.maximum(steps[1:], after) - np.maximum(steps[:-1], after)
        left = self.still(after)
        return float((width * height).sum() / left) if left > 0.0 else 0.0

    def quantile(self, share: float) -> float:
        """Return the seconds within which this share of tries of median work end, or longest."""
        return min(float(self.draw(np.array([1.0 - share]), np.ones(1))[0]), self.longest)


def kaplan_meier(seconds: Array, ended: Array) -> tuple[Array, Array]:
    """Return the times at which tries ended, and the share that takes longer."""
    times, place = np.unique(seconds, return_inverse=True)
    ends = np.bincount(place, weights=ended.astype(float))
    at_risk = np.cumsum(np.bincount(place)[::-1])[::-1]
    alive = np.cumprod(1.0 - ends / at_risk)
    known = ends > 0
    if not known.any():
        return times[-1:], np.ones(1)
    return times[known], alive[known]


def _power(log_s: Array, log_w: Array) -> float:
    """How time grows with work, as a power; 0 unless clearly so."""
    if len(log_s) < 10 or np.ptp(log_w) < 0.05:
        return 0.0
    x = log_w - log_w.mean()
    slope = float(x @ (log_s - log_s.mean()) / (x @ x))
    rest = log_s - log_s.mean() - slope * x
    se = float(np.sqrt(rest.var() / max(x @ x, 1e-12)))
    return slope if slope > CLEAR * se else 0.0


def spread_of(blocks: Sequence[float] | Array) -> float:
    """Return the spread of log outcomes as a trial counts them; see `batch` for why."""
    logs = np.log(np.maximum(np.asarray(blocks, float), 1e-9))
    return float((logs + (logs - logs.mean()) ** 2 / 2.0).std())

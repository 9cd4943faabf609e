"""An effect: how much better or worse, with an interval for what will be *measured*.

Effects are differences of mean log outcome (so that -0.69 is half). The interval of the
measured effect holds two noises: that of the estimate from history, and that of the coming
experiment, which measures with finitely many units. A reviewer who later compares
predicted with realised compares like with like.

>>> effect = Effect(log=-0.7, estimate_se=0.05, measurement_se=0.05, freedom=30)
>>> low, middle, high = effect.interval()
>>> round(low, 2), round(middle, 2), round(high, 2)
(-0.56, -0.5, -0.44)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

LEVEL: Final = 0.90
"""The share of true effects that intervals are to hold."""
REACH: Final = 1.645
"""Standard errors to either end of a 90% interval, where noise is well known."""
WIDEST: Final = 0.30
"""An interval wider than 30 points says too little to be put before a person, unless even
its worse end is a gain of `CLEARLY` times what is worth a change."""
CLEARLY: Final = 3.0
PROOF: Final = 2.0
"""Standard errors that a trial's running bound keeps from its estimate, late in the trial."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A predicted difference in mean log outcome, candidate less stable."""

    log: float
    estimate_se: float
    measurement_se: float
    freedom: float

    def interval(self) -> tuple[float, float, float]:
        """Return lower, median and upper of the effect to be measured, as relative changes."""
        spread = math.hypot(self.estimate_se, self.measurement_se)
        reach = _student_quantile(0.5 + LEVEL / 2, self.freedom) * spread
        return math.expm1(self.log - reach), math.expm1(self.log), math.expm1(self.log + reach)

    def chance_of(self, gain: float) -> float:
        """Return how likely the true effect is a reduction by at least ``gain``."""
        margin = math.log(1.0 - gain) - self.log
        return _student_chance(margin / max(self.estimate_se, 1e-9), self.freedom)

    def provable(self, gain: float) -> bool:
        """Whether a trial that measures this effect would likely prove a gain of ``gain``."""
        return self.log + PROOF * self.measurement_se < math.log(1.0 - gain)

    @property
    def width(self) -> float:
        """The interval's width, in units of the stable value."""
        low, _, high = self.interval()
        return high - low

    def predicted(self) -> dict[str, float]:
        """Return the interval as a proposal states it."""
        low, middle, high = self.interval()
        return {"lower": low, "median": middle, "upper": high}


def _student_quantile(p: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(max(freedom, 1.0), p))


def _student_chance(t: float, freedom: float) -> float:
    from scipy.special import stdtr

    return float(stdtr(max(freedom, 1.0), t))


def describe(effects: dict[int, Effect]) -> list[dict[str, Any]]:
    """Return the effects by value, for a reader."""
    return [
        {"value": value, **effect.predicted(), "se": effect.estimate_se}
        for value, effect in sorted(effects.items())
    ]

"""What an effect seen in history rests on: the section that a reviewer reads before agreeing.

Beside the naive difference stands the adjusted one, with its 90% interval. ``effective`` is
how many batches a side a fair trial would need to know it as well; ``support`` the share of
the stable value's work in runs of a size at which the other value was run too. ``e_value``
says how strong an unseen cause would have to be (VanderWeele and Ding, "Sensitivity analysis
in observational research: introducing the E-value", Annals of Internal Medicine 2017): tied
to both the value and the outcome by at least that factor, to explain the effect away;
``e_value_bound`` is the same for the end of the interval that is nearer to nothing.

>>> round(e_value(0.0, 1.0), 2), round(e_value(-1.0, 1.0), 2)
(1.0, 4.4)
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeAlias

import numpy as np

from optimizer.distinct import distinct
from optimizer.effect import REACH
from optimizer.evidence import Batches
from optimizer.models.levels import Level

Json: TypeAlias = Any

ALIKE: Final = 0.25
"""Log sizes of runs that are as good as equal."""
BEYOND: Final = 100.0
"""Above this an unseen cause is as good as impossible."""
_RATIO: Final = 0.91
"""Log risk ratio of an effect of one standard deviation (Chinn, Stat. Med. 2000)."""
_LEAST: Final = 1e-9


def causal(level: Level, objective: str, adjusted_for: list[str]) -> dict[str, Json]:
    """Return the section of one value's level against the stable one."""
    low, high = level.log - REACH * level.se, level.log + REACH * level.se
    bound = 0.0 if low < 0.0 < high else min(low, high, key=abs)
    return {
        "estimand": f"log {objective} per item",
        "method": level.method,
        "adjusted_for": adjusted_for,
        "naive": math.expm1(level.naive),
        "adjusted": math.expm1(level.log),
        "interval": [math.expm1(low), math.expm1(high)],
        "observations": level.n,
        "effective": effective(level),
        "e_value": e_value(level.log, level.sd),
        "e_value_bound": e_value(bound, level.sd),
    }


def effective(level: Level) -> float:
    """Return the batches a side of a fair trial that would know the level as well."""
    return 2.0 * (level.sd / max(level.se, _LEAST)) ** 2


def e_value(log_effect: float, spread: float) -> float:
    """Return how strong an unseen cause would have to be: 1 is no strength, 100 beyond belief."""
    ratio = math.exp(min(_RATIO * abs(log_effect) / max(spread, _LEAST), 50.0))
    return min(ratio + math.sqrt(ratio * (ratio - 1.0)), BEYOND)


def support(history: Batches, column: str, value: int, stable: int) -> float:
    """Return the share of the stable value's batches in runs of a size ``value`` has seen."""
    values = getattr(history, column)
    _, codes = distinct(history.run)
    sizes = np.log(np.maximum(np.bincount(codes, weights=history.items), 1.0))
    mine = sizes[np.unique(codes[values == value])]
    base = sizes[codes[values == stable]]
    if not len(mine) or not len(base):
        return 0.0
    order = np.sort(mine)
    place = np.searchsorted(order, base)
    below = np.abs(base - order[np.maximum(place - 1, 0)])
    above = np.abs(base - order[np.minimum(place, len(order) - 1)])
    between = (place > 0) & (place < len(order))
    near = np.minimum(below, above) <= ALIKE
    return float((near | (between & (np.minimum(below, above) <= 4 * ALIKE))).mean())

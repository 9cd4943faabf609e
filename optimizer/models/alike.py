"""Alike: whether runs under two values of a knob ran at times that may be compared.

What ran at night is compared with what ran at night: the load, the prices and the data of
other hours are others. What ran after a change of anything is not compared with what ran
before it. Times that overlap are still adjusted for, by the hour and by the trend, and as if
everything had changed at the moment that leaves least of an effect (`changes`).

>>> same_times(Times(np.arange(9.0) * 2), Times(np.arange(9.0) * 2 + 1))
True
>>> same_times(Times(np.arange(9.0)), Times(np.arange(9.0) + 9))
False
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

DAY_S: Final = 86_400.0
NEAR_S: Final = 7_200.0
"""Runs that began within two hours of each other by the clock ran at the same hour."""
SAME: Final = 0.8
"""Share of a value's runs that need a run of the other value at their hour."""
MIXED: Final = 0.10
"""The least chance that a run of one value began before one of the other, and after it."""
A_SIDE: Final = 3
"""Runs before a day, and after it, that can tell of a change on it."""
MOMENTS: Final = 32
"""Moments that are tried, spread over the runs."""
ROWS_A_COLUMN: Final = 5
"""Runs for each thing that is adjusted for: with fewer, the adjustment is noise itself."""


@dataclass(frozen=True, slots=True)
class Times:
    """When runs began, in seconds since the epoch."""

    began: Array

    @property
    def hour_s(self) -> Array:
        """The seconds of their day, UTC."""
        return np.asarray(self.began % DAY_S)


def same_times(mine: Times, base: Times) -> bool:
    """Whether runs of both values took turns, and at the same hours."""
    before = (mine.began[:, None] < base.began[None, :]).mean()
    after = (mine.began[:, None] > base.began[None, :]).mean()
    level = before + (1.0 - before - after) / 2.0
    if not MIXED <= level <= 1.0 - MIXED:
        return False
    apart = np.abs(mine.hour_s[:, None] - base.hour_s[None, :])
    apart = np.minimum(apart, DAY_S - apart)
    return bool((apart.min(axis=1) <= NEAR_S).mean() >= SAME)


def changes(times: Times) -> list[Array]:
    """Return a column for each moment at which everything may have changed, once and for good."""
    order = np.sort(times.began)
    moments = np.unique(order[A_SIDE : len(order) - A_SIDE + 1])
    if len(moments) > MOMENTS:
        moments = moments[np.linspace(0, len(moments) - 1, MOMENTS).astype(int)]
    columns = [(times.began >= moment).astype(float) for moment in moments]
    return [one - one.mean() for one in columns]


def time_columns(times: Times, others: int) -> list[Array]:
    """Return the columns that take out the hour and a trend, as far as there are runs for it."""
    angle = 2.0 * np.pi * times.hour_s / DAY_S
    wanted = [np.sin(angle), np.cos(angle)] if np.ptp(np.unwrap(np.sort(angle))) > 0.5 else []
    if np.ptp(times.began) > NEAR_S:
        wanted.append((times.began - times.began.mean()) / np.ptp(times.began))
    enough = len(times.began) >= ROWS_A_COLUMN * (others + len(wanted))
    return [one - one.mean() for one in wanted] if enough else []

"""Moves: what going from one setting to another did to other steps.

For every candidate, the log ratio of outcomes (candidate less incumbent) of each step that
ran under both is regressed on how large the step is: its level, the log outcome under the
incumbent. A ratio often moves with size (a larger job fills a larger cluster; a small one
is all start-up). What is predicted for the new step is a Student t, the wider the fewer
families have made the move and the farther its level is from theirs.

`beyond` says how far the new step's level lies outside of every level in history. A step
larger than any that was seen meets limits that nobody met: history cannot say.

>>> rows = np.log([[1.0, 2.0], [2.0, 4.1], [4.0, 7.9]])
>>> moves = Moves.of(History(rows, ("a", "b", "c")), 0, np.log(3.0))
>>> bool(moves.below(np.log(2.5))[1] > 0.9), moves.beyond
(True, 0.0)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.gate.lent import pull_of
from optimizer.search.history import History

Array: TypeAlias = NDArray[Any]

SLOPE: Final = 0.3
"""Prior standard deviation of how a log ratio moves with a log level."""
ALIKE: Final = 3.0
"""Imagined families that say how much a move varies: the pooled variance of all moves."""
LARGER: Final = 0.0953
"""Log distance above the largest level in history that still counts as seen (10%)."""
SMALLER: Final = 0.6931
"""The same below the smallest (half as large): small steps meet no limits."""
UNSEEN_MEAN, UNSEEN_SCALE = 0.5, 1.0
"""What is believed of a move that nobody made."""
VARIANCE: Final = 0.1
"""The variance of moves where history is too thin to tell."""
_WIDE: Final = 25.0
_HALF: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """A Student t a candidate: the log ratio of its outcome to the incumbent's."""

    mean: Array
    scale: Array
    freedom: Array
    families: Array
    """How many families (counted by weight) made the move."""
    steps: int
    """How many steps of history ran under the incumbent."""
    beyond: float
    """Log distance of the level outside of history's, beyond what is allowed; 0 inside."""

    @classmethod
    def of(cls, history: History, incumbent: int, level: float) -> Moves:
        """Return what history says of leaving ``incumbent``, for a step at ``level``."""
        levels = history.rows[:, incumbent] if len(history) else np.zeros(0)
        mine = np.isfinite(levels)
        if not mine.any():
            return _nothing(history.rows.shape[1])
        fit = _Fit.of(history.rows[mine], _weights(history, mine), incumbent, level)
        mean, scale, freedom = fit.predicted()
        unseen = fit.count <= _HALF
        return cls(
            np.where(unseen, UNSEEN_MEAN, mean), np.where(unseen, UNSEEN_SCALE, scale), freedom,
            fit.count, int(mine.sum()), _beyond(levels[mine], level),
        )  # fmt: skip

    @property
    def supported(self) -> bool:
        """Whether steps of about this size ran under the incumbent."""
        return self.steps > 0 and self.beyond <= 0.0

    def below(self, threshold: float) -> Array:
        """Return the chance by candidate that its log ratio is below a threshold."""
        from scipy.special import stdtr

        return np.asarray(stdtr(self.freedom, (threshold - self.mean) / self.scale))

    @property
    def spread(self) -> Array:
        """The standard deviation by candidate."""
        return np.asarray(
            self.scale * np.sqrt(self.freedom / np.maximum(self.freedom - 2.0, _HALF))
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Weighted sums of a straight line a candidate: ratio against level, from the new one's."""

    ratio: Array
    known: Array
    weight: Array
    at: Array
    count: Array

    @classmethod
    def of(cls, rows: Array, weights: Array, incumbent: int, level: float) -> _Fit:
        ratio = rows - rows[:, [incumbent]]
        known = np.isfinite(ratio)
        weight = known * weights[:, None]
        at = (rows[:, incumbent] - level)[:, None]
        return cls(np.where(known, ratio, 0.0), known, weight, at, weight.sum(axis=0))

    def predicted(self) -> tuple[Array, Array, Array]:
        """Return mean, scale and degrees of freedom at the new step's level."""
        pooled = self._pooled()
        a = self.count + pooled / _WIDE
        b = (self.weight * self.at).sum(axis=0)
        c = (self.weight * self.at**2).sum(axis=0) + pooled / SLOPE**2
        along = (self.weight * self.ratio).sum(axis=0)
        across = (self.weight * self.ratio * self.at).sum(axis=0)
        area = a * c - b * b
        mean, slope = (c * along - b * across) / area, (a * across - b * along) / area
        rest = np.where(self.known, self.ratio - mean - slope * self.at, 0.0)
        own = np.maximum(self.count - 1.0, 0.0)
        variance = ((self.weight * rest**2).sum(axis=0) + ALIKE * pooled) / (own + ALIKE)
        return mean, np.sqrt(variance * (1.0 + c / area)), own + ALIKE

    def _pooled(self) -> float:
        """The median variance of the moves that two families or more have made."""
        mean = (self.weight * self.ratio).sum(axis=0) / np.maximum(self.count, _HALF)
        rest = np.where(self.known, self.ratio - mean, 0.0)
        some = (self.count >= 2.0 - 1e-9) & (rest**2).any(axis=0)
        if not some.any():
            return VARIANCE
        squares = (self.weight * rest**2).sum(axis=0)[some]
        return float(max(np.median(squares / (self.count[some] - 1.0)), 1e-4))


def _weights(history: History, mine: Array) -> Array:
    """A family of n steps counts as √n: its steps are alike, not the same. Each has its pull."""
    families = [f for f, one in zip(history.families, mine, strict=True) if one]
    of = Counter(families)
    return np.asarray([of[family] ** -0.5 for family in families]) * pull_of(history)[mine]


def _beyond(levels: Array, level: float) -> float:
    above, below = level - levels.max() - LARGER, levels.min() - SMALLER - level
    return float(max(above, below, 0.0))


def _nothing(size: int) -> Moves:
    mean, scale = np.full(size, UNSEEN_MEAN), np.full(size, UNSEEN_SCALE)
    return Moves(mean, scale, np.full(size, ALIKE), np.zeros(size), 0, 0.0)

"""How large a step is, and what that says of the settings that suit it.

A job of seconds pays for every node that has to start; one of hours is divided among them. So
what a step takes at all says which settings suit it, and after one trial that is known. From
steps of several sizes it is learnt how each setting's distance from the best goes with the
size: a slope by setting, drawn towards none. A step larger than all before is taken to be as
large as the largest of them. Whether sizes say anything is for history to show: they are one
more idea among the components (see `components`), believed as far as it was right before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.history import History, centred
from optimizer.search.learnt import Learnt, Near

Array: TypeAlias = NDArray[Any]

DOUBT: Final = 1.0
"""That sizes say nothing counts as much as so many families."""
FEWEST: Final = 3
"""A line through fewer families fits whatever they are: sizes have a say where there are more,
so that history can be asked, with each of them left out."""
_LEAST: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Sizes:
    """``usual`` is what a step of size 0 takes by setting, ``slope`` how its distances go.

    Sizes are log outcomes, about ``mean``, between ``least`` and ``most``; ``unsure`` is how
    much one outcome errs in telling a size, as a share of how much sizes vary.
    """

    usual: Array
    slope: Array
    mean: float
    least: float
    most: float
    unsure: float

    @classmethod
    def of(cls, history: History) -> Sizes:
        """Learn from the steps of a history."""
        free, usual = centred(history.rows)
        size, weights = np.nanmean(history.rows - free, axis=1), history.weights()
        mean = float(np.average(size, weights=weights))
        known = np.isfinite(history.rows)
        usual = np.where(known.any(axis=0), usual, np.nan)
        spread = max(float(np.average((size - mean) ** 2, weights=weights)), _LEAST)
        unsure = float(np.nanmean((free - usual) ** 2)) / spread
        return cls(
            usual, _slope(history, size - mean, spread), mean,
            float(size.min()), float(size.max()), unsure,
        )  # fmt: skip

    @classmethod
    def none(cls, settings: int) -> Sizes:
        """Return what is known of sizes where no step is known."""
        return cls(np.full(settings, np.nan), np.zeros(settings), 0.0, 0.0, 0.0, 1.0)

    def shift(self, tried: Array, outcomes: Array) -> Array:
        """Return by how much distances are expected to differ from most steps', by setting."""
        apart = np.asarray(outcomes, float) - self.usual[tried] - self.mean
        apart = apart[np.isfinite(apart)]
        size = self.mean + float(apart.sum()) / (len(apart) + self.unsure)
        return self.slope * (min(max(size, self.least), self.most) - self.mean)

    def without(self, history: History) -> Array:
        """Return a history's warped distances less what the steps' sizes say of them."""
        shifts = []
        for row in history.rows:
            known = np.flatnonzero(np.isfinite(row))
            shifts.append(self.shift(known, row[known]))
        return np.asarray(history.warped() - np.stack(shifts))


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What other steps say, and what they say when their sizes are told: ``plain``, ``sized``."""

    plain: Learnt
    sized: Learnt
    sizes: Sizes

    @classmethod
    def of(cls, history: History, near: Near, *, sized: bool) -> Known:
        """Learn from a history; with sizes, where there are enough families to."""
        rows, weights = history.warped(), history.weights()
        plain = Learnt.of(rows, weights, near)
        if not sized:
            return cls(plain, plain, Sizes.none(rows.shape[1]))
        sizes = Sizes.of(history)
        return cls(plain, Learnt.of(sizes.without(history), weights, near), sizes)

    @classmethod
    def nothing(cls, settings: int) -> Known:
        """Return what is known where no step is."""
        plain = Learnt(np.zeros(settings), np.zeros((settings, settings)), 1.0, 1.0)
        return cls(plain, plain, Sizes.none(settings))


def telling(families: Sequence[str]) -> bool:
    """Return whether steps of these families can show what sizes say."""
    return len(set(families)) > FEWEST


def _slope(history: History, size: Array, spread: float) -> Array:
    """How distances go with sizes, by setting: least squares, drawn towards nothing."""
    rows, weights = history.warped(), history.weights()[:, None]
    free, levels = centred(rows)
    known = np.isfinite(rows)
    rest = np.where(known, free - levels[None, :], 0.0)
    apart = np.where(known, size[:, None], 0.0) * weights
    doubt = DOUBT * spread * len(rows) / len(set(history.families))
    return np.asarray((apart * rest).sum(axis=0) / ((apart * size[:, None]).sum(axis=0) + doubt))

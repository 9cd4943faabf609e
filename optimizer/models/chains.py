"""Chains: what came of the pieces of work whose first try failed, by class of error.

Of each piece only three things matter: the class of its first error, how many later tries
failed too, and whether one succeeded. Equal pieces are counted together, so that a million
of them are a handful of cells.

>>> cells = Cells((1.0, 4.0), (0.0, 1.0), (3.0, 1.0))
>>> cells.units, cells.recovered
(4.0, 1.0)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.models.recovery import Rates
from optimizer.tries import Tries

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Cells:
    """Units of one class: how many later tries failed and succeeded, and how many units so."""

    failed: tuple[float, ...]
    succeeded: tuple[float, ...]
    count: tuple[float, ...]

    @property
    def units(self) -> float:
        """How many pieces of work there are."""
        return float(sum(self.count))

    @property
    def recovered(self) -> float:
        """How many of them succeeded in the end."""
        return float(sum(n for s, n in zip(self.succeeded, self.count, strict=True) if s))

    @property
    def retried(self) -> float:
        """How many of them were tried again at all."""
        rows = zip(self.failed, self.succeeded, self.count, strict=True)
        return float(sum(n for f, s, n in rows if f + s > 0))

    def times(self, weight: float) -> Cells:
        """Return the cells as if there were so many times as many units."""
        return Cells(self.failed, self.succeeded, tuple(n * weight for n in self.count))

    def likely(self, rates: Rates) -> float:
        """Return how likely these units are under a spread, in logs; units alike are alike."""
        return float(rates.likely(self.failed, self.succeeded) @ np.asarray(self.count))

    def rates(self, prior: Rates, strength: float, chance: np.random.Generator | None) -> Rates:
        """Return how the chances of these units are spread; with ``chance``, of a resample."""
        count = np.asarray(self.count)
        if chance is not None:
            count = chance.gamma(count)  # Bayesian bootstrap (Rubin 1981)
        return prior.learn(self.failed, self.succeeded, strength=strength, count=count)


def by_class(tries: Tries) -> dict[str, Cells]:
    """Return the units whose first try failed, by the class of that first error."""
    turns = tries.in_turn()
    if not len(turns):
        return {}
    begin = np.flatnonzero(np.r_[True, np.diff(turns.unit) != 0])
    wrong = (turns.error != "").astype(float)
    failed = np.add.reduceat(wrong, begin) - wrong[begin]
    succeeded = np.add.reduceat(1.0 - wrong, begin) - (1.0 - wrong[begin])
    first = turns.error[begin]
    return {
        str(name): _cells(failed[first == name], succeeded[first == name])
        for name in np.unique(first[first != ""])
    }


def _cells(failed: Array, succeeded: Array) -> Cells:
    pairs, count = np.unique(np.column_stack([failed, succeeded]), axis=0, return_counts=True)
    return Cells(
        tuple(float(f) for f in pairs[:, 0]), tuple(float(s) for s in pairs[:, 1]),
        tuple(float(n) for n in count),
    )  # fmt: skip


def together(many: Sequence[Mapping[str, Cells]]) -> dict[str, Cells]:
    """Return the cells of several steps as if they were one step's."""
    names = sorted({name for one in many for name in one})
    found = {}
    for name in names:
        mine = [one[name] for one in many if name in one]
        found[name] = Cells(
            tuple(v for c in mine for v in c.failed), tuple(v for c in mine for v in c.succeeded),
            tuple(v for c in mine for v in c.count),
        )  # fmt: skip
    return found

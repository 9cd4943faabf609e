"""A table: everything that was measured of one workload under one objective.

The backtest plays a search on it: a method asks for a setting and is told its log outcome.
A setting that failed counts as twice the worst that succeeded, for the method and in what
the search is charged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.resemblance import Described, words_of
from optimizer.search.history import History
from optimizer.search.space import Space

Array: TypeAlias = NDArray[Any]

_FEWEST: int = 3
"""A workload of the history that shares fewer settings says nothing about them."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One workload: outcomes by setting, in the objective's unit (less is better)."""

    dataset: str
    objective: str
    name: str
    family: str
    space: Space
    outcome: Array
    failed: Array
    low_level: Array | None = None

    @classmethod
    def of(
        cls, dataset: str, objective: str, name: str, family: str, space: Space, measured: Array,
        ok: Array, low_level: Array | None = None,
    ) -> Table:  # fmt: skip
        """Make a table of what was measured; what is not ``ok`` failed."""
        worst = float(np.nanmax(np.where(ok, measured, np.nan)))
        outcome = np.where(ok, measured, 2.0 * worst)
        return cls(dataset, objective, name, family, space, outcome, ~ok, low_level)

    @property
    def log_outcome(self) -> Array:
        """The log outcome by setting: what a method is told."""
        return np.asarray(np.log(self.outcome))

    @property
    def gap(self) -> Array:
        """By what share each setting is worse than the best."""
        return np.asarray(self.outcome / self.outcome[~self.failed].min() - 1.0)

    def history(self, others: Sequence[Table], *, same_family: bool = False) -> History:
        """Return what other tables say of this one's settings; of other families alone."""
        rows, families, _ = self._seen(others, same_family)
        return History.of(rows, families, len(self.space))

    def lenders(self, others: Sequence[Table], *, same_family: bool = False) -> list[Described]:
        """Return what is known of the workloads of `history`, by their names."""
        return self._seen(others, same_family)[2]

    @property
    def described(self) -> Described:
        """What is known of the workload beside its outcomes: the words of its name."""
        return Described(words=words_of(self.name.rsplit("/", 1)[0]))

    def _seen(
        self, others: Sequence[Table], same_family: bool
    ) -> tuple[list[Array], list[str], list[Described]]:
        place = {name: index for index, name in enumerate(self.space.names)}
        rows, families, told = [], [], []
        for other in others:
            if other.name == self.name or (other.family == self.family and not same_family):
                continue
            row = np.full(len(self.space), np.nan)
            for name, value in zip(other.space.names, other.log_outcome, strict=True):
                if name in place:
                    row[place[name]] = value
            if np.isfinite(row).sum() >= _FEWEST:
                rows.append(row)
                families.append(other.family)
                told.append(other.described)
        return rows, families, told

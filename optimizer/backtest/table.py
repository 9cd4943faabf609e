"""A table: everything that was measured of one workload under one objective.

The backtest plays a search on it: a method asks for a setting and is told its log outcome.
A setting that failed, or is over a limit, counts as twice the worst that succeeded, in what the
search is charged and for whoever cannot be told more. Ours is told what a step knows: that a
run failed, and of one over the limit what it took and by how much it was over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """One workload: outcomes by setting, in the objective's unit (less is better).

    ``low_level`` are metrics of its runs (settings × metrics), of which history has the same.
    """

    dataset: str
    objective: str
    name: str
    family: str
    space: Space
    outcome: Array
    failed: Array
    low_level: Array | None = None
    measured: Array | None = None
    """What was measured, over a limit too; NaN where every run failed."""
    over: Array | None = None
    """The log of the limited quantity as a multiple of its limit."""

    @classmethod
    def of(
        cls, dataset: str, objective: str, name: str, family: str, space: Space, measured: Array,
        ok: Array, low_level: Array | None = None, over: Array | None = None,
    ) -> Table:  # fmt: skip
        """Make a table of what was measured; what is not ``ok`` failed, or is over its limit."""
        good = ok if over is None else ok & (over <= 0.0)
        worst = float(np.nanmax(np.where(good, measured, np.nan)))
        outcome = np.where(good, measured, 2.0 * worst)
        told = np.where(ok, measured, np.nan)
        return cls(dataset, objective, name, family, space, outcome, ~good, low_level, told, over)

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

    def known(self, others: Sequence[Table], *, same_family: bool = False) -> History:
        """Return the same history as steps know it: see `History`."""
        seen = list(self._others(others, same_family))
        rows = [self._placed(other, other.log_measured) for other in seen]
        failed = [self._placed(other, other.crashed.astype(float)) for other in seen]
        over = [self._placed(other, other.over) for other in seen if other.over is not None]
        metrics = [self._metrics_of(other) for other in seen]
        return History.of(
            rows, [other.family for other in seen], len(self.space), failed=failed,
            over=over if len(over) == len(seen) and over else None,
            metrics=metrics if self.low_level is not None else None,
        )  # fmt: skip

    @property
    def log_measured(self) -> Array:
        """The log of what was measured; NaN where every run failed."""
        if self.measured is None:
            return np.where(self.failed, np.nan, self.log_outcome)
        return np.asarray(np.log(self.measured))

    @property
    def crashed(self) -> Array:
        """Which settings failed, whatever their limit."""
        return ~np.isfinite(self.log_measured)

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
        rows, families, told = [], [], []
        for other in self._others(others, same_family):
            rows.append(self._placed(other, other.log_outcome))
            families.append(other.family)
            told.append(other.described)
        return rows, families, told

    def _others(self, others: Sequence[Table], same_family: bool) -> Iterator[Table]:
        """The workloads that history is of."""
        mine = set(self.space.names)
        for other in others:
            if other.name == self.name or (other.family == self.family and not same_family):
                continue
            if len(mine.intersection(other.space.names)) >= _FEWEST:
                yield other

    def _placed(self, other: Table, values: Array) -> Array:
        """What another table holds, at the places of this one's settings."""
        at = dict(zip(other.space.names, values, strict=True))
        return np.asarray([at.get(name, np.nan) for name in self.space.names], float)

    def _metrics_of(self, other: Table) -> Array:
        """Another table's metrics, at the places of this one's settings."""
        many = 0 if self.low_level is None else self.low_level.shape[1]
        told = np.zeros((0, many)) if other.low_level is None else other.low_level
        at = dict(zip(other.space.names, told, strict=False))
        none = np.full(many, np.nan)
        return np.asarray([at.get(name, none) for name in self.space.names], float)

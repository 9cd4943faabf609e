"""How long a batch holds its slot, by run, size and number in flight.

Log seconds are taken as the sum of a run's, a size's and a concurrency's level, solved by
weighted least squares, so that a slow hour is not taken for a large batch. A comparison
is answered only where the record can tell the three apart; where sizes met only in
different runs, runs are taken as alike, and said to be. Sizes between those seen lie on
the curve of `optimizer.models.service_time`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.models import service_time

Array: TypeAlias = NDArray[Any]

LEAST: Final = 5
"""Batches below which a value of a knob does not count as seen."""
UNSEEN: Final = 0.2
"""How far log seconds are held to lie off for a size and concurrency that never met; measured
on recorded runs (docs/concepts/what-if.md)."""
LEAST_RUNS: Final = 3
"""Runs below which how runs differ is not known."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a batch was: its run (0 is the one replayed), its size, how many in flight."""

    run: int
    size: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Shift:
    """A difference of log seconds, and its standard error."""

    log: float
    se: float


@dataclass(frozen=True, slots=True)
class Levels:
    """The solved levels. ``alike``: runs were taken as alike."""

    columns: Mapping[tuple[str, int], int]
    solved: Array
    cov: Array
    space: Array
    counts: Mapping[int, int]
    alike: bool
    tau: float | None
    """How far cells lie off the sum of their levels (standard deviation), beyond chance."""
    runs: Mapping[int, float]
    """How each run's log seconds differ from the median run's; empty where that is not known."""

    @property
    def sizes(self) -> list[int]:
        """Sizes that were seen."""
        return sorted(self.counts)

    def shift(self, source: Cell, target: Cell) -> Shift | None:
        """Return what to add to log seconds at ``source`` for ``target``; None: cannot say."""
        asked = self._row(target) - self._row(source)
        if np.abs(asked - self.space @ asked).max(initial=0.0) > 1e-6:
            return None
        variance = max(float(asked @ self.cov @ asked), 0.0)
        if source != target:
            variance += (UNSEEN if self.tau is None else self.tau) ** 2
        return Shift(float(asked @ self.solved), math.sqrt(variance))

    def _row(self, cell: Cell) -> Array:
        row = np.zeros(len(self.columns))
        for name in (("run", cell.run), ("size", cell.size), ("in_flight", cell.in_flight)):
            if name in self.columns:
                row[self.columns[name]] = 1.0
        return row

    def curve(self, base: Cell) -> service_time.Curve | None:
        """Return relative seconds by size as a curve through what can be compared."""
        found = {n: self.shift(base, Cell(base.run, n, base.in_flight)) for n in self.sizes}
        known = {n: shift for n, shift in found.items() if shift is not None}
        if len(known) < 2:
            return None
        seconds = [math.exp(shift.log) for shift in known.values()]
        return service_time.fit(list(known), seconds, [self.counts[n] for n in known])


def levels(samples: Iterable[tuple[Cell, float]]) -> Levels:
    """Return the levels of a step's batches: where each was, and its seconds."""
    logs: dict[Cell, list[float]] = {}
    for cell, seconds in samples:
        if seconds > 0.0:
            logs.setdefault(cell, []).append(math.log(seconds))
    counts: dict[int, int] = {}
    for cell, values in logs.items():
        counts[cell.size] = counts.get(cell.size, 0) + len(values)
    few = {n for n, count in counts.items() if count < LEAST}
    kept = {cell: values for cell, values in logs.items() if cell.size not in few} or logs
    seen = {n: count for n, count in counts.items() if any(c.size == n for c in kept)}
    apart = _solve(kept, seen, alike=False)
    if len(seen) > 1 and not _compares_sizes(apart, kept):
        return _solve(kept, seen, alike=True)
    return apart


def _compares_sizes(found: Levels, cells: Iterable[Cell]) -> bool:
    base = next(iter(cells))
    return all(found.shift(base, Cell(base.run, n, base.in_flight)) for n in found.sizes)


def _solve(logs: Mapping[Cell, list[float]], counts: Mapping[int, int], *, alike: bool) -> Levels:
    cells = list(logs)
    names = [("size", c.size) for c in cells] + [("in_flight", c.in_flight) for c in cells]
    if not alike:
        names += [("run", c.run) for c in cells]
    columns = {name: i for i, name in enumerate(dict.fromkeys(names))}
    empty = np.zeros((len(columns), len(columns)))
    rows = Levels(columns, np.zeros(len(columns)), empty, empty, counts, alike, None, {})
    design = np.array([rows._row(c) for c in cells]).reshape(len(cells), len(columns))
    means = np.array([np.mean(logs[c]) for c in cells])
    noise = _noise(logs)
    weight = np.array([len(logs[c]) / noise for c in cells])
    inverse = np.linalg.pinv(design.T @ (design * weight[:, None]))
    solved = inverse @ (design.T @ (weight * means))
    residual = means - design @ solved
    freedom = len(cells) - int(np.linalg.matrix_rank(design)) if len(cells) else 0
    tau = _beyond_chance(weight, residual, freedom)
    space = np.linalg.pinv(design) @ design if len(cells) else empty
    runs = _runs(solved, columns)
    return Levels(columns, solved, inverse, space, counts, alike, tau, runs)


def _beyond_chance(weight: Array, residual: Array, freedom: int) -> float | None:
    """The moment estimate of DerSimonian & Laird, Controlled Clinical Trials 1986."""
    if freedom <= 0:
        return None
    excess = float((weight * residual**2).sum()) - freedom
    scale = float(weight.sum() - (weight**2).sum() / weight.sum())
    return math.sqrt(max(excess, 0.0) / scale) if scale > 0.0 else None


def _noise(logs: Mapping[Cell, list[float]]) -> float:
    """The variance of one batch's log seconds within its cell."""
    squares = sum(float(((np.array(v) - np.mean(v)) ** 2).sum()) for v in logs.values())
    freedom = sum(len(v) - 1 for v in logs.values())
    return max(squares / freedom, 1e-6) if freedom > 0 else 0.05


def _runs(solved: Array, columns: Mapping[tuple[str, int], int]) -> dict[int, float]:
    runs = {value: float(solved[i]) for (kind, value), i in columns.items() if kind == "run"}
    if len(runs) < LEAST_RUNS:
        return {}
    middle = float(np.median(list(runs.values())))
    return {run: level - middle for run, level in runs.items()}

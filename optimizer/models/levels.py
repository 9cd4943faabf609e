"""Levels: how log outcomes differ between the values of a knob, run effects taken out.

Values that were tried side by side in a run are compared within it: whatever makes a run
fast or slow as a whole (its workload, the hour, the machine) cancels. That is weighted
least squares with one effect a run; chains of experiments connect values that never met.
Values that only ever ran in different runs are compared between runs, adjusted for the
workload's size and its hour, and only where sizes and times overlap (`models.alike`), with a
change of everything on any one day allowed for. Else there is no level: history cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.distinct import distinct
from optimizer.effect import REACH
from optimizer.models.alike import Times, changes, same_times, time_columns

Array: TypeAlias = NDArray[Any]

BOUND: Final = 1.5
"""Scales from the centre at which a pair stops gaining influence."""
LEAST_RUNS: Final = 3
"""Runs a side below which values are not compared between runs."""


@dataclass(frozen=True, slots=True)
class Level:
    """A value's mean log outcome less that of the stable value.

    ``sd`` is the spread of one observation, ``naive`` the difference without adjustment.
    """

    log: float
    se: float
    n: int
    sd: float
    naive: float
    method: Literal["within runs", "between runs"]


def within_runs(run: Array, value: Array, y: Array, stable: int) -> dict[int, Level]:
    """Return the level of each value that is connected to the stable one through runs."""
    cells = _cells(run, value, y)
    reached = _connected(cells, stable)
    used = [c for c in cells if c.value in reached]
    others = sorted(reached - {stable})
    if not others:
        return {}
    log, cov = _solve(used, others)
    spread = _spreads(value, y)
    mean = {v: float(y[value == v].mean()) for v in reached}
    return {
        v: Level(
            float(log[i]), float(np.sqrt(cov[i, i])), int((value == v).sum()), spread[v],
            mean[v] - mean[stable], "within runs",
        )
        for i, v in enumerate(others)
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Cell:
    run: Any
    value: int
    mean: float
    variance: float


def _cells(run: Array, value: Array, y: Array) -> list[_Cell]:
    """Mean of each value in each run, with the variance of that mean."""
    spread = _spreads(value, y)
    runs, of_run = distinct(run)
    values, of_value = np.unique(value, return_inverse=True)
    cell, codes = np.unique(of_run * len(values) + of_value, return_inverse=True)
    counts = np.bincount(codes)
    means = np.bincount(codes, weights=y) / np.maximum(counts, 1)
    return [
        _Cell(runs[at // len(values)], v, mean, spread[v] ** 2 / count)
        for at, mean, count in zip(cell.tolist(), means.tolist(), counts.tolist(), strict=True)
        for v in [int(values[at % len(values)])]
    ]


def _spreads(value: Array, y: Array) -> dict[int, float]:
    """Spread of each value's log outcomes; few observations lean on the pooled spread."""
    pooled = float(np.std(y, ddof=1)) if len(y) > 1 else 1.0
    centred = y - _means_by(value, y)
    within = float(np.sqrt((centred**2).sum() / max(len(y) - len(np.unique(value)), 1))) or pooled
    found = {}
    for v in np.unique(value):
        mine = centred[value == v]
        found[int(v)] = float(np.sqrt((4 * within**2 + (mine**2).sum()) / (4 + len(mine) - 1)))
    return found


def _means_by(value: Array, y: Array) -> Array:
    _, codes = np.unique(value, return_inverse=True)
    means = np.bincount(codes, weights=y) / np.bincount(codes)
    fitted: Array = means[codes]
    return fitted


def _connected(cells: list[_Cell], stable: int) -> set[int]:
    """Values that share a run with the stable one, or with one that does, and so on."""
    reached, runs = {stable}, set[Any]()
    while True:
        runs |= {c.run for c in cells if c.value in reached}
        grown = reached | {c.value for c in cells if c.run in runs}
        if grown == reached:
            return reached
        reached = grown


def _solve(cells: list[_Cell], others: list[int]) -> tuple[Array, Array]:
    """Solve weighted least squares with an effect a run.

    These are taken out first, which is the same (Frisch and Waugh, Econometrica 1933) and needs
    no matrix of runs.
    """
    _, codes = np.unique([cell.run for cell in cells], return_inverse=True)
    weight = np.array([1.0 / max(c.variance, 1e-12) for c in cells])
    value, y = np.array([c.value for c in cells]), np.array([c.mean for c in cells])
    design = (value[:, None] == np.array(others)[None, :]).astype(float)
    within = np.column_stack([design, y])
    sums = np.column_stack([np.bincount(codes, weights=weight * one) for one in within.T])
    within = within - (sums / np.bincount(codes, weights=weight)[:, None])[codes]
    design, y = within[:, :-1], within[:, -1]
    cov = np.linalg.pinv(design.T @ (design * weight[:, None]))
    return cov @ (design.T @ (weight * y)), cov


def between_runs(
    run: Array, value: Array, y: Array, run_items: Mapping[Any, float], stable: int,
    began: Mapping[Any, float] | None = None,
) -> dict[int, Level]:  # fmt: skip
    """Return levels of values that ran alone in their runs, adjusted for the runs' size.

    ``began`` says when each run did: values that ran at other times are not compared.
    """
    cells = _cells(run, value, y)
    rows = [
        (c.value, c.mean, np.log(run_items[c.run]), began[c.run] if began else 0.0) for c in cells
    ]
    table = np.array(rows, dtype=float).reshape(-1, 4)
    found = {}
    for v in sorted({int(r[0]) for r in rows} - {stable}):
        mine, base = table[table[:, 0] == v], table[table[:, 0] == stable]
        if min(len(mine), len(base)) < LEAST_RUNS or not _overlaps(mine[:, 2], base[:, 2]):
            continue
        if same_times(Times(mine[:, 3]), Times(base[:, 3])):
            found[v] = _least_sure(mine, base)
    return found


def _overlaps(mine: Array, base: Array) -> bool:
    """Whether the workload sizes of both sides share most of their range."""
    slack = 0.25
    inside = (mine >= base.min() - slack) & (mine <= base.max() + slack)
    return bool(inside.mean() >= 0.8)


def _least_sure(mine: Array, base: Array) -> Level:
    """The level under the change, on any one day, that leaves least of it."""
    began = Times(np.vstack([base, mine])[:, 3])
    found = [_adjusted(mine, base, one) for one in changes(began)] or [_adjusted(mine, base)]
    return min(found, key=lambda level: abs(level.log) - REACH * level.se)


def _adjusted(mine: Array, base: Array, changed: Array | None = None) -> Level:
    both = np.vstack([base, mine])
    is_mine = np.r_[np.zeros(len(base)), np.ones(len(mine))]
    columns = [np.ones(len(both)), is_mine]
    if np.ptp(both[:, 2]) > 0.05:
        columns.append(both[:, 2] - both[:, 2].mean())
    if changed is not None:
        columns.append(changed)
    columns += time_columns(Times(both[:, 3]), len(columns))
    design = np.column_stack(columns)
    solved, *_ = np.linalg.lstsq(design, both[:, 1], rcond=None)
    residual = both[:, 1] - design @ solved
    freedom = max(len(both) - design.shape[1], 1)
    variance = max(float((residual**2).sum()) / freedom, 1e-4)
    se = float(np.sqrt(variance * np.linalg.pinv(design.T @ design)[1, 1]))
    naive = float(mine[:, 1].mean() - base[:, 1].mean())
    return Level(float(solved[1]), se, len(mine), variance**0.5, naive, "between runs")


def from_pairs(value: Array, control: Array, difference: Array, stable: int) -> dict[int, Level]:
    """Return levels from pairs: each says ``level[value] - level[control] = difference``.

    Solved with bounded influence (Huber, "Robust estimation of a location parameter",
    Annals of Mathematical Statistics 1964): one wild pair does not move a level far.
    """
    known = {stable}
    while grown := {
        int(b if a in known else a)
        for a, b in zip(value, control, strict=True)
        if (a in known) != (b in known)
    }:
        known |= grown
    others = sorted(known - {stable})
    use = np.array([int(v) in known for v in value], dtype=bool)
    if not others:
        return {}
    value, control, difference = value[use], control[use], difference[use]
    design = np.column_stack(
        [(value == v).astype(float) - (control == v).astype(float) for v in others]
    )
    solved, residual, scale = _huber(design, difference)
    cov = np.linalg.pinv(design.T @ design)
    found = {}
    for i, v in enumerate(others):
        own = residual[(value == v) | (control == v)]
        sd = float(np.sqrt((3 * scale**2 + (own**2).sum()) / (3 + max(len(own) - 2, 1))))
        log = float(solved[i])
        se = sd * float(np.sqrt(cov[i, i]))
        found[v] = Level(log, se, len(own), sd, log, "within runs")
    return found


def _huber(design: Array, y: Array) -> tuple[Array, Array, float]:
    """Return the solution, with pseudo-residuals whose spread is that of the solution."""
    weight = np.ones(len(y))
    freedom = max(len(y) - design.shape[1] - 1, 1)  # one more: the scale is estimated too
    for _ in range(20):
        root = np.sqrt(weight)
        solved, *_ = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)
        residual = y - design @ solved
        scale = max(1.4826 * float(np.median(np.abs(residual))), 1e-3)
        weight = np.minimum(1.0, BOUND * scale / np.maximum(np.abs(residual), 1e-12))
    within = max(float((np.abs(residual) <= BOUND * scale).mean()), 0.5)
    pseudo = np.clip(residual, -BOUND * scale, BOUND * scale) / within
    return solved, pseudo, float(np.sqrt((pseudo**2).sum() / freedom))

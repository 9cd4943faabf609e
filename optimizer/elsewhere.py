"""Elsewhere: what other steps took under each setting of one knob, as the record sums it up.

A step is a row, a setting (a class of hardware) a column; an outcome is the mean log of
seconds or dollars an item that succeeded, what failed charged to what did not. Settings are
compared in the same hours of the day: one that a step ran under at night alone is not known
beside one that it ran under by day. Steps of one playbook are a family: they are alike, and
together count as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.evidence import Table
from optimizer.objective import COST_COVERAGE, Objective
from optimizer.resemblance import Described, words_of
from optimizer.search.history import History
from optimizer.search.space import Column, Space

Array: TypeAlias = NDArray[Any]
StepName: TypeAlias = tuple[str, str]

FEWEST_RUNS: Final = 2
"""A setting under which a step ran less often says nothing yet."""
FEWEST_SETTINGS: Final = 2
"""A step that ran under fewer tells nothing of one beside another."""
MOST_FAILED: Final = 0.99
"""What always failed counts as if one in a hundred had worked."""


@dataclass(frozen=True, slots=True, eq=False)
class Elsewhere:
    """Outcomes by step and setting, in logs; NaN where a step has not run."""

    steps: tuple[StepName, ...]
    settings: tuple[str, ...]
    seconds: Array
    dollars: Array
    described: tuple[Described, ...] = ()
    """What is known of each step beside its outcomes."""
    metrics: Array | None = None
    """What runs did with `METRICS`: steps × settings × metrics, NaN where that is not known."""

    def of(self, objective: Objective, step: StepName, setting: str) -> float:
        """Return a step's outcome under a setting; NaN when it is not known."""
        if step not in self.steps or setting not in self.settings:
            return float("nan")
        place = self.steps.index(step), self.settings.index(setting)
        return float(self._outcomes(objective)[place])

    def history(
        self, objective: Objective, settings: Sequence[str], without: StepName | None = None
    ) -> History:
        """Return what other steps show of these settings."""
        rows = self._rows(objective, settings)
        kept = self.lenders(objective, settings, without)
        families = [self.steps[place][0] for place in kept]
        metrics = None
        if self.metrics is not None:  # what has no outcome teaches nothing, whatever it did
            known = np.isfinite(rows)[:, :, None]
            metrics = [np.where(known[at], self.seen(at, settings), np.nan) for at in kept]
        return History.of([rows[at] for at in kept], families, len(settings), metrics=metrics)

    def seen_of(self, step: StepName, settings: Sequence[str]) -> Array | None:
        """Return the metrics of a step under these settings; None where nothing is known."""
        return self.seen(self.steps.index(step), settings) if step in self.steps else None

    def seen(self, step: int, settings: Sequence[str]) -> Array:
        """Return the metrics of a step, by its place, under these settings."""
        many = 0 if self.metrics is None else self.metrics.shape[-1]
        found = np.full((len(settings), many), np.nan)
        for row, setting in enumerate(settings):
            if self.metrics is not None and setting in self.settings:
                found[row] = self.metrics[step, self.settings.index(setting)]
        return found

    def lenders(
        self, objective: Objective, settings: Sequence[str], without: StepName | None = None
    ) -> list[int]:
        """Return the places of the steps that are the rows of `history`."""
        known = np.isfinite(self._rows(objective, settings)).sum(axis=1) >= FEWEST_SETTINGS
        return [int(at) for at in np.flatnonzero(known) if self.steps[at] != without]

    def _rows(self, objective: Objective, settings: Sequence[str]) -> Array:
        told = self._outcomes(objective)
        rows = np.full((len(self.steps), len(settings)), np.nan)
        for column, setting in enumerate(settings):
            if setting in self.settings:
                rows[:, column] = told[:, self.settings.index(setting)]
        return rows

    def _outcomes(self, objective: Objective) -> Array:
        return self.dollars if objective == "cost" else self.seconds


def space_of(settings: Sequence[str]) -> Space:
    """Return the space of these settings: classes of hardware are the same or they are not."""
    return Space.of(tuple(settings), {"class": Column("category", tuple(settings))})


def elsewhere(
    table: Table, catalogue: Mapping[StepName, Described] | None = None
) -> Elsewhere:  # fmt: skip
    """Return what the statement ``evidence_settings`` has told.

    ``catalogue`` describes steps; of others the name alone is known.
    """
    names = ("playbook", "step", "setting")
    playbook, step, setting = ([str(v) for v in table.column(n).to_numpy()] for n in names)
    steps = tuple(sorted(set(zip(playbook, step, strict=True))))
    settings = tuple(sorted(set(setting)))
    n = {c: np.asarray(table.column(c).to_numpy(), float) for c in _NUMBERS}
    row = np.asarray([steps.index(one) for one in zip(playbook, step, strict=True)], int)
    column = np.asarray([settings.index(one) for one in setting], int)
    share = np.minimum(n["failed"] / np.maximum(n["attempts"], 1.0), MOST_FAILED)
    enough = n["runs"] >= FEWEST_RUNS
    priced = _of_place(row, column, n["priced"] - COST_COVERAGE * n["succeeded"]) >= 0.0
    charged = -np.log1p(-share)
    hour = _dayparts(table)
    seconds, dollars = (np.full((len(steps), len(settings)), np.nan) for _ in range(2))
    for i in range(len(steps)):
        for told, known, logs in (
            (seconds, enough, n["log_s"]), (dollars, enough & priced, n["log_usd"]),
        ):  # fmt: skip
            mine = (row == i) & known & np.isfinite(logs)
            at, levels = beside(column[mine], hour[mine], (logs + charged)[mine],
                                n["succeeded"][mine])  # fmt: skip
            told[i, at] = levels
    takes = _takes(table, row, n["succeeded"], len(steps))
    found = tuple(
        replace(_named(step, catalogue or {}), takes=took)
        for step, took in zip(steps, takes, strict=True)
    )
    metrics = _metrics(table, row, column, n["succeeded"], (len(steps), len(settings)))
    return Elsewhere(steps, settings, seconds, dollars, found, metrics)


def _named(step: StepName, catalogue: Mapping[StepName, Described]) -> Described:
    return catalogue.get(step) or Described(words=words_of(" ".join(step)))


def _takes(table: Table, row: Array, weight: Array, steps: int) -> list[dict[str, float]]:
    """What each step takes, as means of logs over all its settings, where it is known."""
    found: list[dict[str, float]] = [{} for _ in range(steps)]
    for name in _TAKES:
        if name not in table.column_names:
            continue
        logs = np.asarray(table.column(name).to_numpy(), float)
        for place in range(steps):
            mine = (row == place) & np.isfinite(logs) & (weight > 0.0)
            if mine.any():
                found[place][name] = float(np.average(logs[mine], weights=weight[mine]))
    return found


def _metrics(
    table: Table, row: Array, column: Array, weight: Array, shape: tuple[int, int]
) -> Array | None:
    """What each step did under each setting: geometric means over all hours."""
    named = [name for name in METRICS if name in table.column_names]
    if not named:
        return None
    found = np.full((*shape, len(named)), np.nan)
    for place, name in enumerate(named):
        logs = np.asarray(table.column(name).to_numpy(), float)
        known = np.isfinite(logs) & (weight > 0.0)
        cell = row[known] * shape[1] + column[known]
        size = shape[0] * shape[1]
        total = np.bincount(cell, weights=weight[known], minlength=size)
        summed = np.bincount(cell, weights=(logs * weight)[known], minlength=size)
        means = np.where(total > 0.0, summed / np.maximum(total, 1e-9), np.nan)
        found[:, :, place] = np.exp(means).reshape(shape)
    return found


def beside(setting: Array, hour: Array, logs: Array, weight: Array) -> tuple[Array, Array]:
    """Return the settings that shared hours with the most used one, and their levels.

    The hours' own effects are taken out; the most used setting keeps its mean.
    """
    if not len(setting):
        return setting, logs
    used, codes = np.unique(setting, return_inverse=True)
    first = int(np.bincount(codes, weights=weight).argmax())
    keep = _linked(codes, hour, first)
    kept, place = np.unique(codes[keep], return_inverse=True)
    _, when = np.unique(hour[keep], return_inverse=True)
    design = np.column_stack([np.eye(len(kept))[place], np.eye(int(when.max()) + 1)[when]])
    root = np.sqrt(np.maximum(weight[keep], 1e-9))
    solved, *_ = np.linalg.lstsq(design * root[:, None], logs[keep] * root, rcond=None)
    levels = solved[: len(kept)]
    mine = codes == first
    mean = float(np.average(logs[mine], weights=np.maximum(weight[mine], 1e-9)))
    return used[kept], levels - levels[int(np.flatnonzero(kept == first)[0])] + mean


def _linked(codes: Array, hour: Array, first: int) -> Array:
    """Which rows are of settings that share hours with ``first``, or with one that does."""
    keep = codes == first
    while True:
        grown = np.isin(codes, codes[np.isin(hour, hour[keep])])
        if (grown == keep).all():
            return np.asarray(keep)
        keep = grown


def _of_place(row: Array, column: Array, values: Array) -> Array:
    """The sum over all hours of a step's setting, at each of its rows."""
    _, place = np.unique(row * 100_003 + column, return_inverse=True)
    return np.asarray(np.bincount(place, weights=values)[place]) if len(place) else values


def _dayparts(table: Table) -> Array:
    """The four hours of the day a row is of; a table that does not say has but one."""
    if "daypart" not in table.column_names:
        return np.zeros(table.num_rows, int)
    return np.asarray(table.column("daypart").to_numpy(), int)


METRICS: Final = ("log_memory", "log_cpu", "log_read", "log_written")
"""Logs of resident memory, CPUs in use, and bytes in and out a second, where they are told."""
_TAKES: Final = ("log_s", "log_rows", "log_memory", "log_cpu")
_NUMBERS: Final = ("attempts", "runs", "failed", "log_s", "log_usd", "priced", "succeeded")

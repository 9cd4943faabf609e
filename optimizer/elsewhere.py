"""Elsewhere: what other steps took under each setting of one knob, as the record sums it up.

A step is a row, a setting (a class of hardware) a column; an outcome is the mean log of
seconds or dollars an item that succeeded, what failed charged to what did not. Steps of one
playbook are a family: they are alike, and together count as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.evidence import Table
from optimizer.objective import COST_COVERAGE, Objective
from optimizer.search.history import History
from optimizer.search.space import Column, Space

Array: TypeAlias = NDArray[Any]
StepName: TypeAlias = tuple[str, str]

FEWEST_RUNS: Final = 2
"""A setting under which a step ran less often says nothing yet."""
FEWEST_SETTINGS: Final = 2
MOST_FAILED: Final = 0.99


@dataclass(frozen=True, slots=True, eq=False)
class Elsewhere:
    """Outcomes by step and setting, in logs; NaN where a step has not run."""

    steps: tuple[StepName, ...]
    settings: tuple[str, ...]
    seconds: Array
    dollars: Array

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
        told = self._outcomes(objective)
        columns = [self.settings.index(s) if s in self.settings else -1 for s in settings]
        rows, families = [], []
        for step, line in zip(self.steps, told, strict=True):
            row = np.asarray([line[c] if c >= 0 else np.nan for c in columns])
            if step != without and np.isfinite(row).sum() >= FEWEST_SETTINGS:
                rows.append(row)
                families.append(step[0])
        return History.of(rows, families, len(settings))

    def _outcomes(self, objective: Objective) -> Array:
        return self.dollars if objective == "cost" else self.seconds


def space_of(settings: Sequence[str]) -> Space:
    """Return the space of these settings: classes of hardware are the same or they are not."""
    return Space.of(tuple(settings), {"class": Column("category", tuple(settings))})


def elsewhere(table: Table) -> Elsewhere:
    """Return what the statement ``evidence_settings`` has told."""
    names = ("playbook", "step", "setting")
    playbook, step, setting = ([str(v) for v in table.column(n).to_numpy()] for n in names)
    steps = tuple(sorted(set(zip(playbook, step, strict=True))))
    settings = tuple(sorted(set(setting)))
    seconds, dollars = (np.full((len(steps), len(settings)), np.nan) for _ in range(2))
    n = {c: np.asarray(table.column(c).to_numpy(), float) for c in _NUMBERS}
    share = np.minimum(n["failed"] / np.maximum(n["attempts"], 1.0), MOST_FAILED)
    enough = n["runs"] >= FEWEST_RUNS
    priced = enough & (n["priced"] >= COST_COVERAGE * n["succeeded"])
    for i in range(table.num_rows):
        place = steps.index((playbook[i], step[i])), settings.index(setting[i])
        charged = -np.log1p(-share[i])
        seconds[place] = n["log_s"][i] + charged if enough[i] else np.nan
        dollars[place] = n["log_usd"][i] + charged if priced[i] else np.nan
    return Elsewhere(steps, settings, seconds, dollars)


_NUMBERS: Final = ("attempts", "runs", "failed", "log_s", "log_usd", "priced", "succeeded")

"""The study of ``schedule``: the hours of the day in which a step costs or takes least.

Runs are compared by the hours in which they began, adjusted for how much work they had and
for the hardware they ran on: what only ever ran on the fast workers at night says nothing of
the night. A window needs runs on several days, on hardware and with amounts of work that other
hours have seen too; else history cannot say. Prices stand in the costs as they were that day.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.effect import Effect
from optimizer.evidence import Batches
from optimizer.finding import Asked, Finding, propose
from optimizer.guard import Limits, Reason
from optimizer.proposal import Candidate

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

HOURS: Final = 4
"""Hours of a window."""
LEAST_RUNS, LEAST_DAYS = 8, 4
"""Runs of a window, and days on which they began."""
LEAST_WINDOWS: Final = 2
LEAST: Final = 1e-8
"""The least variance: none is known better."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """One entry a run: log outcome an item, log items, when it began, and on what it ran."""

    outcome: Array
    items: Array
    began: Array
    hardware: Array

    @property
    def window(self) -> Array:
        """The window of the day (UTC) in which each run began."""
        return np.asarray((self.began // 3600 % 24 // HOURS).astype(int))

    @property
    def day(self) -> Array:
        """The day on which each run began."""
        return np.asarray((self.began // 86400).astype(int))


def runs_of(history: Batches, objective: str, hardware: Mapping[str, str]) -> Runs:
    """Return the runs outside trials, with the hardware of each where it is known."""
    mine = history.where((history.experiment == "") & ~history.failed)
    names, place = np.unique(mine.run, return_inverse=True)
    spent = mine.cost if objective == "cost" else mine.seconds
    items = np.bincount(place, weights=mine.items)
    outcome = np.bincount(place, weights=spent) / np.maximum(items, 1.0)
    began = np.full(len(names), np.inf)
    np.minimum.at(began, place, mine.start)
    fine = np.isfinite(outcome) & (outcome > 0.0)
    on = np.array([hardware.get(str(name), "") for name in names])
    return Runs(np.log(outcome[fine]), np.log(items[fine]), began[fine], on[fine])


def study(
    asked: Asked, hardware: Mapping[str, str], limits: Limits, suppressed: Collection[str]
) -> Candidate | Reason:
    """Return what history says of running in some hours alone, or why it says nothing."""
    runs = runs_of(asked.history, asked.objective, hardware)
    windows = [w for w in np.unique(runs.window).tolist() if _is_known(runs, w)]
    if len(windows) < LEAST_WINDOWS:
        text = f"{LEAST_RUNS} runs on {LEAST_DAYS} days are needed in {LEAST_WINDOWS} windows"
        return asked.no("too_little_history", f"{text} of {HOURS} hours")
    comparable = [w for w in windows if _overlaps(runs, w)]
    if len(comparable) < LEAST_WINDOWS:
        text = (
            "other hours had other hardware or other amounts of work: nobody can tell which it was"
        )
        return asked.no("history_cannot_say", text)
    levels, spread, rest = _levels(runs, comparable)
    best = int(np.argmin(levels))
    usual = np.array([(runs.window == w).mean() for w in comparable])
    against = np.eye(len(comparable))[best] - usual / usual.sum()
    log, error = float(against @ levels), float(np.sqrt(max(against @ spread @ against, LEAST)))
    days = len(np.unique(runs.day[runs.window == comparable[best]]))
    noise = float(rest.std()) * float(np.sqrt(2.0 / limits.ramp_units))
    effect = Effect(log, error, noise, max(days - 1, 1))
    value = _named(comparable[best])
    table = {
        _named(w): {"level": float(v), "se": float(e), "runs": int((runs.window == w).sum())}
        for w, v, e in zip(
            comparable, levels, np.sqrt(np.maximum(np.diag(spread), LEAST)), strict=True
        )
    }
    found = Finding(
        value, effect, "between hours, adjusted for work and hardware", len(runs.outcome),
        f"run between {value} UTC", len(comparable), {"windows": table, "days": days},
    )  # fmt: skip
    return propose(asked, found, limits, suppressed)


def _named(window: int) -> str:
    return f"{window * HOURS:02d}:00-{(window + 1) * HOURS % 24:02d}:00"


def _is_known(runs: Runs, window: int) -> bool:
    mine = runs.window == window
    return int(mine.sum()) >= LEAST_RUNS and len(np.unique(runs.day[mine])) >= LEAST_DAYS


def _overlaps(runs: Runs, window: int) -> bool:
    """Whether a window's runs are like those of other hours, in hardware and in work."""
    mine, others = runs.window == window, runs.window != window
    same = np.isin(runs.hardware[mine], runs.hardware[others])
    low, high = runs.items[others].min() - 0.25, runs.items[others].max() + 0.25
    alike = same & (runs.items[mine] >= low) & (runs.items[mine] <= high)
    return bool(alike.mean() >= 0.5)


def _levels(runs: Runs, windows: list[int]) -> tuple[Array, Array, Array]:
    """Levels of windows, their covariance (runs of one day count as one), and what is left."""
    use = np.isin(runs.window, windows)
    y, items = runs.outcome[use], runs.items[use]
    window, hardware, day = runs.window[use], runs.hardware[use], runs.day[use]
    columns = [(window == w).astype(float) for w in windows]
    columns += [(hardware == name).astype(float) for name in np.unique(hardware)[1:]]
    if np.ptp(items) > 0.05:
        columns.append(items - items.mean())
    design = np.column_stack(columns)
    solved, *_ = np.linalg.lstsq(design, y, rcond=None)
    rest = y - design @ solved
    inverse = np.linalg.pinv(design.T @ design)
    _, cluster = np.unique(np.column_stack([window, day]), axis=0, return_inverse=True)
    scores = np.stack([
        np.bincount(cluster.ravel(), weights=column * rest) for column in design.T
    ])  # fmt: skip
    spread = inverse @ (scores @ scores.T) @ inverse  # Liang & Zeger 1986
    return solved[: len(windows)], spread[: len(windows), : len(windows)], rest

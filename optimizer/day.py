"""A day in parts: when runs began, when they could have, and what each part costs.

Hours that no choice tells apart are one part. Levels of parts are adjusted for how much work the
runs had and for the hardware they ran on; runs of one part and day count as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.evidence import Batches
from runtime.playbook.hours import closes, day_of, of_day, opens

Array: TypeAlias = NDArray[Any]

LEAST_RUNS, LEAST_DAYS = 8, 4
"""Runs that began in some hours, and days on which they did."""
ALIKE: Final = 0.5
"""The least share of them that others are like, in hardware and in work."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """One entry a run: log outcome an item, log items, when it began, on what, in which part.

    ``part`` is which part of the day it began in: hours that no choice tells apart are one;
    ``day`` is the day of that part.
    """

    outcome: Array
    items: Array
    began: Array
    hardware: Array
    part: Array
    day: Array


@dataclass(frozen=True, slots=True)
class Day:
    """The clock of a place, its hours in parts, and how long a step may wait for some of them."""

    zone: tzinfo
    at_most_s: float
    parts: tuple[tuple[int, ...], ...]
    spread_s: float = 0.0

    @classmethod
    def of(
        cls, zone: tzinfo, at_most_s: float, choices: Sequence[str], spread_s: float = 0.0
    ) -> Day:
        """Put hours together that every choice has, or has not, alike.

        >>> from datetime import UTC
        >>> [len(part) for part in Day.of(UTC, 60.0, ["any", "22-6", "0-4"]).parts]
        [4, 4, 16]
        """
        alike: dict[tuple[bool, ...], list[int]] = {}
        for hour in range(24):
            alike.setdefault(tuple(hour in of_day(one) for one in choices), []).append(hour)
        parts = tuple(tuple(hours) for hours in alike.values())
        return cls(zone, at_most_s, parts, spread_s)

    def part_of(self, began: Array) -> Array:
        """The part of the day that each time is in."""
        number = {hour: k for k, hours in enumerate(self.parts) for hour in hours}
        return np.array(
            [number[datetime.fromtimestamp(t, self.zone).hour] for t in began.tolist()], dtype=int
        )

    def day_of(self, began: Array) -> Array:
        """The day of each time's part, on the clock of the place: a night is one, not two.

        >>> from datetime import UTC
        >>> night = Day.of(UTC, 60.0, ["any", "22-6"])
        >>> night.day_of(np.array([23.0, 24.0 + 5.0, 24.0 + 7.0]) * 3600.0).tolist()
        [719163, 719163, 719164]
        """
        after = frozenset(hour for hours in self.parts for hour in _after_midnight(hours))
        return np.array([day_of(t, self.zone, after) for t in began.tolist()], dtype=int)

    def moved(self, began: Array, hours: str) -> Array:
        """When what could begin at these times would begin, if it were to wait for some hours.

        What waits begins in the middle of the spread, on average.
        """
        opened = np.array([opens(hours, t, self.zone) for t in began.tolist()])
        waits = (opened > began) & (opened - began <= self.at_most_s)
        return np.where(waits, opened + self._spread(began, opened, hours), began)

    def _spread(self, began: Array, opened: Array, hours: str) -> Array:
        if not self.spread_s:
            return np.zeros(len(opened))
        closed = np.array([closes(hours, t, self.zone) for t in opened.tolist()])
        room: Array = np.minimum(began + self.at_most_s, closed) - opened
        return np.minimum(np.maximum(room, 0.0), self.spread_s) / 2.0


def _after_midnight(hours: Sequence[int]) -> list[int]:
    """Those of some hours that follow without a break on others of the evening before."""
    if len(hours) == 24 or not {0, 23} <= set(hours):
        return []
    return list(range(next(hour for hour in range(24) if hour not in hours)))


def runs_of(history: Batches, objective: str, hardware: Mapping[str, str], day: Day) -> Runs:
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
    began = began[fine]
    return Runs(
        np.log(outcome[fine]), np.log(items[fine]), began, on[fine], day.part_of(began),
        day.day_of(began),
    )  # fmt: skip


def named(hours: Sequence[int]) -> str:
    """Hours as a person writes them.

    >>> named([0, 1, 2, 3, 22, 23]), named([5])
    ('22-4', '5-6')
    """
    first = [h for h in hours if (h - 1) % 24 not in hours] or [0]
    return ", ".join(f"{h}-{_end(h, hours)}" for h in sorted(first, reverse=True))


def _end(first: int, hours: Sequence[int]) -> int:
    last = next((n for n in range(1, 24) if (first + n) % 24 not in hours), 24)
    return (first + last) % 24 or 24


def is_known(runs: Runs, part: int) -> bool:
    """Whether enough runs began in a part of the day, on enough days."""
    mine = runs.part == part
    return int(mine.sum()) >= LEAST_RUNS and len(np.unique(runs.day[mine])) >= LEAST_DAYS


def overlaps(runs: Runs, part: int) -> bool:
    """Whether runs in some hours are like those of other hours, in hardware and in work."""
    mine, others = runs.part == part, runs.part != part
    same = np.isin(runs.hardware[mine], runs.hardware[others])
    low, high = runs.items[others].min() - 0.25, runs.items[others].max() + 0.25
    alike = same & (runs.items[mine] >= low) & (runs.items[mine] <= high)
    return bool(alike.mean() >= ALIKE)


def levels(runs: Runs, parts: list[int]) -> tuple[Array, Array, Array]:
    """Return the levels of parts, their covariance, and what is left of each run."""
    use = np.isin(runs.part, parts)
    y, items = runs.outcome[use], runs.items[use]
    part, hardware, day = runs.part[use], runs.hardware[use], runs.day[use]
    columns = [(part == k).astype(float) for k in parts]
    columns += [(hardware == name).astype(float) for name in np.unique(hardware)[1:]]
    if np.ptp(items) > 0.05:
        columns.append(items - items.mean())
    design = np.column_stack(columns)
    solved, *_ = np.linalg.lstsq(design, y, rcond=None)
    rest = y - design @ solved
    inverse = np.linalg.pinv(design.T @ design)
    _, cluster = np.unique(np.column_stack([part, day]), axis=0, return_inverse=True)
    scores = np.stack([
        np.bincount(cluster.ravel(), weights=column * rest) for column in design.T
    ])  # fmt: skip
    spread = inverse @ (scores @ scores.T) @ inverse  # Liang & Zeger 1986
    return solved[: len(parts)], spread[: len(parts), : len(parts)], rest

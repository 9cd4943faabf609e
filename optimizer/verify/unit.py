"""A unit, which is a finished block of work, and the tally of those of one arm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Unit:
    """A finished block, in the order in which blocks finished.

    ``share`` is the chance with which *its* arm was drawn, ``control_share`` that of the
    control in the same draw (None: what equal arms that are still live leave over).
    Blocks hold equally many items, so that a share of blocks is one of items.
    ``seconds_per_item``: slot time of all tries (blocks), wall time of the drained block
    (switchback). ``retried`` counts batches whose first try failed. ``failed_items`` are
    those of batches that ended in failure, rescued or not.
    """

    arm: str
    share: float
    items: int
    batches: int
    seconds_per_item: float
    cost_per_item: float | None = None
    retried: int = 0
    failed_items: int = 0
    pair: int | None = None
    control_share: float | None = None
    at: float = 0.0

    def __post_init__(self) -> None:
        if not (self.seconds_per_item > 0.0 and self.items > 0 and self.batches > 0):
            raise ValueError(f"a unit needs items, batches and a positive time: {self}")

    @property
    def failed_batches(self) -> int:
        """How many batches the items that failed make."""
        return min(self.batches, math.ceil(self.failed_items * self.batches / self.items))


@dataclass(slots=True)
class Tally:
    """Units of one arm, for the table beside the verdict and for non-inferiority."""

    units: int = 0
    items: int = 0
    batches: int = 0
    retried: int = 0
    failed_items: int = 0
    failed_units: int = 0
    failed_batches: int = 0
    squares: tuple[int, int, int] = (0, 0, 0)
    """Of failed batches and batches of units: sums of their squares, the product between."""
    seconds: float = 0.0
    cost_missing: int = 0

    def add(self, unit: Unit) -> None:
        """Take in one unit."""
        self.units += 1
        self.items += unit.items
        self.batches += unit.batches
        self.retried += unit.retried
        self.failed_items += unit.failed_items
        self.failed_units += unit.failed_items > 0
        self.failed_batches += unit.failed_batches
        bad, all_ = unit.failed_batches, unit.batches
        new = (bad * bad, bad * all_, all_ * all_)
        self.squares = (
            self.squares[0] + new[0],
            self.squares[1] + new[1],
            self.squares[2] + new[2],
        )
        self.seconds += unit.seconds_per_item * unit.items
        self.cost_missing += unit.cost_per_item is None

    def scatter(self) -> tuple[float, float]:
        """How failed batches scatter over units, as seen, and as if each failed by itself."""
        share = self.failed_batches / max(self.batches, 1)
        bad, both, all_ = self.squares
        seen = bad - 2.0 * share * both + share * share * all_
        return max(seen, 0.0), self.batches * share * (1.0 - share)

    def describe(self) -> dict[str, Json]:
        """Return the tally for a reader."""
        return {
            "units": self.units,
            "items": self.items,
            "batches": self.batches,
            "retried_share": self.retried / self.batches if self.batches else None,
            "failed_items": self.failed_items,
            "seconds_per_item": self.seconds / self.items if self.items else None,
        }

"""History: how other steps did under the same settings, as a matrix with holes.

A row is one step's log outcome (time, cost) under each setting, NaN where it never ran;
rows of one *family* (one program, one model) are alike and together count as one. Outcomes
are *warped*: how much worse than the best a setting is matters while it is a little, and
hardly when it is a lot, so that a cliff does not set the scale.

A run that failed has no outcome: what failed, and how far a limited quantity (a latency) was
over its limit, stand beside the outcomes. What broke a limit has an outcome as any other.

>>> rows = np.array([[0.0, 1.0, np.nan], [2.0, 3.0, 4.0]])
>>> _, levels = centred(rows)
>>> [round(float(level), 2) for level in levels]
[-0.8, 0.2, 1.2]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

KNEE: Final = 0.7
"""Above this log distance from the best, distances are compressed (a factor of two)."""
_ROUNDS: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Log outcomes, steps × settings, with the family of each step.

    ``failed`` is the share of a setting's runs that failed (NaN: it never ran); without it,
    whatever has an outcome succeeded. ``over`` is the log of a limited quantity as a multiple
    of its limit: above 0 the limit was broken. Of several limits it is the most broken.
    ``metrics`` are what runs were seen to do with memory, CPU and the like (see `forest`):
    steps × settings × metrics, NaN where that is not known.
    """

    rows: Array
    families: tuple[str, ...]
    failed: Array | None = None
    over: Array | None = None
    metrics: Array | None = None

    @classmethod
    def of(
        cls, rows: Sequence[Array], families: Sequence[str], settings: int, *,
        failed: Sequence[Array] | None = None, over: Sequence[Array] | None = None,
        metrics: Sequence[Array] | None = None,
    ) -> History:  # fmt: skip
        """Return the history of these steps; there may be none."""

        def stacked(lines: Sequence[Array]) -> Array:
            return np.vstack(lines) if len(lines) else np.zeros((0, settings))

        return cls(
            stacked(rows), tuple(families),
            None if failed is None else stacked(failed), None if over is None else stacked(over),
            np.stack(metrics) if metrics else None,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.families)

    def of_steps(self, keep: Array) -> History:
        """Return the history of some of its steps, by index or as a mask."""
        families = tuple(np.asarray(self.families, object)[keep])
        failed = None if self.failed is None else self.failed[keep]
        over = None if self.over is None else self.over[keep]
        metrics = None if self.metrics is None else self.metrics[keep]
        return type(self)(self.rows[keep], families, failed, over, metrics)

    @property
    def seen(self) -> Array:
        """The metrics; none where there are none."""
        none = np.zeros((*self.rows.shape, 0))
        return none if self.metrics is None else self.metrics

    def of_settings(self, index: Array) -> History:
        """Return what it says of some settings."""
        failed = None if self.failed is None else self.failed[:, index]
        over = None if self.over is None else self.over[:, index]
        metrics = None if self.metrics is None else self.metrics[:, index]
        return type(self)(self.rows[:, index], self.families, failed, over, metrics)

    def anchors(self) -> Array:
        """Return the log outcome that each step's distances are from, as a column.

        It is the best within the limit, or where none was, of what came nearest to it.
        """
        if self.over is None:
            return np.asarray(np.nanmin(self.rows, axis=1, keepdims=True))
        over = np.where(np.isfinite(self.rows), np.nan_to_num(self.over, nan=np.inf), np.inf)
        kept = over <= np.maximum(over.min(axis=1, keepdims=True), 0.0)
        return np.asarray(np.nanmin(np.where(kept, self.rows, np.nan), axis=1, keepdims=True))

    def warped(self) -> Array:
        """Return the rows as distances from each one's best, warped."""
        return warp(self.rows - self.anchors())

    def weights(self) -> Array:
        """Return the weight of each row: families count alike, on average 1."""
        of = Counter(self.families)
        weights = np.asarray([1.0 / of[family] for family in self.families])
        return np.asarray(weights / weights.mean())


def warp(distance: Array | float) -> Array:
    """Compress log distances from the best beyond `KNEE`."""
    far = np.asarray(distance, float)
    return np.where(far < KNEE, far, KNEE + 0.5 * np.log1p(np.maximum(far - KNEE, 0.0) / 0.5))


def unwarp(distance: Array | float, most: float) -> Array:
    """Undo `warp`; what is above ``most`` is ``most``."""
    told = np.minimum(np.asarray(distance, float), float(warp(most)))
    far = KNEE + 0.5 * np.expm1((np.maximum(told, KNEE) - KNEE) / 0.5)
    return np.asarray(np.where(told < KNEE, told, far))


def centred(rows: Array) -> tuple[Array, Array]:
    """Split rows with holes in a level a row and a level a setting (two-way additive fit).

    Returns the rows less their own level, and the settings' levels; a setting that no row
    knows has level 0.
    """
    known = np.isfinite(rows)
    counts = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, rows, 0.0)
    own = filled.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    levels = np.zeros(rows.shape[1])
    for _ in range(_ROUNDS):
        levels = np.where(known, rows - own[:, None], 0.0).sum(axis=0) / counts
        rest = np.where(known, rows - levels[None, :], 0.0)
        own = rest.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return rows - own[:, None], levels

"""History: how other steps did under the same settings, as a matrix with holes.

A row is one step's log outcome (time, cost) under each setting, NaN where it never ran;
rows of one *family* (one program, one model) are alike and together count as one. Outcomes
are *warped*: how much worse than the best a setting is matters while it is a little, and
hardly when it is a lot, so that a cliff or a failure does not set the scale.

>>> rows = np.array([[0.0, 1.0, np.nan], [2.0, 3.0, 4.0]])
>>> _, levels = centred(rows)
>>> [round(float(level), 2) for level in levels]
[-0.75, 0.25, 1.25]
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
    """Log outcomes, steps × settings, with the family of each step."""

    rows: Array
    families: tuple[str, ...]

    @classmethod
    def of(cls, rows: Sequence[Array], families: Sequence[str], settings: int) -> History:
        """Return the history of these steps; there may be none."""
        matrix = np.vstack(rows) if len(rows) else np.zeros((0, settings))
        return cls(matrix, tuple(families))

    def __len__(self) -> int:
        return len(self.families)

    def warped(self) -> Array:
        """Return the rows as distances from each one's best, warped."""
        return warp(self.rows - np.nanmin(self.rows, axis=1, keepdims=True))

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

"""A finite space: the settings a step may have, and how alike any two of them are.

A column of a space is one knob or property of hardware: a category, or a number that is
compared as it is or by its logarithm (8 and 16 CPUs are as far apart as 2 and 4).

>>> space = Space.of(
...     ("small", "large"),
...     {"vcpu": Column("log", (2.0, 8.0)), "gpu": Column("category", ("", "l4"))},
... )
>>> space.features.shape, len(space)
((2, 2), 2)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Kind: TypeAlias = Literal["category", "log", "number"]

CATEGORY: Final = 0.7
"""How far apart two categories are, where one standard deviation of a number is 1."""
_SAME: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Column:
    """One property of every setting, in the order of the settings."""

    kind: Kind
    values: tuple[Any, ...]

    @property
    def numbers(self) -> Array:
        """The values as they are compared; of a category there are none."""
        numbers = np.asarray(self.values, float)
        return np.asarray(np.log2(numbers) if self.kind == "log" else numbers)

    def features(self) -> Array:
        """Return one feature, or for a category one a value (two values share one)."""
        if self.kind != "category":
            return _standard(self.numbers)[:, None]
        words = [str(value) for value in self.values]
        known = sorted(set(words))
        if len(known) <= 2:
            return np.asarray([[word == known[-1]] for word in words], float) * CATEGORY
        return np.asarray([[word == one for one in known] for word in words], float) * CATEGORY


def _standard(values: Array) -> Array:
    spread = values.std()
    return np.asarray((values - values.mean()) / (spread if spread > _SAME else 1.0))


def once(columns: Mapping[str, Column]) -> list[Array]:
    """Return the features by column; what several categories say together counts once.

    That a machine is of another provider is said again by its families and sizes, which are
    the provider's own: each of them is nearer by how much of it the others say.

    >>> both = {"maker": Column("category", "aab"), "chip": Column("category", "xxy")}
    >>> [round(float(part.max()) / CATEGORY, 2) for part in once(both)]
    [0.71, 0.71]
    """
    words = {name: c.features() > 0.0 for name, c in columns.items() if c.kind == "category"}
    said = {
        name: sum(_shared(mine, other) for other in words.values()) for name, mine in words.items()
    }
    return [c.features() / math.sqrt(max(said.get(n, 1.0), 1.0)) for n, c in columns.items()]


def _shared(one: Array, other: Array) -> float:
    """How much one category says of another, 0 to 1: Cramér's V, squared."""
    counts = _whole(one).T @ _whole(other) / len(one)
    chance = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True)
    many = min(counts.shape) - 1
    return float(((counts - chance) ** 2 / chance).sum() / many) if many > 0 else 0.0


def _whole(words: Array) -> Array:
    """Which word each setting has; of two words a column says only whether it is the last."""
    both = words if words.shape[1] > 1 else np.hstack([words, ~words])
    return np.asarray(both[:, both.any(axis=0)], float)


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Settings by name, with their columns and features (settings × features)."""

    names: tuple[str, ...]
    columns: Mapping[str, Column]
    features: Array

    @classmethod
    def of(cls, names: Sequence[str], columns: Mapping[str, Column]) -> Space:
        """Return the space of these settings."""
        parts = [column.features() for column in columns.values()]
        features = np.hstack(parts) if parts else np.zeros((len(names), 1))
        return cls(tuple(names), dict(columns), features)

    def __len__(self) -> int:
        return len(self.names)

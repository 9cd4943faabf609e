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

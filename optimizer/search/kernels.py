"""How alike settings are: many views of it, of which history and trials say what is right.

A *view* is a length for every quantity (how far two settings must be apart in it to have
nothing in common: Matérn 5/2) and the share of a linear term. Beside the columns of a space
their products are quantities too: a step runs out of the memory of all nodes together, which
is nodes × memory a node. The first views see every column alike; the others are drawn once
and for all, so that the same space always has the same views.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.space import Space, once

Array: TypeAlias = NDArray[Any]

LENGTHS: Final = (0.7, 1.5, 3.0, 6.0)
"""Lengths of the views that see every column alike, in standard deviations of a feature."""
DRAWN: Final = 24
SHORTEST: Final = 0.5
LONGEST: Final = 10.0
BLIND: Final = 1e3
"""The length of a quantity that a view does not look at."""
LINEAR: Final = 0.3
LINEARS: Final = (0.1, 0.3, 1.0)
_SAME: Final = 0.98
"""Two quantities that correlate more say the same."""


@dataclass(slots=True, eq=False)
class Kernels:
    """The views of one space; how alike a setting is to all is made when first asked for.

    ``lengths`` and ``linear`` (the weight of a feature in the linear term) are views ×
    features.
    """

    features: Array
    lengths: Array
    linear: Array
    _rows: dict[int, Array] = field(default_factory=dict)

    @classmethod
    def of(cls, space: Space) -> Kernels:
        """Return the views of a space."""
        return cls._of(space, [column.features() for column in space.columns.values()])

    @classmethod
    def counting_once(cls, space: Space) -> Kernels:
        """Return the views in which what several categories say together counts once."""
        return cls._of(space, once(space.columns))

    @classmethod
    def _of(cls, space: Space, columns: list[Array]) -> Kernels:
        plain = columns or [space.features]
        products = _products(space)
        lengths, shares = _views(len(plain), len(products))
        widths = [part.shape[1] for part in [*plain, *products]]
        wide = np.repeat(lengths, widths, axis=1)
        weights = (1.0 / wide) / (1.0 / wide).sum(axis=1, keepdims=True)
        return cls(np.hstack([*plain, *products]), wide, shares[:, None] * weights)

    def __len__(self) -> int:
        return len(self.lengths)

    def rows(self, index: Array) -> Array:
        """Return how alike these settings are to all: views × index × settings."""
        for setting in map(int, index):
            if setting not in self._rows:
                self._rows[setting] = self._row(setting)
        return np.stack([self._rows[setting] for setting in map(int, index)], axis=1)

    def near(self, one: Array, other: Array, view: int = 1) -> Array:
        """Return how alike settings are to others in one view (a medium one): one × other."""
        scaled = self.features / self.lengths[view]
        squares = (scaled * scaled).sum(axis=1)
        apart = squares[one][:, None] + squares[other] - 2.0 * scaled[one] @ scaled[other].T
        straight = (self.features[one] * self.linear[view]) @ self.features[other].T
        return np.asarray(_matern(np.maximum(apart, 0.0)) + straight)

    def diagonal(self) -> Array:
        """Return how alike each setting is to itself: views × settings."""
        return np.asarray(1.0 + self.linear @ (self.features**2).T)

    def nearness(self, setting: int) -> Array:
        """Return how near a setting is to all, 1 to itself: views × settings."""
        apart = (self.features - self.features[setting]) ** 2
        return _matern(self.lengths**-2.0 @ apart.T)

    def _row(self, setting: int) -> Array:
        straight = self.linear @ (self.features * self.features[setting]).T
        return np.asarray(self.nearness(setting) + straight)


def _matern(apart: Array) -> Array:
    """Matérn 5/2 of squared distances, in lengths."""
    d = np.sqrt(5.0 * apart)
    return np.asarray((1.0 + d + d * d / 3.0) * np.exp(-d))


def _views(plain: int, products: int) -> tuple[Array, Array]:
    """The length of every quantity and the share of the linear term, by view."""
    rng = np.random.default_rng(0)
    size = (DRAWN, plain + products)
    drawn = np.exp(rng.uniform(math.log(SHORTEST), math.log(LONGEST), size))
    drawn[:, plain:][rng.random((DRAWN, products)) < 0.5] = BLIND
    alike = np.repeat(np.asarray(LENGTHS)[:, None], plain + products, axis=1)
    alike[:, plain:] = BLIND
    shares = np.concatenate([np.full(len(LENGTHS), LINEAR), rng.choice(LINEARS, DRAWN)])
    return np.vstack([alike, drawn]), shares


def _products(space: Space) -> list[Array]:
    """The products of two columns compared by logarithm, where they say something new."""
    logs = [c.numbers - c.numbers.mean() for c in space.columns.values() if c.kind == "log"]
    logs = [column for column in logs if column.std() > 1e-9]
    known = [column / column.std() for column in logs]
    found = []
    for place, one in enumerate(logs):
        for other in logs[:place]:
            both = one + other
            scaled = both / max(float(both.std()), 1e-9)
            if all(abs(float((scaled * column).mean())) < _SAME for column in known):
                known.append(scaled)
                found.append(scaled[:, None])
    return found

"""A declared space: several knobs, the bounds between them, and the settings they make.

A number is asked about on a ladder of values that are evenly apart (in its logarithm where
it is compared by that). A bound is on a product of knobs, since what they share, memory or
slots, is what they multiply to. Where all combinations are too many, an even sample of them
(Sobol points) stands for the space, together with the settings that are asked for by name.

>>> space = settings(
...     {"batch": Number(10, 40, log=True), "engine": Choice(("duckdb", "polars"))},
...     (Product(("batch",), at_most=20),),
... )
>>> space.names
('batch=10 engine=duckdb', 'batch=10 engine=polars', 'batch=20 engine=duckdb', \
'batch=20 engine=polars')
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, TypeAlias

import numpy as np

from optimizer.search.space import Column, Space

Setting: TypeAlias = Mapping[str, Any]

RUNGS: Final = 12
"""Most values of one number that are asked about."""
MOST: Final = 4096
"""Above so many combinations a sample of them is taken."""


class NothingLeft(ValueError):
    """The bounds leave no setting."""

    def __init__(self, bounds: Sequence[Product]) -> None:
        super().__init__(f"no setting keeps to {' and '.join(map(str, bounds))}; widen one")


@dataclass(frozen=True, slots=True)
class Number:
    """A knob that is a number between two ends, whole or not."""

    low: float
    high: float
    log: bool = False
    whole: bool = True

    @property
    def rungs(self) -> tuple[float, ...]:
        """The values asked about, both ends among them."""
        if self.log:
            doublings = math.log2(self.high / self.low)
            count = min(RUNGS, max(2, round(doublings) + 1)) if doublings else 1
            values = np.geomspace(self.low, self.high, count)
        else:
            apart = self.high - self.low
            count = min(RUNGS, round(apart) + 1) if self.whole else RUNGS
            values = np.linspace(self.low, self.high, max(count, 1))
        held = {round(v) if self.whole else float(v) for v in values.tolist()}
        return tuple(sorted(held))

    def column(self, values: Sequence[Any]) -> Column:
        """The knob's values as a column of a space."""
        return Column("log" if self.log else "number", tuple(values))


@dataclass(frozen=True, slots=True)
class Choice:
    """A knob that is one of several words."""

    values: tuple[str, ...]

    @property
    def rungs(self) -> tuple[str, ...]:
        """The values asked about: all of them."""
        return self.values

    def column(self, values: Sequence[Any]) -> Column:
        """The knob's values as a column of a space."""
        return Column("category", tuple(values))


Dimension: TypeAlias = Number | Choice


@dataclass(frozen=True, slots=True)
class Product:
    """A bound on what several numbers multiply to.

    >>> Product(("batch", "in_flight"), at_most=100).slack({"batch": 25, "in_flight": 2})
    -50.0
    """

    names: tuple[str, ...]
    at_most: float = math.inf
    at_least: float = 0.0

    def slack(self, setting: Setting) -> float:
        """Return by how much a setting is over the bound; nought or less when it keeps to it."""
        value = math.prod(float(setting[name]) for name in self.names)
        return max(value - self.at_most, self.at_least - value)

    def __str__(self) -> str:
        low = f"{self.at_least:g} <= " if self.at_least else ""
        high = f" <= {self.at_most:g}" if math.isfinite(self.at_most) else ""
        return f"{low}{' x '.join(self.names)}{high}"


def settings(
    dimensions: Mapping[str, Dimension], bounds: Sequence[Product] = (), *,
    known: Sequence[Setting] = (), most: int = MOST,
) -> Space:  # fmt: skip
    """Return the space of all settings that keep to the bounds, at most ``most`` of them.

    Those ``known`` (the stable one, what was run before) are in it wherever they keep to
    the bounds, off the ladder too.

    Raises:
        NothingLeft: no setting keeps to the bounds.
    """
    kept: dict[str, Setting] = {}
    for one in (*known, *_combined(dimensions, most)):
        setting = {name: one[name] for name in dimensions}
        if len(kept) < most and all(bound.slack(setting) <= 0.0 for bound in bounds):
            kept.setdefault(_name(setting), setting)
    if not kept:
        raise NothingLeft(bounds)
    columns = {n: d.column([s[n] for s in kept.values()]) for n, d in dimensions.items()}
    return Space.of(tuple(kept), columns)


def _name(setting: Setting) -> str:
    return " ".join(
        f"{name}={value:g}" if isinstance(value, int | float) else f"{name}={value}"
        for name, value in setting.items()
    )


def _combined(dimensions: Mapping[str, Dimension], most: int) -> Iterator[Setting]:
    """Every combination of rungs, or an even sample when they are too many."""
    rungs = {name: dimension.rungs for name, dimension in dimensions.items()}
    if math.prod(len(values) for values in rungs.values()) <= most:
        for values in product(*rungs.values()):
            yield dict(zip(rungs, values, strict=True))
        return
    yield from _even(rungs, most)


def _even(rungs: Mapping[str, Sequence[Any]], most: int) -> Iterator[Setting]:
    from scipy.stats import qmc

    points = qmc.Sobol(len(rungs), rng=np.random.default_rng(0)).random_base2(
        math.ceil(math.log2(2 * most))
    )
    for point in points:
        yield {
            name: values[min(int(share * len(values)), len(values) - 1)]
            for (name, values), share in zip(rungs.items(), point, strict=True)
        }

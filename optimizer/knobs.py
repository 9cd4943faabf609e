"""The registry of what may be tuned: every knob as a playbook names it, with its class.

A knob group shares one lock: proposals of one group on one step wait for each other.

>>> knob_class("each.batch"), COLUMNS["each.in_flight"]
('batch', 'in_flight')
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from runtime.playbook.knobs import KNOBS, KnobClass

Json: TypeAlias = Any
CLASSES: Final[dict[str, KnobClass]] = dict(KNOBS)
COLUMNS: Final = {"each.batch": "batch_size", "each.in_flight": "in_flight"}
"""Knobs that the optimizer has a model for, and the column of the record that holds them."""


class UnknownKnob(ValueError):
    """No knob has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no knob is called {name!r}; there are {', '.join(sorted(CLASSES))}")


def knob_class(name: str) -> KnobClass:
    """Return the class of a knob, or raise `UnknownKnob`."""
    if name not in CLASSES:
        raise UnknownKnob(name)
    return CLASSES[name]


@dataclass(frozen=True, slots=True)
class Range:
    """What one step declares for a whole-number knob: the least and the greatest value."""

    name: str
    low: int
    high: int

    @classmethod
    def declared(cls, tune: Mapping[str, Json]) -> Range:
        """Read one entry of a step's ``tune``; an open end is 1 or a million."""
        low, high = tune.get("min"), tune.get("max")
        return cls(
            str(tune["name"]),
            max(1, math.ceil(low)) if low is not None else 1,
            math.floor(high) if high is not None else 1_000_000,
        )

    def holds(self, value: float) -> bool:
        """Whether the value may be proposed at all."""
        return self.low <= value <= self.high

    def scaled(self, value: int, factors: tuple[float, ...]) -> tuple[int, ...]:
        """Return value × each factor, whole, inside the range, different from value."""
        found = {round(value * factor) for factor in factors}
        return tuple(sorted(v for v in found if self.holds(v) and v != value))

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

from runtime.playbook.knobs import DURATIONS, KNOBS, SHARES, KnobClass

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


def said(knob: str, value: Json) -> str:
    """Return a knob's value as a person reads it, with its unit.

    >>> said("timeout", 0.3), said("retry.budget", 0.1), said("retry.on", ["transient", "lost"])
    ('0.3 s', '10%', 'transient, lost')
    """
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value) or "nothing"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if knob in SHARES:
        return f"{100 * value:g}%"
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{text} s" if knob in DURATIONS else text


def change_said(line: Mapping[str, Json]) -> str:
    """Return a line of a diff in words: a change, or what is tried beside the value in use.

    >>> change_said({"knob": "timeout", "from": 20.0, "to": 1.5})
    'timeout 20 s → 1.5 s'
    >>> change_said({"knob": "each.batch", "from": 5, "values": [10, 20]})
    'each.batch: try 10 or 20 beside 5'
    """
    knob, now = str(line["knob"]), said(str(line["knob"]), line.get("from"))
    if values := line.get("values"):
        tried = [said(knob, value) for value in values]
        named = " or ".join(one for one in (", ".join(tried[:-1]), tried[-1]) if one)
        return f"{knob}: try {named} beside {now}"
    return f"{knob} {now} → {said(knob, line.get('to'))}"


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

"""How one value of a policy is written: ``5%``, ``30m``, ``x2``, a moment, a knob's name.

Each reader returns the value or raises ValueError with a text that says what was expected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Final

from optimizer.knobs import CLASSES

MODES: Final = ("off", "advise", "review")
"""From the most careful on: take no proposals, show them only, let people approve them."""

DAY_S: Final = 86400.0
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY_S}


def percent(value: Any) -> float:
    """Read ``5%`` or 0.05.

    >>> percent("5%")
    0.05
    """
    if isinstance(value, str) and value.endswith("%"):
        return float(value[:-1]) / 100
    return number(value)


def number(value: Any) -> float:
    """Read a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def count(value: Any) -> int:
    """Read a whole number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is not a whole number of 0 or more")
    return value


def seconds(value: Any) -> float:
    """Read a duration.

    >>> seconds("1h30m"), seconds(0)
    (5400.0, 0.0)
    """
    if isinstance(value, str) and re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h|d))+", value):
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value)
        return sum(float(n) * _UNITS[unit] for n, unit in parts)
    if value == 0:
        return 0.0
    raise ValueError(f"{value!r} is not a duration like 30s, 15m, 7d")


def moment(value: Any) -> float:
    """Read a point in time with its zone, as seconds since the epoch."""
    written = value.isoformat() if isinstance(value, datetime) else str(value)
    at = datetime.fromisoformat(written)
    if at.tzinfo is None:
        raise ValueError(f"{value!r} names no time zone")
    return at.timestamp()


def text(value: Any) -> str:
    """Read a text."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a text")
    return value


def flag(value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def knob(value: Any) -> str:
    """Read a knob's name, or a pattern that matches one."""
    name = text(value)
    if any(fnmatchcase(known, name) for known in CLASSES):
        return name
    raise ValueError(f"unknown knob {name!r}" + hint(name, CLASSES))


def mode(value: Any) -> str:
    """Read a mode."""
    if value not in MODES:
        raise ValueError(f"{value!r} is none of {', '.join(MODES)}")
    return str(value)


@dataclass(frozen=True, slots=True)
class Limit:
    """How far one step of a knob may go: ``x2`` (a factor) or ``+2`` (a difference)."""

    factor: float = math.inf
    difference: float = math.inf

    def allows(self, before: float, after: float) -> bool:
        """Whether going from one value to the other is a step of allowed size."""
        if abs(after - before) > self.difference:
            return False
        if before <= 0 or after <= 0:
            return self.factor == math.inf
        return max(after / before, before / after) <= self.factor * (1 + 1e-9)

    def __str__(self) -> str:
        parts = [f"x{self.factor:g}"] if self.factor < math.inf else []
        return " and ".join([*parts, *([f"+{self.difference:g}"] * (self.difference < math.inf))])


def limit(value: Any) -> Limit:
    """Read ``x2`` or ``+2``."""
    found = re.fullmatch(r"([x+])(\d+(?:\.\d+)?)", str(value))
    if found is None:
        raise ValueError(f"{value!r} is not a step like x2 or '+2' (in quotes)")
    size = float(found[2])
    return Limit(factor=size) if found[1] == "x" else Limit(difference=size)


def hint(word: str, known: Iterable[str]) -> str:
    """Return the nearest known word as a question, or nothing."""
    near = get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0].removesuffix('_s')}?" if near else ""

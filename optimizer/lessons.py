"""Lessons: which values of a knob are left alone for what trials of it have shown.

A value that did harm is not asked about again, and neither is one beyond it, further from
the stable one: what is left may still be worth a change. A change that was turned down, or
whose trial was undecided, speaks against its neighbours too; a number that differs by a
little is no other proposal.

>>> line = {"knob": "timeout", "from": 8.0, "to": 1.0}
>>> told = {"state": "rolled_back", "reason": "harm", "diff": [line]}
>>> lessons = Lessons.of([told], "timeout", 8.0)
>>> lessons.against(0.9)
'1 s did harm in its trial, and 0.9 s lies beyond it'
>>> lessons.against(2.0)
''
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from optimizer.knobs import said

Json: TypeAlias = Any

NEAR: Final = math.log(1.25)
"""Values that are no further apart are told alike by no trial of usual length."""
DECIDED: Final = frozenset({"rolled_back", "rejected", "failed"})


@dataclass(frozen=True, slots=True)
class Lessons:
    """The nearest values on either side that did harm, and those that were turned down."""

    knob: str
    low: float = -math.inf
    high: float = math.inf
    down: tuple[tuple[float, str], ...] = ()

    @classmethod
    def of(cls, last: Iterable[Mapping[str, Json]], knob: str, stable: Json) -> Lessons:
        """Return what earlier proposals of this knob taught."""
        now = math.inf if stable is None else stable
        if not isinstance(now, int | float):
            return cls(knob)
        harmed, down = set(), []
        for told in last:
            for value, how in _ends(told, knob):
                if how == "harm":
                    harmed.add(value)
                elif _is_from(told, knob, stable):
                    down.append((value, how))
        low = max((v for v in harmed if v < now), default=-math.inf)
        high = min((v for v in harmed if v > now), default=math.inf)
        return cls(knob, low, high, tuple(down))

    def against(self, value: float) -> str:
        """Say what speaks against a value; "" if nothing does."""
        mine = said(self.knob, value)
        if value in (self.low, self.high):
            return f"{mine} did harm in its trial"
        if value < self.low or value > self.high:
            harmed = self.low if value < self.low else self.high
            return f"{said(self.knob, harmed)} did harm in its trial, and {mine} lies beyond it"
        for other, how in self.down:
            if value > 0.0 < other and abs(math.log(value / other)) <= NEAR:
                return f"{said(self.knob, other)} {how}, and {mine} is too near to be another"
        return ""


def _is_from(told: Mapping[str, Json], knob: str, stable: Json) -> bool:
    return any(one["knob"] == knob and one.get("from") == stable for one in told.get("diff") or ())


def _ends(told: Mapping[str, Json], knob: str) -> Iterator[tuple[float, str]]:
    """Yield the values of a proposal that taught something, each with what it was."""
    state, ends = told.get("state"), (told.get("harmless") or {}).get(knob)
    for line in told.get("diff") or ():
        if line["knob"] != knob:
            continue
        for value in line.get("values") or [line.get("to")]:
            if isinstance(value, int | float):
                dropped = state == "learned" and ends and not ends[0] <= value <= ends[1]
                if dropped or (state, told.get("reason")) == ("rolled_back", "harm"):
                    yield value, "harm"
                elif state in DECIDED:
                    yield value, _what_came(str(state), told.get("reason"))


def _what_came(state: str, reason: Json) -> str:
    """Say what became of a change that neither stayed nor did harm."""
    if state == "rejected":
        return "was turned down"
    if state == "failed":
        return "was clearly worse in a replay of history"
    return "was not proven better" if reason in (None, "inconclusive") else "was taken back"

"""The direction of a step: where its knobs should go together, and which of them goes first.

A proposal changes one knob, for trials of several at once could not say which one it was.
So the best joint setting is not proposed: it orders the single changes that lead there.
First comes the one that by itself is foretold to bring most of the joint gain, and no change
goes past the joint best. Where no single change is a gain, there is no direction.

>>> foretold = {(1, 4): -0.7, (8, 2): -0.1}
>>> found = direction(
...     {"a": 1, "b": 2},
...     {"a": 8, "b": 4},
...     -0.9,
...     lambda knob, value: value,
...     lambda s: foretold[s["a"], s["b"]],
...     least=-0.05,
... )
>>> found.says()
'joint best a 8 × b 4 predicts -59%; b 2 → 4 alone -50%'
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from optimizer.evidence import sealed
from optimizer.proposal import Candidate

Json: TypeAlias = Any
Setting: TypeAlias = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Direction:
    """The joint best, and the change that comes first; effects are log ratios, less is better."""

    stable: Setting
    best: Setting
    effect: float
    first: str
    to: int
    alone: Mapping[str, float]
    facts: Mapping[str, Json] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """How much of the joint gain the first change brings by itself."""
        return math.expm1(self.alone[self.first]) / math.expm1(self.effect)

    def ends(self, knob: str) -> tuple[int, int]:
        """Return the values between which a knob stays: the stable one and the joint best."""
        now = self.stable[knob]
        return min(now, self.best[knob]), max(now, self.best[knob])

    def narrowed(self, scope: Mapping[str, Json]) -> dict[str, Json]:
        """Return the scope with the joint knobs alone, none of which goes past the joint best."""
        tune = []
        for one in scope["tune"]:
            if one["name"] in self.best:
                low, high = self.ends(one["name"])
                tune.append({**one, "min": low, "max": high})
        return {**scope, "tune": tune}

    def says(self) -> str:
        """Return it in words, with the numbers."""
        now, alone = self.stable[self.first], math.expm1(self.alone[self.first])
        return (
            f"joint best {words(self.best)} predicts {math.expm1(self.effect):+.0%}; "
            f"{self.first} {now} → {self.to} alone {alone:+.0%}"
        )

    def explained(self, candidate: Candidate) -> Candidate:
        """Return the candidate with the joint best in its evidence and its note."""
        joint = {
            "best": dict(self.best), "stable": dict(self.stable),
            "predicted": math.expm1(self.effect), "first": self.first, "to": self.to,
            "alone": {knob: math.expm1(log) for knob, log in self.alone.items()},
            "share": self.share, **self.facts,
        }  # fmt: skip
        evidence = sealed({**candidate.evidence, "joint": joint})
        return replace(candidate, evidence=evidence, note=f"{candidate.note}; {self.says()}")


def direction(
    stable: Setting, best: Setting, effect: float, reach: Callable[[str, int], int],
    foretold: Callable[[Setting], float | None], least: float,
) -> Direction | None:  # fmt: skip
    """Return which change towards the joint best comes first; None when none is a gain.

    ``reach`` says how far towards a value one change of a knob may go, ``foretold`` the log
    effect of a setting where it can be said, ``least`` the log effect that is worthwhile.
    """
    steps = {k: reach(k, best[k]) for k in sorted(best) if best[k] != stable[k]}
    told = {k: foretold({**stable, k: v}) for k, v in steps.items() if v != stable[k]}
    alone = {k: log for k, log in told.items() if log is not None}
    first = min(alone, key=lambda k: (alone[k], k), default=None)
    if first is None or alone[first] > least:
        return None
    return Direction(dict(stable), dict(best), effect, first, steps[first], alone)


def words(setting: Setting) -> str:
    """Return a setting in words.

    >>> words({"each.batch": 80, "each.in_flight": 4})
    'each.batch 80 × each.in_flight 4'
    """
    return " × ".join(f"{knob} {value}" for knob, value in setting.items())

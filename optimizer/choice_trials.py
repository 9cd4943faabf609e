"""What trials of a choice have measured: units of one trial against each other.

A choice has no ladder of sizes: hardware, or which alternative does the work. Its effect is the
difference of mean log outcomes; what all its work took in all, and how often it failed, speak
against it where they tell another story. Work of an arm that the record says was done by
another choice says nothing of this one, whatever its arm was to run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.effect import Effect
from optimizer.evidence import Batches
from optimizer.failing import SURE
from optimizer.finding import Asked
from optimizer.guard import Limits
from optimizer.models.failures import worse

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """A choice in a trial: its effect, that in all, and in words that it fails more, or "".

    ``in_all_se`` is how far chance may have dealt large work to one side; ``began`` is when its
    work began.
    """

    effect: Effect
    in_all: float
    in_all_se: float
    fails: str
    began: Array = field(compare=False)

    def against(self, value: str, limits: Limits) -> str:
        """Say what speaks against the choice, whatever its mean effect is; "" if nothing does."""
        if self.fails:
            return f"{value}: {self.fails}"
        least = math.log(1.0 - limits.min_gain)
        if self.effect.log >= least:
            return ""
        most = f"{value} takes {math.expm1(self.effect.log):+.0%} for most units"
        if self.in_all > least:
            told = f"{math.expm1(self.in_all):+.0%} in all"
            return f"{most} and {told}: what is gained on small work is lost on large"
        all_ = Effect(self.in_all, self.in_all_se, 0.0, self.effect.freedom)
        if all_.chance_of(limits.min_gain) < limits.confidence:
            low, middle, high = all_.interval()
            told = f"in all {middle:+.0%} ({low:+.0%} to {high:+.0%})"
            return f"{most}, but large work was too rare to tell whether all of it gains: {told}"
        return ""


def measured(asked: Asked, limits: Limits) -> Iterator[tuple[str, Measured]]:
    """Yield what a trial of this knob has measured of each choice."""
    for told in asked.scope.get("last") or ():
        if told.get("state") != "learned":
            continue
        experiment = "x-" + str(told.get("proposal", "")).removeprefix("p-")
        all_ = asked.history.where(asked.history.experiment == experiment)
        for line in told.get("diff") or ():
            if line.get("knob") == asked.knob and line.get("from") == asked.stable:
                for number, value in enumerate(line.get("values") or (), 1):
                    arm = f"candidate.{number}"
                    mine = _as_told(all_, asked, {arm: str(value), "control": str(asked.stable)})
                    effect = _effect(mine, arm, asked, limits)
                    if effect is not None:
                        fails = _fails(mine, arm, limits)
                        in_all, se = _in_all(mine, arm, asked)
                        began = mine.start[mine.arm == arm]
                        yield str(value), Measured(effect, in_all, se, fails, began)


def _as_told(all_: Batches, asked: Asked, told: Mapping[str, str]) -> Batches:
    """The work of a trial but what ran another choice than its arm; what is not known stays."""
    ran = all_.runs_on if asked.knob == "runs_on" else all_.alternative
    wanted = np.array([told.get(arm, choice) for arm, choice in zip(all_.arm, ran, strict=True)])
    return all_.where((ran == "") | (ran == wanted)) if len(all_) else all_


def _effect(mine: Batches, arm: str, asked: Asked, limits: Limits) -> Effect | None:
    """The difference in mean log outcome an item, units of one trial against each other."""
    sides = [_units(mine.where(mine.arm == one), asked) for one in (arm, "control")]
    if min(map(len, sides)) < limits.least_units:
        return None
    variances = [float(np.var(side, ddof=1)) / len(side) for side in sides]
    freedom = sum(map(len, sides)) - 2
    spread = math.sqrt(sum(float(np.var(side, ddof=1)) for side in sides) / limits.ramp_units)
    log = float(np.mean(sides[0]) - np.mean(sides[1]))
    return Effect(log, math.sqrt(sum(variances)), spread, freedom)


def _in_all(mine: Batches, arm: str, asked: Asked) -> tuple[float, float]:
    """The log ratio of what all work took an item, and its standard error.

    Large units count by what they are, and where they are rare it is chance which side had them.
    """
    sides = [_sums(mine.where(mine.arm == one), asked) for one in (arm, "control")]
    if not all(taken.sum() > 0.0 for taken, _ in sides):
        return 0.0, 0.0
    here, there = (float(taken.sum() / items.sum()) for taken, items in sides)
    return math.log(here / there), math.hypot(*(_ratio_se(*side) for side in sides))


def _ratio_se(taken: Array, items: Array) -> float:
    """The standard error of the log of a ratio of sums, by the delta method."""
    left = taken - items * (taken.sum() / items.sum())
    return float(left.std(ddof=1) / (math.sqrt(len(taken)) * taken.mean()))


def _fails(mine: Batches, arm: str, limits: Limits) -> str:
    """Say how often a choice fails, where it clearly fails more: what fails soon is no gain."""
    sides = [mine.where(mine.arm == one) for one in (arm, "control")]
    bad, base = (int(one.retried.sum()) for one in sides)
    many, usual = map(len, sides)
    if worse(bad, many, base, usual, limits.failure_margin) < SURE:
        return ""
    return f"{bad / many:.0%} of its work failed at first, {base / usual:.0%} beside it"


def _taken(side: Batches, asked: Asked) -> Array:
    return np.asarray(side.cost if asked.objective == "cost" else side.seconds)


def _sums(side: Batches, asked: Asked) -> tuple[Array, Array]:
    """What each unit took of which that is known, and its items: a block, or a run without."""
    taken = _taken(side, asked)
    names = np.char.add(np.char.add(side.run.astype(str), "/"), side.block.astype(str))
    _, unit = np.unique(names, return_inverse=True)
    sums = np.bincount(unit, weights=taken)
    items = np.bincount(unit, weights=np.maximum(side.items, 1))
    known = sums > 0.0
    return sums[known], items[known]


def _units(side: Batches, asked: Asked) -> Array:
    """The log outcome an item of each unit."""
    sums, items = _sums(side, asked)
    return np.log(sums / items)

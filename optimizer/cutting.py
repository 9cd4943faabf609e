"""Cutting tries short: what all the studies of ``timeout`` and ``hedge`` share.

Both ask what the same luck would have come to under another rule. The luck is a survival
curve of the step's own tries; units are played under the rule of now and under each other
one with the same random numbers, on the curve and on resamples of it. Where the best value is
further than an experiment may reach, the step towards it is asked about first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.blocks import batches_a_block, noise, spread_of_blocks
from optimizer.effect import Effect
from optimizer.finding import Asked, Finding, is_far, propose, towards, tried
from optimizer.guard import Limits, Reason
from optimizer.lessons import NEAR, Lessons
from optimizer.models.durations import Durations
from optimizer.proposal import Candidate
from optimizer.tries import Tries
from optimizer.words import counted

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]
Rule: TypeAlias = Callable[[Array, float | None], Array]
"""Slot seconds of units, given the seconds their tries would take (one row a unit)."""

LEAST_TRIES: Final = 100
"""Fewer tries say nothing of a tail."""
LEAST_BEYOND: Final = 8
"""Tries that must have taken longer than a value before it is considered."""
SHARES: Final = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995)
TIMES: Final = (1.0, 1.5, 2.5)
"""A value at the edge of what most tries take is a narrow one: some above it are asked about."""
BETWEEN: Final = 12
"""Values between what most tries take and the longest, where no try may have ended."""
UNITS: Final = 4000
RESAMPLES: Final = 40
MOST: Final = 5000
"""Tries that are looked at; of more a sample is drawn."""


@dataclass(frozen=True, slots=True)
class Luck:
    """The curve of a step's tries, resamples of it, and the random numbers of all plays."""

    curve: Durations
    resamples: tuple[Durations, ...]
    chance: Array
    beside: Array
    tries: int

    @classmethod
    def of(cls, tries: Tries, depth: int, rng: np.random.Generator) -> Luck | None:
        """Return the luck of those tries, ``depth`` of them a unit; None when they are too few."""
        mine = tries.where(tries.whole | np.isin(tries.error, ("timeout", "cancelled")))
        mine = mine.where((mine.error == "") | ~mine.whole)  # a quick error is no quick success
        if len(mine) < LEAST_TRIES:
            return None
        if len(mine) > MOST:
            mine = mine.where(np.sort(rng.choice(len(mine), MOST, replace=False)))
        curve = Durations.fit(mine.seconds, mine.whole, mine.work)
        again = [rng.integers(0, len(mine), len(mine)) for _ in range(RESAMPLES)]
        return cls(
            curve,
            tuple(Durations.fit(mine.seconds[i], mine.whole[i], mine.work[i]) for i in again),
            rng.random((UNITS, depth)), rng.integers(0, len(mine), UNITS), len(mine),
        )  # fmt: skip

    def seconds(self, curve: Durations) -> Array:
        """Return what the tries of each unit would take; its work is the same in each.

        Of tries whose end nobody saw the first lasts for ever, so that no rule seems to reach
        its end; those after it last as long as any was seen to.
        """
        factors = curve.factors[self.beside][:, None]
        found = curve.draw(self.chance, factors)
        found[:, 1:] = np.where(np.isinf(found), curve.longest * factors, found)[:, 1:]
        return found

    def values(self) -> list[float]:
        """Return the values worth asking about: seconds that enough tries took longer than."""
        found = {
            _rounded(self.curve.quantile(share) * stretch * times)
            for share in SHARES
            for stretch in np.unique(np.quantile(self.curve.factors, (0.5, 0.9, 1.0)))
            for times in TIMES
        }
        between = np.geomspace(self.curve.quantile(0.5), self.curve.longest, BETWEEN)
        found |= {_rounded(float(v)) for v in between}  # tries may be quick, or hang, and no other
        return sorted(v for v in found if self.curve.still(v) * self.tries >= LEAST_BEYOND)


@dataclass(frozen=True, slots=True, eq=False)
class _Plays:
    """The same luck played under the rule of now and under others, as a trial would see it."""

    asked: Asked
    luck: Luck
    rule: Rule
    limits: Limits
    explain: Callable[[float], tuple[str, dict[str, Json]]]
    drawn: Array
    now: Array
    seed: int

    def finding(self, value: float) -> Finding:
        """Return what the value does to the tries of history."""
        luck, rule, stable = self.luck, self.rule, self.asked.stable
        logs = [_log(rule(s, value), rule(s, stable)) for s in map(luck.seconds, luck.resamples)]
        run_batches = self.asked.history.run_batches()
        batches, chance = batches_a_block(run_batches), np.random.default_rng(self.seed)
        then = rule(self.drawn, value)
        here, there = (spread_of_blocks(one, batches, chance) for one in (self.now, then))
        log = _log(then, self.now)
        error = noise(log, (here, there), run_batches, self.limits)
        effect = Effect(log, float(np.std(logs)), error, 60.0)
        note, facts = self.explain(value)
        facts = {**facts, "luck": _told(luck, value), "trial": {"batches": batches}}
        return Finding(value, effect, "replay of tries", luck.tries, note, 3, facts)


def best(
    asked: Asked, luck: Luck, rule: Rule, values: Sequence[float], limits: Limits,
    suppressed: Collection[str], explain: Callable[[float], tuple[str, dict[str, Json]]],
) -> Candidate | Reason:  # fmt: skip
    """Return the value under which units take least, if that is surely worth a change."""
    drawn = luck.seconds(luck.curve)
    lessons = Lessons.of(asked.scope.get("last") or (), asked.knob, asked.stable)
    against = {v: lessons.against(v) for v in values if v != asked.stable}
    means = {v: float(rule(drawn, v).mean()) for v, said in against.items() if not said}
    if not means:
        text = "no other value is within bounds and known of"
        return asked.no("not_worthwhile", _with(text, against))
    now = rule(drawn, asked.stable)
    finding = _Plays(asked, luck, rule, limits, explain, drawn, now, len(values)).finding
    value = _as_tried(asked, min(means, key=lambda v: (means[v], v)), lessons, limits)
    near = _rounded(limits.nearest(asked.knob, asked.stable or value, value))
    low, high = asked.ends
    far = near != value and is_far(asked, value, limits)
    if far and low <= near <= high and not lessons.against(near):
        step = propose(asked, finding(near), limits, suppressed)
        if isinstance(step, Candidate):
            return step
    answer = towards(asked, finding(value), finding, limits, suppressed)
    if isinstance(answer, Reason):
        if luck.curve.remaining(value) > luck.curve.remaining(0.0):
            return asked.no(answer.reason, _with(answer.text, against))
        text = "the time still to come does not grow with the time already spent"
        return asked.no("not_worthwhile", _with(f"{text} ({answer.text})", against))
    return answer


def _as_tried(asked: Asked, value: float, lessons: Lessons, limits: Limits) -> float:
    """Return a value that was tried instead of one just below it: no trial tells them apart.

    The longer of two is the safer: it cuts less, and has fewer second tries.
    """
    if not is_far(asked, value, limits):
        return value
    near = [v for v in tried(asked) if value < v <= value * math.exp(NEAR) and v != asked.stable]
    return min((v for v in near if not lessons.against(v)), default=value)


def _with(text: str, against: Mapping[float, str]) -> str:
    """Say first what values are left alone for, of the longest of them."""
    said = [against[v] for v in sorted(against, reverse=True) if against[v]]
    return f"{said[0]}; of what is left, {text}" if said else text


def few(tries: int) -> str:
    """Say that there are too few tries."""
    told = counted(tries, "try", "tries")
    return f"{told}, too few to say how long the slow ones take: {LEAST_TRIES} are needed"


def settled(seconds: Array) -> Array:
    """Return the seconds of first tries that nothing ends: at least what others were seen to."""
    longest = np.max(seconds, where=np.isfinite(seconds), initial=0.0)
    return np.asarray(np.minimum(seconds[:, 0], longest))


def _log(then: Array, now: Array) -> float:
    return math.log(float(then.mean()) / float(now.mean()))


def _told(luck: Luck, value: float) -> dict[str, Json]:
    curve = luck.curve
    return {
        "tries": luck.tries,
        "seconds_by_share": {str(q): curve.quantile(q) for q in (0.5, 0.9, 0.95, 0.99)},
        "still_to_come_s": {"at_first": curve.remaining(0.0), "at_value": curve.remaining(value)},
        "take_longer": curve.still(value),
        "power_of_work": curve.power,
        "assumes": "a second try is as lucky as any; what more work explains is taken out",
    }


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.3g}")

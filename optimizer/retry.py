"""The studies of ``retry.attempts`` and ``retry.on``: which retries are worth their cost.

What a limit would do is worked out per class of error from the work whose first try failed:
how often the next tries failed too. What failing for good costs is what has to be done
again: the step's work in a run. A limit is chosen by tries and failures together; a
reduction is then judged by the tries alone, more tries by both, and so are their trials. That
a trial could prove it is not asked of more tries: a record with few retries takes errors to
be permanent that a trial may show to be bad luck.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.blocks import batches_a_block, noise, spread_of_blocks
from optimizer.distinct import distinct
from optimizer.effect import Effect
from optimizer.finding import Asked, Finding, propose
from optimizer.guard import Limits, Reason
from optimizer.knobs import Range
from optimizer.models.chains import Cells, by_class
from optimizer.models.recovery import Rates
from optimizer.pooling import Priors
from optimizer.proposal import Candidate
from optimizer.tries import Tries
from optimizer.verify.plan import MOST_LOST

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

STRENGTH: Final = 5.0
"""Units that the prior of a class weighs: soon outweighed by the step's own."""
LIGHT: Final = 2.0
"""The same where a class is to be left out: what surely never recovered is soon believed."""
LEAST_FAILED: Final = 10
"""Pieces of work that must have failed at first, of which some were tried again."""
PRICE: Final = (5.0, MOST_LOST)
"""The least and the most that failing for good is taken to cost, in tries."""
DRAWS: Final = 60
DRAWN: Final = 4_000
"""Pieces of work that one way to try again is played on."""
Way: TypeAlias = tuple[int, Collection[str]]


@dataclass(frozen=True, slots=True)
class Work:
    """What the step's tries cost, and how its classes of error recover.

    ``ok_s`` and ``failed_s`` are the seconds of a try that succeeds, and that fails by
    class; ``price_s`` is lost with work that fails for good; ``good_s`` are the seconds of
    tries that succeeded; ``run_batches`` are those of a run. ``borrowed`` says in words from
    which steps most was borrowed.
    """

    units: int
    ok_s: float
    failed_s: Mapping[str, float]
    price_s: float
    good_s: Array
    run_batches: int
    cells: Mapping[str, Cells]
    rates: Mapping[str, Rates]
    borrowed: str = ""

    def tries_s(self, retries: int, on: Collection[str]) -> float:
        """Return the seconds of all tries of a unit."""
        first = self.ok_s * (1.0 - sum(self._share(name) for name in self.cells))
        return first + sum(
            self._share(name) * (self.failed_s[name] + self._again_s(name, retries, on))
            for name in self.cells
        )

    def lost_s(self, retries: int, on: Collection[str]) -> float:
        """Return the seconds that a unit loses by failing for good, on average."""
        return self.price_s * self.lost(retries, on)

    def lost(self, retries: int, on: Collection[str]) -> float:
        """Return the share of units that fail for good."""
        return sum(
            self._share(name) * (rates.fails_all(retries) if name in on else 1.0)
            for name, rates in self.rates.items()
        )

    def whole_s(self, retries: int, on: Collection[str]) -> float:
        """Return tries and losses together: what is to become less."""
        return self.tries_s(retries, on) + self.lost_s(retries, on)

    def spread(self, way: Way, priced: bool, rng: np.random.Generator) -> float:
        """Return the spread of a trial's blocks, failing for good priced or not."""
        retries, on = way
        took = rng.choice(self.good_s, DRAWN)
        chance, first = rng.random(DRAWN), rng.random(DRAWN)
        for name, rates in self.rates.items():
            share, most = self._share(name), retries if name in on else 0
            mine = (first >= 0.0) & (first < share)
            left = np.array([rates.fails_all(k) for k in range(1, most + 1)])
            failed = (chance[mine, None] < left[None, :]).sum(axis=1)
            took[mine] = np.where(failed == most, priced * self.price_s, took[mine])
            took[mine] += self.failed_s[name] * (1 + failed)
            first -= share
        return spread_of_blocks(took, batches_a_block(self.run_batches), rng)

    def _share(self, name: str) -> float:
        return self.cells[name].units / self.units

    def _again_s(self, name: str, retries: int, on: Collection[str]) -> float:
        if name not in on or retries < 1:
            return 0.0
        rates = self.rates[name]
        begun = rates.tries(retries - 1)
        wrong = sum(rates.fails_all(k) for k in range(1, retries + 1))
        return wrong * self.failed_s[name] + (begun - wrong) * self.ok_s


def study(
    asked: Asked, tries: Tries, priors: Priors, limits: Limits,
    suppressed: Collection[str], chance: np.random.Generator,
) -> Candidate | Reason:  # fmt: skip
    """Return what history says of the limit, or of the classes, or why it says nothing."""
    cells = by_class(tries)
    failed = sum(one.units for one in cells.values())
    if failed < LEAST_FAILED:
        text = f"{failed:.0f} pieces of work failed at first; {LEAST_FAILED} are needed"
        return asked.no("not_worthwhile" if not failed else "too_little_history", text)
    if not any(one.retried for one in cells.values()):
        text = "nothing that failed was ever tried again, so nobody knows whether that helps"
        return asked.no("history_cannot_say", text)
    strength = LIGHT if asked.knob == "retry.on" else STRENGTH
    work = _work(tries, cells, priors, strength, asked.history.run_batches())
    draws = [_drawn(work, priors, strength, chance) for _ in range(DRAWS)]
    if asked.knob == "retry.on":
        return _classes(asked, work, draws, limits, suppressed, chance)
    return _limit(asked, work, draws, limits, suppressed, chance)


def _work(
    tries: Tries, cells: Mapping[str, Cells], priors: Priors, strength: float, run_batches: int
) -> Work:
    turns = tries.in_turn()
    good = turns.seconds[turns.error == ""] if (turns.error == "").any() else turns.seconds
    ok_s, price_s = float(good.mean()), price_of(tries)
    failed_s = {name: float(turns.seconds[turns.error == name].mean()) for name in cells}
    rates = {n: one.rates(priors.of(n), strength, None) for n, one in cells.items()}
    units, told = len(np.unique(turns.unit)), priors.says(cells)
    return Work(units, ok_s, failed_s, price_s, good, run_batches, cells, rates, told)


def price_of(tries: Tries) -> float:
    """Return the seconds that are lost with work that fails for good: the step's in a run."""
    turns = tries.in_turn()
    good = turns.seconds[turns.error == ""]
    ok_s = float(good.mean()) if len(good) else float(turns.seconds.mean())
    _, runs = distinct(turns.run)
    run_s = float(np.median(np.bincount(runs, weights=turns.seconds)))
    return min(max(run_s, PRICE[0] * ok_s), PRICE[1] * ok_s)


def _drawn(work: Work, priors: Priors, strength: float, chance: np.random.Generator) -> Work:
    """The same work as it might be as well, for all that is known."""
    again = {n: one.rates(priors.of(n), strength, chance) for n, one in work.cells.items()}
    return replace(work, rates=again)


def _limit(
    asked: Asked, work: Work, draws: list[Work], limits: Limits, suppressed: Collection[str],
    chance: np.random.Generator,
) -> Candidate | Reason:  # fmt: skip
    knob, on = Range.declared(asked.tune), asked.values["retry.on"]
    stable = int(asked.stable)
    tried = [n for n in range(1, 16) if knob.holds(n)]
    best = min(tried, key=lambda n: (work.whole_s(n - 1, on), n), default=stable)
    value = round(limits.nearest(asked.knob, stable, best))
    if value == stable or not knob.holds(value):
        text = f"{stable} tries are worth most already ({_says(work, stable - 1, on)})"
        text += work.borrowed
        return asked.no("not_worthwhile", text)
    effect = _effect(work, draws, (stable - 1, on), (value - 1, on), limits, chance)
    other = {p: _best_at(work, tried, on, p) for p in (0.25, 4.0)}
    note = (
        f"retry.attempts {stable} → {value}: {work.lost(stable - 1, on):.2%} of the work "
        f"fails for good now, {work.lost(value - 1, on):.2%} then{work.borrowed}"
    )
    facts = {
        "retry": _facts(work, stable - 1, on, value - 1, on),
        "best": {
            "value": best,
            "if_failing_costs_a_quarter": other[0.25],
            "four_times": other[4.0],
        },
        "trial": _trial(work, (stable - 1, on), (value - 1, on)),
    }
    sure = replace(effect, measurement_se=0.0) if value > stable else None
    found = Finding(value, effect, "recovery by class", work.units, note, 1, facts, sure)
    return propose(asked, found, limits, suppressed)


def _best_at(work: Work, tried: list[int], on: Collection[str], times: float) -> int:
    other = replace(work, price_s=work.price_s * times)
    return min(tried, key=lambda n: (other.whole_s(n - 1, on), n))


def _classes(
    asked: Asked, work: Work, draws: list[Work], limits: Limits, suppressed: Collection[str],
    chance: np.random.Generator,
) -> Candidate | Reason:  # fmt: skip
    on = list(asked.stable)
    retries = int(asked.values["retry.attempts"]) - 1
    vain = [name for name in on if _is_vain(name, on, retries, draws)]
    value = [name for name in on if name not in vain]
    if not vain:
        told = ", ".join(f"{n} {1 - work.rates[n].fails:.0%}" for n in on if n in work.rates)
        text = f"a retry helps often enough: {told or 'none failed'}{work.borrowed}"
        return asked.no("not_worthwhile", text)
    effect = _effect(work, draws, (retries, on), (retries, value), limits, chance)
    names = ", ".join(
        f"{n} (0 of {work.cells[n].retried:.0f} recovered)"
        if not work.cells[n].recovered
        else f"{n} ({work.cells[n].recovered:.0f} of {work.cells[n].retried:.0f} recovered)"
        for n in vain
    )
    facts = {
        "retry": _facts(work, retries, on, retries, value),
        "trial": _trial(work, (retries, on), (retries, value)),
    }
    note = f"not worth trying again: {names}{work.borrowed}"
    found = Finding(value, effect, "recovery by class", work.units, note, facts=facts)
    return propose(asked, found, limits, suppressed)


def _is_vain(name: str, on: list[str], retries: int, draws: list[Work]) -> bool:
    """Whether leaving a class out is surely cheaper, failures counted."""
    if name not in draws[0].cells or draws[0].cells[name].retried < LEAST_FAILED:
        return False
    rest = [one for one in on if one != name]
    cheaper = [w.whole_s(retries, rest) < w.whole_s(retries, on) for w in draws]
    return float(np.mean(cheaper)) >= 0.95


def _effect(
    work: Work, draws: list[Work], now: Way, then: Way, limits: Limits, rng: np.random.Generator
) -> Effect:
    """A reduction is judged by its tries, more tries by all they save; so are their trials."""
    fewer = _is_fewer(work, now, then)

    def log(one: Work) -> float:
        if fewer:
            return math.log(one.tries_s(*then) / one.tries_s(*now))
        return math.log(one.whole_s(*then) / one.whole_s(*now))

    sd = float(np.std([log(one) for one in draws]))
    here, there = (work.spread(way, not fewer, rng) for way in (now, then))
    failed = sum(cells.units for cells in work.cells.values())
    error = noise(log(work), (here, there), work.run_batches, limits)
    if fewer and work.whole_s(*then) > work.whole_s(*now):
        return Effect(0.0, sd, error, failed)  # cheaper tries that lose more work are no gain
    return Effect(log(work), sd, error, failed)


def _facts(
    work: Work, retries: int, on: Collection[str], then: int, later: Collection[str]
) -> dict[str, Json]:
    classes = {
        name: {
            "failed_at_first": cells.units, "tried_again": cells.retried,
            "recovered": cells.recovered, "next_try_succeeds": 1.0 - work.rates[name].fails,
            "never_succeeds": work.rates[name].never,
        }
        for name, cells in work.cells.items()
    }  # fmt: skip
    return {
        "classes": classes,
        "failing_costs_tries": work.price_s / work.ok_s,
        "tries_s": [work.tries_s(retries, on), work.tries_s(then, later)],
        "fail_for_good": [work.lost(retries, on), work.lost(then, later)],
        "judged_by": "tries"
        if _is_fewer(work, (retries, on), (then, later))
        else "tries and what failing for good loses, in the trial too",
    }


def _trial(work: Work, now: Way, then: Way) -> dict[str, Json]:
    """What a trial is to know: its blocks, and what work that fails for good loses."""
    priced = {} if _is_fewer(work, now, then) else {"lost_s": work.price_s}
    return {"batches": batches_a_block(work.run_batches), **priced}


def _is_fewer(work: Work, now: Way, then: Way) -> bool:
    return work.tries_s(*then) <= work.tries_s(*now)


def _says(work: Work, retries: int, on: Collection[str]) -> str:
    return f"{work.lost(retries, on):.2%} of the work fails for good"

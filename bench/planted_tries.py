"""Planted histories of single tries: errors that recover or never do, and tails of times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from bench.planted_histories import TRANSIENT, Array, Chance, History, Json, Row, begun, chain

# ---- retries --------------------------------------------------------------------------------

ATTEMPTS: Final = {"name": "retry.attempts", "min": 1, "max": 12}
WITHOUT: Final = (0.75 * 1.17 + 0.25) / (0.75 * 1.17 + 0.75)
"""What is left of the tries when one unit in four, which never succeeds, is not tried again."""
ON: Final = {"name": "retry.on", "choices": TRANSIENT}


def _tried(fails: float, most: int, error: str, chance: Chance) -> list[tuple[str, float]]:
    turns: list[tuple[str, float]] = []
    while len(turns) < most and (not turns or turns[-1][0]):
        turns.append((error if chance.random() < fails else "", 1.0))
    return turns


def _units(units: list[list[tuple[str, float]]]) -> list[Row]:
    return [
        one
        for n, turns in enumerate(units)
        for one in chain(f"r{n // 40}", n % 40, begun(n // 40) + 60.0 * (n % 40), turns)
    ]


def retry_transient(chance: Chance) -> History:
    """Four in ten tries fail, each by itself, and the limit is two."""
    units = [_tried(0.4, 2, "transient", chance) for _ in range(800)]

    def cost(limit: int) -> float:
        return float((1.0 - 0.4**limit) / 0.6 + 0.4**limit * 40.0)

    return History(
        _units(units), ATTEMPTS, 2, lambda limit: cost(limit) / cost(2),
        min(map(cost, range(1, 13))) / cost(2),
    )  # fmt: skip


def retry_permanent(chance: Chance) -> History:
    """One in four fails for ever under a transient error's name; throttled ones recover."""
    units = [
        [("transient", 1.0)] * 3
        if chance.random() < 0.25
        else _tried(0.15, 3, "throttled", chance)
        for _ in range(400)
    ]

    def worth(on: Json) -> float:
        if "throttled" not in on:
            return 2.0
        return 1.0 if "transient" in on else WITHOUT

    return History(_units(units), ON, TRANSIENT, worth, WITHOUT)


def retry_helps(chance: Chance) -> History:
    """Errors of all classes recover at the next try: no class should be left out."""
    units = [_tried(0.2, 3, str(chance.choice(TRANSIENT)), chance) for _ in range(400)]
    return History(_units(units), ON, TRANSIENT, lambda on: 2.0)


def retry_seldom_helps(chance: Chance) -> History:
    """One try in six recovers, which is worth it beside what failing for good costs."""
    units = [
        [("transient", 1.0), *_tried(5 / 6, 2, "transient", chance)]
        if chance.random() < 0.15
        else [("", 1.0)]
        for _ in range(400)
    ]
    return History(_units(units), ON, TRANSIENT, lambda on: 2.0)


def retry_few(chance: Chance) -> History:
    """Six failures of one class, none of which recovered by chance: too few to say."""
    units = [[("transient", 1.0)] * 3] * 6 + [[("", 1.0)]] * 100
    return History(_units(units), ON, TRANSIENT, lambda on: 2.0)


# ---- timeouts and hedges ----------------------------------------------------------------------


def _tries(knob: str, seconds: Array, worth: Callable[[Json], float], best: float) -> History:
    rows = _units([[("", float(s))] for s in seconds])
    return History(rows, {"name": knob, "min": 0.001, "max": 600.0}, 500.0, worth, best)


def _played(knob: str, seconds: Array, chance: Chance) -> Callable[[Json], float]:
    """Return what a value is worth, played with tries of these seconds by luck alone."""
    return cut_worth(knob, *(chance.choice(seconds, 20_000) for _ in range(3)))


def cut_worth(knob: str, one: Array, two: Array, three: Array) -> Callable[[Json], float]:
    """Return what cutting the first tries at a time is worth, with their second and third ones."""

    def worth(value: float) -> float:
        if knob == "hedge":
            done = np.minimum(one, np.minimum(one, value) + two)
            spent = done + np.maximum(done - value, 0.0)
        else:
            again = np.where(two <= value, two, value + np.minimum(three, value))
            spent = np.where(one <= value, one, value + again)
        return float(spent.mean() / one.mean())

    return worth


def heavy(knob: str) -> Callable[[Chance], History]:
    """One try in fifteen hangs for a minute, whatever its work is."""

    def plant(chance: Chance) -> History:
        quick = chance.gamma(20.0, 1 / 20.0, 800)
        seconds = np.where(chance.random(800) < 1 / 15, quick + 60.0, quick)
        worth = _played(knob, seconds, chance)
        best = min(worth(float(v)) for v in np.quantile(seconds, np.linspace(0.5, 0.99, 40)))
        return _tries(knob, seconds, worth, best)

    return plant


def all_cut(chance: Chance) -> History:
    """One try in fifteen hangs for a minute, and none was ever let run beyond twenty seconds."""
    seconds = np.where(
        chance.random((3, 800)) < 1 / 15, 60.0, chance.gamma(20.0, 1 / 20.0, (3, 800))
    )
    units = [
        [("timeout", 20.0)] * (len(cut) if cut.all() else int(cut.argmin()))
        + ([] if cut.all() else [("", float(one[cut.argmin()]))])
        for one, cut in ((one, one > 20.0) for one in seconds.T)
    ]
    cut_at = cut_worth("timeout", *seconds)
    best = min(cut_at(float(v)) for v in np.linspace(1.0, 3.0, 40)) / cut_at(20.0)
    tuned = {"name": "timeout", "min": 0.001, "max": 600.0}
    return History(_units(units), tuned, 20.0, lambda v: cut_at(v) / cut_at(20.0), best)


def memoryless(knob: str) -> Callable[[Chance], History]:
    """The time still to come is the same however long a try has taken."""

    def plant(chance: Chance) -> History:
        return _tries(knob, chance.exponential(2.0, 300), lambda value: 1.0, 1.0)

    return plant


def slow_work(knob: str) -> Callable[[Chance], History]:
    """Large work is slow, and says how large it is: a second try would be as slow."""

    def plant(chance: Chance) -> History:
        work = np.exp(chance.normal(9.0, 1.5, 300))
        planted = _tries(knob, work / 8000 * chance.gamma(30, 1 / 30, 300), lambda _: 1.1, 1.0)
        rows = [{**one, "bytes_in": int(w)} for one, w in zip(planted.rows, work, strict=True)]
        return replace(planted, rows=rows)

    return plant

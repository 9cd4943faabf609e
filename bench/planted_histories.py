"""Planted histories: attempts of a step whose best value is known by construction.

Each truth makes the record of one step from a seed, and says what a value of the knob is
worth: what the step would take under it, in multiples of what it takes now. Some histories
are confounded on purpose; there the only right answer is to abstain or to ask. A change
that is no gain, or that is far from the best, is wrong.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from optimizer.choice import Others
from optimizer.evidence import batches
from optimizer.guard import Limits
from optimizer.tries import tries
from optimizer.tune import tune_step

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]
Chance: TypeAlias = np.random.Generator
Row: TypeAlias = dict[str, Json]
Said: TypeAlias = Literal["right", "wrong", "asked", "abstained"]

TOLERANCE: Final = 0.10
"""How much dearer than the best value that may be proposed a right one is at most."""
DAY_S: Final = 86_400.0
MONDAY: Final = 1_700_438_400.0
"""Midnight of the day on which planted histories begin, UTC."""
TRANSIENT: Final = ["transient", "timeout", "throttled"]


@dataclass(frozen=True, slots=True)
class History:
    """A step's record, and what each value is worth: 1 is as now, less is better."""

    rows: list[Row]
    knob: Mapping[str, Json]
    stable: Json
    worth: Callable[[Json], float]
    best: float = 1.0
    more: Mapping[str, Json] = field(default_factory=dict)
    others: Others | None = None

    def scope(self) -> dict[str, Json]:
        """Return the step as an optimizer's cycle names it."""
        usual = {"each.batch": 25, "each.in_flight": 2, "retry.attempts": 3, "retry.on": TRANSIENT}
        return {
            "playbook": "planted/truth", "step": "unit", "version": "v1", "bound": "b",
            "effect": "idempotent", "objective": "time", "stable": {}, "last": [],
            "defaults": {**usual, self.knob["name"]: self.stable}, "tune": [self.knob],
            **self.more,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What the optimizer said of a history, and whether that was right."""

    said: Said
    value: Json
    worth: float
    why: str


@dataclass(frozen=True, slots=True)
class Truth:
    """One planted truth. ``changes`` says whether a change can be right at all."""

    name: str
    promise: str
    changes: bool
    plant: Callable[[Chance], History]


def ask(truth: Truth, seed: int) -> Answer:
    """Plant a history and have the shipped optimizer speak of it."""
    planted = truth.plant(np.random.default_rng(seed))
    table = pa.Table.from_pylist(planted.rows)
    found = tune_step(
        planted.scope(), batches(table), Limits(), random.Random(seed), tries(table),
        others=planted.others,
    )  # fmt: skip
    if found.candidate is None:
        return Answer("abstained", None, 1.0, "; ".join(one.text for one in found.reasons))
    line, note = found.candidate.diff[0], found.candidate.note
    if found.candidate.kind == "experiment":
        return Answer("asked", line["values"], 1.0, note)
    worth = planted.worth(line["to"])
    return Answer(judged(worth, planted.best), line["to"], worth, note)


def judged(worth: float, best: float) -> Said:
    """Say whether a change to a value of that worth is right."""
    return "right" if worth < 1.0 and worth <= best * (1.0 + TOLERANCE) else "wrong"


# ---- rows -----------------------------------------------------------------------------------


def row(run: str, batch: int, seconds: float, at: float, **more: Json) -> Row:
    """Return one attempt; what is not said is usual."""
    number, error = more.get("number", 1), more.get("error_class", "")
    usual = {
        "attempt": f"{run}/unit/{batch}/{number}", "run": run, "version": "v1", "batch": batch,
        "block": -1, "number": number, "outcome": "failed" if error else "succeeded",
        "error_class": "", "retried": 0, "run_s": seconds, "items": 25,
        "cost_usd": seconds / 3600, "scheduled_at": at, "at": at + seconds, "batch_size": 25,
        "in_flight": 1, "experiment": "", "arm": "", "share": None, "bytes_in": 1000,
    }  # fmt: skip
    return {**usual, **more}


def begun(number: int, hour: float = 12.0) -> float:
    """Return when the run of a day begins."""
    return MONDAY + DAY_S * number + 3600.0 * hour


Seconds: TypeAlias = Callable[[int], float]


def run_of(
    name: str, size: int, items: int, at: float, seconds: Seconds, chance: Chance, sd: float = 0.2
) -> Iterator[Row]:  # fmt: skip
    """Yield a run that works through its items in batches of one size, one after the other."""
    load = math.exp(chance.normal(0.0, 0.05))
    for batch in range(items // size):
        took = load * seconds(size) * math.exp(chance.normal(0.0, sd))
        yield row(name, batch, took, at, items=size, batch_size=size)
        at += took


def trial_of(
    name: str, sizes: tuple[int, ...], at: float, seconds: Seconds, noise: Callable[[], float]
) -> Iterator[Row]:
    """Yield a run of a trial: half of its blocks are control, the others each a candidate."""
    for block in range(40):
        size = 25 if block % 2 == 0 else sizes[(block // 2) % len(sizes)]
        arm = "control" if size == 25 else f"candidate.{sizes.index(size) + 1}"
        took = seconds(size) * noise()
        yield row(
            name, block, took, at, items=size, batch_size=size, experiment="x", arm=arm,
            block=block, share=0.5,
        )  # fmt: skip
        at += took


def chain(
    run: str, unit: int, at: float, turns: list[tuple[str, float]], **more: Json
) -> list[Row]:
    """Return the tries of one piece of work, one after another."""
    found = []
    for number, (error, seconds) in enumerate(turns, 1):
        outcome = {"": "succeeded", "timeout": "timed_out"}.get(error, "failed")
        found.append(row(
            run, unit, seconds, at, number=number, error_class=error, outcome=outcome,
            retried=int(number < len(turns)), **more,
        ))  # fmt: skip
        at += seconds
    return found


def log_normal(chance: Chance, sd: float = 0.2) -> float:
    return math.exp(chance.normal(0.0, sd))

"""The planted playbooks: one step each, whose best setting is known by construction."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from bench.planted_service import FAILS, SLOTS, even_s, tail_s
from bench.planted_tries import cut_worth

Json: TypeAlias = Any
Worth: TypeAlias = Callable[[Json], float]

HARDWARE: Final = """
hardware:
  - {class: local, prices: [{from: 2020-01-01, usd_per_hour: 0.2}]}
  - {class: large, prices: [{from: 2020-01-01, usd_per_hour: 0.4}]}
  - {class: small, prices: [{from: 2020-01-01, usd_per_hour: 0.1}]}
"""
WORK: Final = (Path(__file__).parent / "planted_work.py").read_text(encoding="utf-8")
HEAD: Final = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: planted/%s}
objective: %s
workload:
  items: {type: integer, default: %d}
  url: {type: string, default: ""}
  fixed_s: {type: number, default: 0.008}
  item_s: {type: number, default: 0.0001}
  square_s: {type: number, default: 0.000001}
  most: {type: integer, default: 0}
workflow:
  - step: work
"""
BURN: Final = """
    tool: {kind: python, call: "planted_work:burn"}
    with: {fixed_s: "{{ workload.fixed_s }}", item_s: "{{ workload.item_s }}",
           square_s: "{{ workload.square_s }}", most: "{{ workload.most }}"}
"""
ASK: Final = """
    tool: {kind: python, call: "planted_work:ask"}
    with: {url: "{{ workload.url }}", run: "{{ run.id }}"}
    effect: idempotent
"""


@dataclass(frozen=True, slots=True)
class Book:
    """A playbook with a truth in it. ``best`` is the least worth that any value has.

    ``earlier`` are the runs of an earlier version, in which ``was`` stood for ``now``;
    ``tried`` says that only a trial can tell, ``alone`` that nothing may run beside it.
    """

    name: str
    promise: str
    step: str
    worth: Worth
    best: float = 1.0
    changes: bool = True
    items: int = 200
    objective: str = "time"
    path: str = ""
    tried: bool = False
    alone: bool = False
    rounds: int = 3
    swap: tuple[str, str] = ("", "")
    earlier: Mapping[str, Json] = field(default_factory=dict)
    workload: Mapping[str, Json] = field(default_factory=dict)

    def source(self, earlier: bool = False) -> str:
        """Return the playbook's text, as it is now or as it was at first."""
        text = HEAD % (self.name, self.objective, self.items) + self.step
        return text.replace(*self.swap) if earlier else text


def each(batch: int, in_flight: int) -> str:
    """Return an ``each`` over the workload's items."""
    return (
        f'    each: {{in: "{{{{ range(workload.items) }}}}", batch: {batch}, '
        f"in_flight: {in_flight}, failures: {{allow: 100%}}}}"
    )


def batch_s(size: int) -> float:
    return (0.008 + 0.0001 * size + 1e-6 * size**2) / size


def _limit(limit: int) -> float:
    return float((1.0 - FAILS**limit) / (1.0 - FAILS) + FAILS**limit * 100.0)


def _on(value: Json) -> float:
    left_out = "transient" not in value and "throttled" in value
    return (0.75 * 1.17 + 0.25) / (0.75 * 1.17 + 0.75) if left_out else 2.0


def cut_of(knob: str, seconds: Callable[[random.Random], float]) -> Worth:
    """What a timeout or a hedge is worth, played with the service's own law."""
    chance = random.Random(3)
    return cut_worth(knob, *(np.array([seconds(chance) for _ in range(5_000)]) for _ in range(3)))


def _tail(
    knob: str, path: str, seconds: Callable[[random.Random], float], now: str, changes: bool
) -> Book:
    """A step with a timeout or a hedge of ``now``; one change may halve it, a trial go further."""
    worth, now_s = cut_of(knob, seconds), duration_s(now)
    retry = "    retry: {attempts: 3, initial: 1ms, on: [transient, timeout]}\n"
    tune = f"    tune: {{{knob}: {{min: 5ms, max: 30s}}}}\n"
    step = f"{each(1, 4)}{ASK}{retry}    {knob}: {now}\n{tune}"
    best = worth(now_s / 2) / worth(now_s) if changes and knob == "timeout" else 1.0
    if changes and knob == "hedge":
        best = min(map(worth, (0.02, 0.03, 0.05, 0.1))) / worth(now_s)
    law = "one in fifteen hangs for a second" if changes else "exponential times"
    return Book(
        f"{knob}_{path}", law, step,
        (lambda value: worth(value) / worth(now_s)) if changes else lambda value: 1.0,
        best, changes, path=f"/{path}", tried=changes,
    )  # fmt: skip


def duration_s(text: str) -> float:
    """Return the seconds of a duration of the planted playbooks."""
    return float(text[:-2]) / 1000.0 if text.endswith("ms") else float(text[:-1])


BATCH: Final = "    tune: {each.batch: {min: 2, max: 400}}\n"
BOOKS: Final = (
    Book(
        "batch", "8 ms a call, 0.1 ms an item, 1 µs its square", each(10, 1) + BURN + BATCH,
        lambda n: batch_s(n) / batch_s(10), batch_s(80) / batch_s(10), items=1600, tried=True,
        alone=True,
    ),
    Book(
        "in_flight", f"{SLOTS} are served at once", each(1, 2) + ASK
        + "    tune: {each.in_flight: {min: 1, max: 8}}\n",
        lambda n: 2 / min(n, SLOTS), 2 / 4, items=400, path="/slots", tried=True, alone=True,
    ),
    Book(
        "retry_limit", "half of the tries fail, the limit is three", each(1, 4) + ASK
        + "    retry: {attempts: 3, initial: 1ms, on: [transient]}\n"
        + "    tune: {retry.attempts: {min: 1, max: 5}}\n",
        lambda n: _limit(n) / _limit(3), _limit(5) / _limit(3), path="/fails",
    ),
    Book(
        "retry_permanent", "one key in four is broken, and answers 503", each(1, 4) + ASK
        + "    retry: {attempts: 3, initial: 1ms, max: 10ms, on: [transient, throttled]}\n"
        + "    tune: {retry.on: [transient, throttled]}\n",
        _on, _on(["throttled"]), path="/broken",
    ),
    _tail("timeout", "tail", tail_s, "300ms", changes=True),
    _tail("hedge", "tail", tail_s, "20s", changes=True),
    _tail("timeout", "even", even_s, "20s", changes=False),
    _tail("hedge", "even", even_s, "20s", changes=False),
    Book(
        "alternative", "the other engine takes half", each(5, 1) + BURN
        + "    alternatives:\n      quick: {kind: python, call: \"planted_work:burn\", with: "
        + "{fixed_s: 0.004, item_s: 0.00005, square_s: 0.0}}\n"
        + "    tune: {alternatives: [default, quick]}\n",
        lambda value: 0.5, 0.5, items=150, rounds=12, tried=True, alone=True,
    ),
    Book(
        "placement", "the other class costs a quarter and is as fast", each(5, 1) + BURN
        + "    runs_on: large\n    tune: {runs_on: [large, small]}\n",
        lambda value: 0.25, 0.25, items=150, rounds=12, objective="cost", tried=True, alone=True,
    ),
    Book(
        "small_inputs", "batches of 50 ran on small inputs alone, of light items",
        each(5, 1) + BURN + BATCH, lambda n: 1.0, changes=False, items=400, alone=True,
        swap=("batch: 5,", "batch: 50,"), earlier={"items": 150, "item_s": 0.0004},
        workload={"fixed_s": 0.0, "item_s": 0.002, "square_s": 0.0},
    ),
    Book(
        "release", "batches of 50 ran before a release made all items dearer",
        each(5, 1) + BURN + BATCH, lambda n: 1.0, changes=False, items=400, alone=True,
        swap=("batch: 5,", "batch: 50,"), earlier={"item_s": 0.001},
        workload={"fixed_s": 0.0, "item_s": 0.002, "square_s": 0.0},
    ),
    Book(
        "too_few", "one run of eight batches", each(5, 1) + BURN + BATCH, lambda n: 1.0,
        changes=False, items=40, alone=True, rounds=1,
    ),
)  # fmt: skip

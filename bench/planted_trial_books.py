"""The planted playbooks of the trials: one for each knob, with what two of its values are worth.

``good`` is what the optimizer is to find and a trial to keep. ``harm`` is a value fed in by
hand with a confident guess, as an author may: its trial has to take it back. What a value is
worth is known by construction, in what the trial of that knob measures, in multiples of now.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from bench.planted_books import (
    ASK,
    BATCH,
    BURN,
    Book,
    Worth,
    batch_s,
    cut_of,
    each,
)
from bench.planted_service import FAILS, SLOTS, back_s, hang_s, steady_s

Json: TypeAlias = Any

PRICE: Final = 100.0
"""Tries that failing for good is taken to cost; the optimizer takes no more either."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A knob on trial: its book, and the value that the trial has to take back.

    ``harm`` is told which value is stable by then. ``good`` says that there is a gain to find;
    ``fed_worth`` is what a value is worth in the trial of ``harm``, where that measures less.
    """

    knob: str
    book: Book
    harm: Callable[[Json], Json]
    good: bool = True
    fed_worth: Worth | None = None

    @property
    def name(self) -> str:
        """The playbook's name, which it shares with no planted playbook of another part."""
        return self.book.name


def _limit(limit: int) -> float:
    return _tries(limit) + PRICE * FAILS**limit


def _tries(limit: int) -> float:
    """Tries alone, as a trial measures a change that was proposed without a price of failing."""
    return (1.0 - FAILS**limit) / (1.0 - FAILS)


def _on(classes: list[str]) -> float:
    """One key in four is broken for ever (transient); of the others 15 in 100 are throttled."""
    broken = 3.0 if "transient" in classes else 1.0
    again = 1.0 + 0.15 + 0.15**2 if "throttled" in classes else 1.0
    return 0.25 * broken + 0.75 * again


def _waits(initial_s: float) -> float:
    """Tries until a key that failed is back, waits doubling and cut by full jitter."""
    chance = random.Random(11)
    tries = []
    for _ in range(4_000):
        back, at, n = back_s(chance), 0.0, 1
        while at < back and n < 8:
            at += chance.random() * initial_s * 2.0 ** (n - 1) + 0.02
            n += 1
        tries.append(n)
    return float(np.mean(tries))


def _timeout(seconds: Callable[[random.Random], float]) -> Worth:
    return cut_of("timeout", seconds)


RETRY: Final = "    retry: {attempts: 3, initial: 1ms, on: [transient, timeout]}\n"
ENGINES: Final = (
    "    alternatives:\n"
    '      quick: {kind: python, call: "planted_work:burn", with: '
    "{fixed_s: 0.004, item_s: 0.00005, square_s: 0.0}}\n"
    '      slow: {kind: python, call: "planted_work:burn", with: '
    "{fixed_s: 0.008, item_s: 0.0001, square_s: 0.0}}\n"
    "    tune: {alternatives: [default, quick, slow]}\n"
)
_ENGINES: Final = {"default": 1.0, "quick": 0.5, "slow": 1.0}
_HOURLY: Final = {"large": 0.4, "small": 0.1, "local": 0.2}

TRIED: Final = (
    Tried(
        "each.batch",
        Book(
            "t_batch", "8 ms a call, 0.1 ms an item, 1 µs its square", each(10, 1) + BURN + BATCH,
            lambda n: batch_s(n) / batch_s(10), items=2400, alone=True, rounds=2,
        ),
        lambda now: now // 2,
    ),
    Tried(
        "each.in_flight",
        Book(
            "t_in_flight", f"{SLOTS} are served at once", each(1, 2) + ASK
            + "    tune: {each.in_flight: {min: 1, max: 8}}\n",
            lambda n: 2 / min(n, SLOTS), items=400, path="/slots", alone=True, rounds=2,
        ),
        lambda now: now // 2,
    ),
    Tried(
        "retry.attempts",
        Book(
            "t_attempts", "half of the tries fail, the limit is three", each(1, 4) + ASK
            + "    retry: {attempts: 3, initial: 1ms, on: [transient]}\n"
            + "    tune: {retry.attempts: {min: 1, max: 5}}\n",
            lambda n: _limit(n) / _limit(3), items=400, path="/fails", rounds=1,
        ),
        lambda now: now - 2,
        fed_worth=_tries,
    ),
    Tried(
        "retry.on",
        Book(
            "t_on", "one key in four is broken for ever, and answers 503", each(1, 4) + ASK
            + "    retry: {attempts: 3, initial: 1ms, max: 10ms, on: [transient, throttled]}\n"
            + "    tune: {retry.on: [transient, throttled]}\n",
            lambda on: _on(on) / _on(["transient", "throttled"]), items=600, path="/broken",
            rounds=1,
        ),
        lambda now: ["transient"],
    ),
    Tried(
        "retry.initial",
        Book(
            "t_initial", "keys that are away are back after 0.5 s, on average", each(1, 8) + ASK
            + "    retry: {attempts: 8, initial: 20ms, on: [transient]}\n"
            + "    tune: {retry.initial: {min: 1ms, max: 5s}}\n",
            lambda s: _waits(s) / _waits(0.02), items=400, path="/back", rounds=1,
        ),
        lambda now: now / 8,
    ),
    Tried(
        "timeout",
        Book(
            "t_timeout", "one in fifteen hangs for three seconds", each(1, 4) + ASK
            + "    retry: {attempts: 5, initial: 1ms, on: [transient, timeout]}\n"
            + "    timeout: 2s\n    tune: {timeout: {min: 500ms, max: 30s}}\n",
            lambda s: _timeout(hang_s)(s) / _timeout(hang_s)(2.0), items=400, path="/hang",
            alone=True, rounds=1,
        ),
        lambda now: 2 * now,
    ),
    Tried(
        "timeout",
        Book(
            "t_timeout_steady", "150 ms a request, whatever happens", each(1, 4) + ASK + RETRY
            + "    timeout: 250ms\n    tune: {timeout: {min: 5ms, max: 30s}}\n",
            lambda s: _timeout(steady_s)(s) / _timeout(steady_s)(0.25), items=120,
            path="/steady", rounds=1,
        ),
        lambda now: now / 2,
        good=False,
    ),
    Tried(
        "hedge",
        Book(
            "t_hedge", "one in fifteen hangs for three seconds", each(1, 6) + ASK + RETRY
            + "    hedge: 20s\n    tune: {hedge: {min: 300ms, max: 30s}}\n",
            lambda s: cut_of("hedge", hang_s)(s), items=320, path="/hang", alone=True, rounds=1,
        ),
        lambda now: 20.0,
    ),
    Tried(
        "alternatives",
        Book(
            "t_alternative", "of two other engines one takes half", each(5, 1) + BURN + ENGINES,
            lambda one: _ENGINES[one], items=300, alone=True, rounds=12,
        ),
        lambda now: "slow",
    ),
    Tried(
        "runs_on",
        Book(
            "t_placement", "of two other classes one costs a quarter and is as fast",
            each(5, 1) + BURN + "    runs_on: large\n    tune: {runs_on: [large, small, local]}\n",
            lambda one: _HOURLY[one] / _HOURLY["large"], items=300, objective="cost",
            alone=True, rounds=12,
        ),
        lambda now: "local",
    ),
)  # fmt: skip

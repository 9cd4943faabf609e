"""Play: one method on one table, with one seed.

What is kept of it is what was tried, what the method was told where that was not the table's
own outcome, and where it would have stopped: enough to judge it anew without playing again.
"""

from __future__ import annotations

import math
import time
import zlib
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest.methods import FORCED, HORIZON, METHODS, OURS
from optimizer.backtest.noise import Noise
from optimizer.backtest.table import Table
from optimizer.search.history import History
from optimizer.search.numeric import Numeric, shipped

Array: TypeAlias = NDArray[Any]

BUDGET: Final = 24
"""How many trials every search is made to run, so that k5 can be seen."""


@dataclass(frozen=True, slots=True)
class Played:
    """One search: its trials in order, after how many it would have stopped, its CPU time.

    ``told`` is empty where every trial was told the table's own log outcome. ``chosen``
    is the setting in use after each trial; empty means the best told so far. ``saves`` and
    ``prices`` are what ours expected each trial to save and to cost (see `Step`), None where
    it expected nothing.
    """

    trials: tuple[int, ...]
    stopped: int
    seconds: float
    told: tuple[float, ...] = ()
    chosen: tuple[int, ...] = ()
    saves: tuple[float | None, ...] = ()
    prices: tuple[float | None, ...] = ()


@dataclass(slots=True)
class _Hearing:
    """What a method is told of its trials: the table's outcome, and noise if there is any."""

    table: Table
    seed: int
    noise: Noise | None
    trials: list[int] = field(default_factory=list)
    told: list[float] = field(default_factory=list)

    def hear(self, setting: int) -> float:
        drawn = self._drawn(setting)
        outcome = float(self.table.log_outcome[setting]) + drawn
        self.trials.append(setting)
        self.told.append(outcome)
        return outcome

    def hear_all(self, setting: int) -> tuple[float, bool, float]:
        """What a step knows of a trial: its outcome, whether it failed, how far over a limit."""
        table, drawn = self.table, self._drawn(setting)
        heard, failed, over = self.hear(setting), bool(table.crashed[setting]), table.over
        if failed or over is None:
            return heard, failed, -np.inf
        return float(table.log_measured[setting]) + drawn, False, float(over[setting]) + drawn

    def metrics(self, setting: int) -> Array | None:
        """What a trial is seen to do, where the table knows."""
        return None if self.table.low_level is None else self.table.low_level[setting]

    def _drawn(self, setting: int) -> float:
        if self.noise is None:
            return 0.0
        again = self.trials.count(setting)
        return self.noise.draw(self.table.name, self.seed, setting, again)


def play(
    method: str, table: Table, history: History, seed: int, noise: Noise | None = None
) -> Played:
    """Return the trials of one search; the same seed gives the same."""
    hearing = _Hearing(table, seed, noise)
    began = time.process_time()
    ours = method == OURS
    played = _ours(hearing, history) if ours else _theirs(method, hearing, history)
    seconds = time.process_time() - began
    told = tuple(hearing.told) if noise is not None else ()
    return replace(played, seconds=seconds, told=told, chosen=played.chosen if told else ())


def _theirs(method: str, hearing: _Hearing, history: History) -> Played:
    table = hearing.table
    rng = np.random.default_rng([hearing.seed, zlib.crc32(table.name.encode())])
    search = METHODS[method].play(table, history, rng)
    setting = next(search)
    try:
        while len(hearing.trials) < BUDGET:
            outcome = hearing.hear(setting)
            setting = search.send(outcome)
    except StopIteration:
        pass  # every setting was tried
    return Played(tuple(hearing.trials), min(FORCED, len(hearing.trials)), 0.0)


def _ours(hearing: _Hearing, history: History) -> Played:
    """Play the shipped search on, past where it would have stopped."""
    search = shipped(hearing.table.space, history, HORIZON)
    stopped, chosen, steps = 0, [], []
    while len(search.tried) < BUDGET and (step := search.next()) is not None:
        if not step.worthwhile and not stopped:
            stopped = len(search.tried)
        outcome, failed, over = hearing.hear_all(step.setting)
        if isinstance(search, Numeric):
            search.tell(step.setting, outcome, failed=failed, over=over)
        else:
            metrics = hearing.metrics(step.setting)
            search.tell(step.setting, outcome, failed=failed, over=over, metrics=metrics)
        chosen.append(search.best)
        steps.append(step)
    return Played(
        tuple(hearing.trials), stopped or len(search.tried), 0.0, chosen=tuple(chosen),
        saves=tuple(_known(step.saves) for step in steps),
        prices=tuple(_known(step.price) for step in steps),
    )  # fmt: skip


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value

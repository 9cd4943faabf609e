"""Play: one method on one table, with one seed."""

from __future__ import annotations

import time
import zlib

import numpy as np

from optimizer.backtest.methods import FORCED, HORIZON, METHODS, OURS
from optimizer.backtest.score import BUDGET, Played
from optimizer.backtest.table import Table
from optimizer.search.history import History
from optimizer.search.search import Search


def play(method: str, table: Table, history: History, seed: int) -> Played:
    """Return the trials of one search; the same seed gives the same."""
    began = time.perf_counter()
    if method == OURS:
        return _ours(table, history, began)
    rng = np.random.default_rng([seed, zlib.crc32(table.name.encode())])
    search = METHODS[method].play(table, history, rng)
    trials = [next(search)]
    try:
        while len(trials) < BUDGET:
            trials.append(search.send(float(table.log_outcome[trials[-1]])))
    except StopIteration:
        pass  # every setting was tried
    seconds = time.perf_counter() - began
    return Played(tuple(trials), min(FORCED, len(trials)), seconds)


def _ours(table: Table, history: History, began: float) -> Played:
    """Play the shipped search on, past where it would have stopped."""
    search = Search(table.space, history, horizon=HORIZON)
    stopped = 0
    while len(search.tried) < BUDGET and (step := search.next()) is not None:
        if not step.worthwhile and not stopped:
            stopped = len(search.tried)
        search.tell(step.setting, float(table.log_outcome[step.setting]))
    seconds = time.perf_counter() - began
    return Played(tuple(search.tried), stopped or len(search.tried), seconds)

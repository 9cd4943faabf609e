"""What a search is judged by. Everything is judged on what is true, not on what was told.

* **k5, k1**: the trial at which the setting in use is first within 5% (1%) of the best there
  is. In use is the best told so far, which without noise is the best so far.
* **S(k)**: the share of searches that are there after k trials.
* **net regret**: by how much the 50 runs of a workload, the trials among them, are worse on
  average than the best setting would have been. It is what a user pays. Ours stops by its
  own rule; a method without one stops after ten trials, and is also judged with the simple
  rule of `RULES` that is the best for it on that data set and objective, seen afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest.expected import Expected, borne_out, expected
from optimizer.backtest.methods import HORIZON
from optimizer.backtest.play import BUDGET, Played
from optimizer.backtest.table import Table

Array: TypeAlias = NDArray[Any]
Rule: TypeAlias = Callable[[Array], int]
"""From the log outcomes told to the number of trials after which it stops."""

WORST: Final = 10.0
"""One run is never charged more than this share over the best."""
AFTER: Final = (1, 3, 6, 12)
BETTER: Final = 0.05
"""A trial that is not better by this share has found nothing."""


def after(trials: int, told: Array) -> int:
    """Stop after so many trials."""
    return min(trials, len(told))


def without(patience: int, told: Array) -> int:
    """Stop when so many trials in a row have found nothing better."""
    best, idle = float(told[0]), 0
    for trial, outcome in enumerate(told[1:], start=2):
        idle = 0 if outcome < best - BETTER else idle + 1
        best = min(best, float(outcome))
        if idle >= patience:
            return trial
    return len(told)


RULES: Final[Mapping[str, Rule]] = {
    **{f"after {k}": partial(after, k) for k in (1, 2, 3, 5, 7, 10, 15, 20)},
    **{f"{k} without": partial(without, k) for k in (1, 2, 3, 5)},
}


@dataclass(frozen=True, slots=True)
class Score:
    """One search, judged. ``gaps`` are the setting in use after 1, 3, 6 and 12 trials.

    ``by_rule`` is the net regret with each of `RULES`; ``expected`` is what was expected of
    single trials, and what came of it.
    """

    k5: int
    k1: int
    gaps: tuple[float, ...]
    net_regret: float
    failed_trials: int
    trials: int
    ms_per_proposal: float
    by_rule: tuple[float, ...]
    expected: tuple[Expected, ...] = ()


def score(table: Table, played: Played) -> Score:
    """Judge one search."""
    trials = list(played.trials)
    told = np.asarray(played.told or table.log_outcome[trials])
    gap = table.gap[trials]
    used = table.gap[_in_use(played, told)]
    return Score(
        _first(used, 0.05),
        _first(used, 0.01),
        tuple(float(used[min(k, len(used)) - 1]) for k in AFTER),
        _net(gap, used, played.stopped),
        int(table.failed[trials[: played.stopped]].sum()),
        played.stopped,
        1000.0 * played.seconds / len(trials),
        tuple(_net(gap, used, rule(told)) for rule in RULES.values()),
        tuple(expected(table, played, used)),
    )


def _in_use(played: Played, told: Array) -> list[int]:
    """The setting in use after each trial: what the method says, else the best told."""
    if played.chosen:
        return list(played.chosen)
    lead = [int(np.argmin(told[: k + 1])) for k in range(len(told))]
    return [played.trials[k] for k in lead]


def _net(gap: Array, used: Array, stopped: int) -> float:
    charged = np.minimum(gap[:stopped], WORST).sum()
    later = min(float(used[stopped - 1]), WORST) * (HORIZON - stopped)
    return float(charged + later) / HORIZON


def _first(used: Array, within: float) -> int:
    """The trial that is first within; one more than the budget when none is."""
    there = used <= within
    return int(np.argmax(there)) + 1 if there.any() else BUDGET + 1


def summary(scores: Sequence[Score]) -> dict[str, float]:
    """Return the figures of many searches; shares and regret in percent."""
    k5 = np.asarray([s.k5 for s in scores])
    gaps = np.asarray([s.gaps for s in scores])
    within = {f"s{k}": 100.0 * float((gaps[:, i] <= 0.05).mean()) for i, k in enumerate(AFTER)}
    return {
        "k5": float(np.median(k5)),
        "k5_p90": float(np.quantile(k5, 0.9)),
        "k1": float(np.median([s.k1 for s in scores])),
        **within,
        "net_regret": 100.0 * float(np.mean([s.net_regret for s in scores])),
        "trials": float(np.mean([s.trials for s in scores])),
        "failed_trials": float(np.mean([s.failed_trials for s in scores])),
        "ms": float(np.mean([s.ms_per_proposal for s in scores])),
        **borne_out([trial for s in scores for trial in s.expected]),
    }


def best_rule(scores: Sequence[Score]) -> str:
    """Return the name of the rule with the least mean net regret."""
    means = np.asarray([s.by_rule for s in scores]).mean(axis=0)
    return list(RULES)[int(np.argmin(means))]

"""What a search is judged by.

* **k5, k1**: the trial at which the best so far is first within 5% (1%) of the best there is.
* **S(k)**: the share of searches that are there after k trials.
* **net regret**: by how much the 50 runs of a workload, the trials among them, are worse on
  average than the best setting would have been. It is what a user pays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest.methods import HORIZON
from optimizer.backtest.table import Table

Array: TypeAlias = NDArray[Any]

BUDGET: Final = 24
"""How many trials every search is made to run, so that k5 can be seen."""
WORST: Final = 10.0
"""One run is never charged more than this share over the best."""


@dataclass(frozen=True, slots=True)
class Played:
    """One search: its trials in order, after how many it would have stopped, and its time."""

    trials: tuple[int, ...]
    stopped: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Score:
    """One search, judged. ``gaps`` are the best so far after 1, 3, 6 and 12 trials."""

    k5: int
    k1: int
    gaps: tuple[float, ...]
    net_regret: float
    failed_trials: int
    trials: int
    ms_per_proposal: float


AFTER: Final = (1, 3, 6, 12)


def score(table: Table, played: Played) -> Score:
    """Judge one search."""
    gap = table.gap[list(played.trials)]
    best = np.minimum.accumulate(gap)
    used = list(played.trials[: played.stopped])
    charged = np.minimum(table.gap[used], WORST).sum()
    after = min(float(best[played.stopped - 1]), WORST) * (HORIZON - played.stopped)
    return Score(
        _first(best, 0.05),
        _first(best, 0.01),
        tuple(float(best[min(k, len(best)) - 1]) for k in AFTER),
        float(charged + after) / HORIZON,
        int(table.failed[used].sum()),
        played.stopped,
        1000.0 * played.seconds / len(played.trials),
    )


def _first(best: Array, within: float) -> int:
    """The trial that is first within; one more than there were when none is."""
    there = best <= within
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
    }

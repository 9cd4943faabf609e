"""The rows of a backtest: one a data set, objective and method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from optimizer.backtest.jobs import Done
from optimizer.backtest.methods import OURS
from optimizer.backtest.score import summary

Json: TypeAlias = Any


def rows(done: Sequence[Done]) -> list[dict[str, Json]]:
    """Return the figures of each data set, objective and method; see `score.summary`.

    ``not_worse`` says of a baseline whether ours is never worse: the 95% bootstrap interval
    of the difference in net regret (ours less its, in points) is not wholly above 2.
    """
    groups: dict[tuple[str, str, str], list[Done]] = defaultdict(list)
    for one in done:
        groups[(one.job.dataset, one.job.objective, one.job.method)].append(one)
    found = []
    for (dataset, objective, method), jobs in groups.items():
        scores = [score for job in jobs for score in job.scores]
        line: dict[str, Json] = {
            "dataset": dataset, "objective": objective, "method": method,
            "tasks": len(jobs), "seeds": max(len(job.scores) for job in jobs), **summary(scores),
        }  # fmt: skip
        ours = groups.get((dataset, objective, OURS), [])
        if method != OURS and ours:
            low, high = difference(ours, jobs)
            line |= {"ours_less": [low, high], "not_worse": low <= TOLERANCE}
        found.append(line)
    return found


TOLERANCE = 2.0
"""Points of net regret."""


def difference(ours: Sequence[Done], theirs: Sequence[Done]) -> tuple[float, float]:
    """Return the 95% bootstrap interval over tasks of ours less theirs, in points."""
    mine = {one.job.table: _regret(one) for one in ours}
    gaps = np.asarray([mine[o.job.table] - _regret(o) for o in theirs if o.job.table in mine])
    rng = np.random.default_rng(0)
    means = gaps[rng.integers(0, len(gaps), (2000, len(gaps)))].mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def _regret(done: Done) -> float:
    return 100.0 * float(np.mean([score.net_regret for score in done.scores]))

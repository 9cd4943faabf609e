"""The rows of a backtest: one a data set, objective and method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from optimizer.backtest.jobs import Done
from optimizer.backtest.methods import METHODS, OURS
from optimizer.backtest.score import RULES, Score, best_rule, summary

Json: TypeAlias = Any
Regret: TypeAlias = Callable[[Score], float]

TOLERANCE: Final = 2.0
"""Points of net regret."""


def rows(done: Sequence[Done]) -> list[dict[str, Json]]:
    """Return the figures of each data set, objective and method; see `score.summary`.

    Of a baseline, ``not_worse`` says whether ours is never worse: the 95% bootstrap interval
    of the difference in net regret (``ours_less``: ours less its, in points) is not wholly
    above 2. ``rule`` is the simple stopping rule that suits the baseline best, and
    ``net_regret_rule``, ``ours_less_rule`` and ``not_worse_rule`` are the same with it.
    """
    groups: dict[tuple[str, str, str], list[Done]] = defaultdict(list)
    for one in done:
        groups[(one.job.dataset, one.job.objective, one.job.method)].append(one)
    found = []
    for (dataset, objective, method), jobs in groups.items():
        line = _line(method, jobs)
        ours = groups.get((dataset, objective, OURS), [])
        if not METHODS[method].stops:
            line |= _ruled(jobs) | (_compared(ours, jobs) if _meet(ours, jobs) else {})
        found.append({"dataset": dataset, "objective": objective, **line})
    return found


def _line(method: str, jobs: Sequence[Done]) -> dict[str, Json]:
    first = jobs[0].job
    return {
        "method": method, "tasks": len(jobs), "seeds": max(len(job.scores) for job in jobs),
        "noise": first.noise, "same_family": first.same_family,
        **summary([score for job in jobs for score in job.scores]),
    }  # fmt: skip


def _ruled(jobs: Sequence[Done]) -> dict[str, Json]:
    scores = [score for job in jobs for score in job.scores]
    rule = best_rule(scores)
    return {"rule": rule, "net_regret_rule": 100.0 * float(np.mean([*map(_by(rule), scores)]))}


def _meet(ours: Sequence[Done], theirs: Sequence[Done]) -> bool:
    """Whether any table was played by both: not so where few jobs have finished."""
    return not {one.job.table for one in ours}.isdisjoint(one.job.table for one in theirs)


def _compared(ours: Sequence[Done], theirs: Sequence[Done]) -> dict[str, Json]:
    rule = best_rule([score for job in theirs for score in job.scores])
    low, high = difference(ours, theirs)
    low_rule, high_rule = difference(ours, theirs, _by(rule))
    return {
        "ours_less": [low, high], "not_worse": low <= TOLERANCE,
        "ours_less_rule": [low_rule, high_rule], "not_worse_rule": low_rule <= TOLERANCE,
    }  # fmt: skip


def _own(score: Score) -> float:
    return score.net_regret


def _by(rule: str) -> Regret:
    place = list(RULES).index(rule)
    return lambda score: score.by_rule[place]


def difference(
    ours: Sequence[Done], theirs: Sequence[Done], regret: Regret = _own
) -> tuple[float, float]:
    """Return the 95% bootstrap interval over tasks of ours less theirs, in points."""
    mine = {one.job.table: _mean(one, _own) for one in ours}
    gaps = np.asarray(
        [mine[o.job.table] - _mean(o, regret) for o in theirs if o.job.table in mine]
    )
    rng = np.random.default_rng(0)
    means = gaps[rng.integers(0, len(gaps), (2000, len(gaps)))].mean(axis=1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def _mean(done: Done, regret: Regret) -> float:
    return 100.0 * float(np.mean([regret(score) for score in done.scores]))

"""An injected outage: how many tries a retry policy makes of each request that comes.

Requests come at a steady rate, each to a step drawn from measured reruns; for two minutes
everything fails. Delays and the budget are the runtime's own (`runtime.run.retry`,
`runtime.run.budget`). A policy is played as it is configured, without a budget, and with
``budget: 10%``; the requests then share one bucket, as the items of one step do.
"""

from __future__ import annotations

import heapq
from itertools import product
from typing import Any, Final, TypeAlias

import numpy as np

from optimizer.backtest.retrying import METHODS, OURS, Reruns, logged_of
from runtime.playbook.model import Retry
from runtime.run.budget import Budget
from runtime.run.events import Fault
from runtime.run.retry import delay_s

Json: TypeAlias = Any

DATASET: Final = "injected_outage"
A_SECOND: Final = 20.0
BEFORE_S, OUTAGE_S = 30.0, 120.0
SHARES: Final = {"as_configured": None, "with_the_budget": 0.1}
LOGGED: Final = 20
PRICE: Final = 20.0
"""Tries that failing for good costs when the limits are learnt."""
POLICIES: Final = (OURS, "fixed_3")


def rows(reruns: Reruns, seeds: int) -> list[dict[str, Json]]:
    """Return a row a policy: ours and three retries, each as configured and with the budget."""
    found = []
    for method, (objective, share) in product(POLICIES, SHARES.items()):
        played = [_play(reruns, method, share, seed) for seed in range(seeds)]
        found.append({
            "kind": "outage", "dataset": DATASET, "objective": objective,
            "method": method, "tasks": 1, "seeds": seeds,
            "amplification": float(np.mean([one[0] for one in played])),
            "worst": float(np.max([one[0] for one in played])),
            "lost_before": 100.0 * float(np.mean([one[1] for one in played])),
        })  # fmt: skip
    return found


def _play(reruns: Reruns, name: str, share: float | None, seed: int) -> tuple[float, float]:
    """Tries for each request during the outage, and the share lost of those before it."""
    rng = np.random.default_rng(seed)
    limits = METHODS[name](reruns, logged_of(reruns, LOGGED, seed), LOGGED, PRICE)
    fickle = np.flatnonzero(reruns.chance < 0.5)
    policy, down = Retry(), (BEFORE_S, BEFORE_S + OUTAGE_S)
    many = round(A_SECOND * (BEFORE_S + OUTAGE_S))
    begun = np.sort(rng.uniform(0.0, BEFORE_S + OUTAGE_S, many)).tolist()
    of = rng.choice(fickle, many).tolist()
    events = [(at, number, of[number], 1) for number, at in enumerate(begun)]
    budget, first, tries, lost, outside = Budget(), 0, 0, 0, 0
    while events:
        at, number, step, turn = heapq.heappop(events)
        inside = down[0] <= at < down[1]
        first, tries = first + (inside and turn == 1), tries + inside
        outside += turn == 1 and at < down[0]
        failed = inside or rng.random() < reruns.chance[step]
        again = bool(failed and turn <= limits[step])
        if share is not None:
            again = budget.ended(share, first=turn == 1, wants=again)
        if again:
            wait = delay_s(policy, turn, Fault("transient", ""), float(rng.random()))
            heapq.heappush(events, (at + wait, number, step, turn + 1))
        elif failed and at < down[0]:
            lost += 1
    return tries / max(first, 1), lost / max(outside, 1)

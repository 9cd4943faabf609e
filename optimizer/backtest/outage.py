"""An injected outage: how many tries a retry policy makes of each request that comes.

Requests come at a steady rate, each to a step drawn from measured reruns; for two minutes
everything fails. Delays grow exponentially with full jitter, as the runtime's do. With a
budget each first try earns part of a token, at most `BURST` are held, and a retry without
one is not made (Google, "Site Reliability Engineering", 2016, chapter 21). The runtime has
no such budget: that row says what one would do.
"""

from __future__ import annotations

import heapq
from typing import Any, Final, TypeAlias

import numpy as np

from optimizer.backtest.retrying import METHODS, OURS, Reruns, logged_of
from runtime.playbook.model import Retry
from runtime.run.events import Fault
from runtime.run.retry import delay_s

Json: TypeAlias = Any

DATASET: Final = "injected_outage"
A_SECOND: Final = 20.0
BEFORE_S, OUTAGE_S = 30.0, 120.0
EARNED: Final = 0.09
BURST: Final = 10.0
LOGGED: Final = 20
PRICE: Final = 20.0
"""Tries that failing for good costs when the limits are learnt."""
BUDGETED: Final = "_budget"
POLICIES: Final = (OURS, OURS + BUDGETED, "fixed_3", "fixed_3" + BUDGETED)


def rows(reruns: Reruns, seeds: int) -> list[dict[str, Json]]:
    """Return a row a policy: ours as shipped, ours with a budget, and three retries."""
    found = []
    for method in POLICIES:
        name = method.removesuffix(BUDGETED)
        played = [_play(reruns, name, method != name, seed) for seed in range(seeds)]
        found.append({
            "kind": "outage", "dataset": DATASET, "objective": "amplification",
            "method": method, "tasks": 1, "seeds": seeds,
            "amplification": float(np.mean([one[0] for one in played])),
            "worst": float(np.max([one[0] for one in played])),
            "lost_before": 100.0 * float(np.mean([one[1] for one in played])),
        })  # fmt: skip
    return found


def _play(reruns: Reruns, name: str, budget: bool, seed: int) -> tuple[float, float]:
    """Tries for each request during the outage, and the share lost of those before it."""
    rng = np.random.default_rng(seed)
    limits = METHODS[name](reruns, logged_of(reruns, LOGGED, seed), LOGGED, PRICE)
    fickle = np.flatnonzero(reruns.chance < 0.5)
    policy, down = Retry(), (BEFORE_S, BEFORE_S + OUTAGE_S)
    many = round(A_SECOND * (BEFORE_S + OUTAGE_S))
    begun = np.sort(rng.uniform(0.0, BEFORE_S + OUTAGE_S, many)).tolist()
    of = rng.choice(fickle, many).tolist()
    events = [(at, number, of[number], 1) for number, at in enumerate(begun)]
    tokens, first, tries, lost, outside = BURST, 0, 0, 0, 0
    while events:
        at, number, step, turn = heapq.heappop(events)
        inside = down[0] <= at < down[1]
        first, tries = first + (inside and turn == 1), tries + inside
        tokens = min(tokens + EARNED, BURST) if turn == 1 else tokens
        outside += turn == 1 and at < down[0]
        if not (inside or rng.random() < reruns.chance[step]):
            continue
        if turn <= limits[step] and (not budget or tokens >= 1.0):
            tokens -= budget
            wait = delay_s(policy, turn, Fault("transient", ""), float(rng.random()))
            heapq.heappush(events, (at + wait, number, step, turn + 1))
        elif at < down[0]:
            lost += 1
    return tries / max(first, 1), lost / max(outside, 1)

"""The tuner: asks the optimizer about each observed step. Plain code, no opinion of its own.

What it returns are candidates. Whether one becomes a proposal is decided elsewhere, by a
policy and a person.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from agents.observer import Observation
from optimizer.guard import Limits, Reason
from optimizer.proposal import Candidate
from optimizer.tune import tune_step

Json: TypeAlias = Any


def tune(
    observations: Sequence[Observation], policy: Mapping[str, Json], rng: random.Random
) -> tuple[list[Candidate], list[Reason]]:
    """Return the candidates of one cycle and, for all else, the reasons."""
    candidates: list[Candidate] = []
    reasons: list[Reason] = []
    limits = Limits.from_policy(policy)
    for one in observations:
        tuned = tune_step(one.scope, one.history, limits, rng)
        reasons += tuned.reasons
        if tuned.candidate is not None:
            candidates.append(tuned.candidate)
    return candidates, reasons

"""The tuner: asks the optimizer about each observed step. Plain code, no opinion of its own.

What it returns are candidates. Whether one becomes a proposal is decided elsewhere, by a
policy and a person.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from agents.observer import Observation
from agents.works import Works
from optimizer.choice import Others
from optimizer.guard import Limits, Reason
from optimizer.joint import Recorded
from optimizer.models.chains import Cells, by_class, together
from optimizer.models.recovery import ANYTHING, Rates
from optimizer.models.shapes import Curve
from optimizer.proposal import Candidate
from optimizer.tries import Tries
from optimizer.tune import tune_step
from optimizer.unsafe import curve_of

Json: TypeAlias = Any


def tune(
    observations: Sequence[Observation],
    policy: Mapping[str, Json],
    rng: random.Random,
    others: Others | None = None,
    works: Works | None = None,
) -> tuple[list[Candidate], list[Reason]]:
    """Return the candidates of one cycle and, for all else, the reasons.

    ``works`` are runs that can be replayed, for the steps whose knobs are looked at together.
    """
    candidates: list[Candidate] = []
    reasons: list[Reason] = []
    limits = Limits.from_policy(policy)
    curves = [curve_of(one.history) for one in observations]
    chains = [by_class(one.tries) for one in observations]
    for place, one in enumerate(observations):
        priors = _priors([c for other, c in enumerate(chains) if other != place])
        lent = [c for other, c in enumerate(curves) if other != place and c is not None]
        recorded = recorded_of(one, observations, works or {})
        tuned = tune_step(
            one.scope, one.history, limits, rng, one.tries, priors, others, lent, recorded
        )
        reasons += tuned.reasons
        if tuned.candidate is not None:
            candidates.append(tuned.candidate)
    return candidates, reasons


def recorded_of(
    one: Observation, observations: Sequence[Observation], works: Works
) -> Recorded | None:
    """Return what a joint look at a step's knobs leans on, where its runs were read."""
    mine = works.get((str(one.scope["playbook"]), str(one.scope["step"])))
    if mine is None:
        return None
    return Recorded(mine, [other.history for other in observations if other is not one])


def priors_of(others: Sequence[Tries]) -> dict[str, Rates]:
    """Return how classes of error recover in other steps, from their tries."""
    return _priors([by_class(tries) for tries in others])


def lent_by(others: Sequence[Observation]) -> list[Curve]:
    """Return what other steps took by batch size, as a step may borrow it."""
    return [curve for curve in (curve_of(one.history) for one in others) if curve is not None]


def _priors(others: Sequence[Mapping[str, Cells]]) -> dict[str, Rates]:
    """How classes of error recover in other steps; that nothing is known weighs ten units."""
    return {name: cells.rates(ANYTHING, 10.0, None) for name, cells in together(others).items()}

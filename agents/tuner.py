"""The tuner: asks the optimizer about each observed step. Plain code, no opinion of its own.

What it returns are candidates. Whether one becomes a proposal is decided elsewhere, by a
policy and a person.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from agents.lenders import lenders_of
from agents.observer import Observation
from agents.works import Works
from optimizer.choice import Others
from optimizer.guard import Limits, Reason
from optimizer.joint import Recorded
from optimizer.pooling import Errors, Priors, earned_by, priors
from optimizer.proposal import Candidate
from optimizer.resemblance import Described
from optimizer.tune import tune_step

Json: TypeAlias = Any


def tune(
    observations: Sequence[Observation],
    policy: Mapping[str, Json],
    rng: random.Random,
    others: Others | None = None,
    works: Works | None = None,
    known: Mapping[tuple[str, str], Described] | None = None,
) -> tuple[list[Candidate], list[Reason]]:
    """Return the candidates of one cycle and, for all else, the reasons.

    ``works`` are runs that can be replayed, for the steps whose knobs are looked at together;
    ``known`` is what the catalogue says of steps.
    """
    candidates: list[Candidate] = []
    reasons: list[Reason] = []
    limits = Limits.from_policy(policy)
    lent = lenders_of(observations, known or {})
    errors = errors_of(observations, known or {})
    share = earned_by(errors)
    for place, one in enumerate(observations):
        elsewhere = [e for other, e in enumerate(errors) if other != place]
        prior = priors(errors[place], elsewhere, share)
        recorded = recorded_of(one, observations, works or {})
        tuned = tune_step(
            one.scope, one.history, limits, rng, one.tries, prior, others, lent.to(one), recorded
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


def errors_of(
    observations: Sequence[Observation], known: Mapping[tuple[str, str], Described]
) -> list[Errors]:
    """Return the errors of each observed step, with what the catalogue knows of it."""
    names = [(str(one.scope["playbook"]), str(one.scope["step"])) for one in observations]
    return [
        Errors.of(*name, known.get(name), one.tries)
        for name, one in zip(names, observations, strict=True)
    ]


def prior_of(
    one: Observation, observations: Sequence[Observation],
    known: Mapping[tuple[str, str], Described],
) -> Priors:  # fmt: skip
    """Return how classes of error recover in other steps than one of those observed."""
    errors = errors_of(observations, known)
    place = next(place for place, other in enumerate(observations) if other is one)
    rest = [e for other, e in enumerate(errors) if other != place]
    return priors(errors[place], rest, earned_by(errors))

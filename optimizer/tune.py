"""Tune one step: study each knob its author declared, and return the one best proposal.

One proposal a step at a time, since trials of one step would disturb each other. A change
comes before an experiment, the largest gain first. Of experiments, concurrency comes
first: what it saves makes every later trial of the step shorter. Where the policy asks for it
and replays can say, the knobs are looked at together first, and what leads to the joint best
comes before what is best for one knob by itself.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from optimizer import (
    backoff,
    batch,
    choice,
    hedge,
    in_flight,
    outages,
    retry,
    schedule,
    timeout,
)
from optimizer.choice import Others
from optimizer.direction import Direction
from optimizer.distinct import among
from optimizer.evidence import Batches
from optimizer.finding import Asked
from optimizer.guard import Limits, Reason
from optimizer.joint import Recorded, towards
from optimizer.knobs import COLUMNS, Range, UnknownKnob, knob_class
from optimizer.models.lending import NOBODY, Lending
from optimizer.pooling import Priors
from optimizer.proposal import Candidate
from optimizer.regime import current
from optimizer.scope import step_named
from optimizer.study import Study, decide
from optimizer.tries import Tries

Json: TypeAlias = Any

TURNED_DOWN = frozenset(
    {"rejected", "rolled_back", "rollback_failed", "failed", "withdrawn", "blocked"}
)
"""States after which the same content is not proposed again."""
OF_TRIES = frozenset(
    {
        "retry.attempts",
        "retry.on",
        "retry.initial",
        "retry.budget",
        "timeout",
        "hedge",
        "start.hours",
    }
)
"""Knobs whose effect is worked out from single tries."""
CHOSEN = frozenset({"runs_on", "alternatives"})
"""Knobs that have choices alone."""
MOST_LESSONS = 3
"""Times the same experiment may be repeated while what it asks about stays uncertain."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of one step: at most one candidate, and a reason for every other knob."""

    candidate: Candidate | None
    reasons: tuple[Reason, ...]


def tune_step(
    scope: Mapping[str, Json], history: Batches, limits: Limits, rng: random.Random,
    tries: Tries | None = None, priors: Priors | None = None,
    others: Others | None = None,
    lending: Lending = NOBODY, recorded: Recorded | None = None,
) -> Tuned:  # fmt: skip
    """Return the proposal for one step, or why there is none.

    ``tries`` are the step's attempts one by one, without which nothing is said of retries,
    timeouts and hedges; ``priors`` say how classes of error recover in other steps,
    ``others`` what those took on which hardware, and ``lending`` by batch size. ``recorded``
    are runs of it that can be replayed, where its knobs are to be looked at together.
    """
    name = step_named(scope)
    if scope.get("live"):
        return Tuned(None, (Reason(name, "live", "a proposal of this step is under way"),))
    if scope.get("effect") == "once":
        text = "its effect happens at most once, so a failed batch could not be cut again"
        return Tuned(None, (Reason(name, "effect_once", text),))
    if faults := history.quality.faults():
        return Tuned(None, (Reason(name, "data_quality", "; ".join(faults)),))
    history = current(history)
    if tries is not None:
        tries = tries.where(among(tries.run, history.run))
    suppressed = _suppressed(scope)

    def ask(about: Mapping[str, Json]) -> list[Candidate | Reason]:
        return _asked(
            about, history, limits, rng, tries, priors or Priors(), others, lending, suppressed
        )

    first, told = _together(scope, history, limits, rng, recorded, ask)
    if first is not None:
        return Tuned(first, ())
    answers = ask(scope)
    if not answers:
        text = "the step declares no knob under tune"
        return Tuned(None, (Reason(name, "not_tunable", text),))
    reasons = (*told, *(answer for answer in answers if isinstance(answer, Reason)))
    return Tuned(_first([a for a in answers if isinstance(a, Candidate)]), reasons)


def _asked(
    scope: Mapping[str, Json], history: Batches, limits: Limits, rng: random.Random,
    tries: Tries | None, priors: Priors, others: Others | None,
    lending: Lending, suppressed: frozenset[str],
) -> list[Candidate | Reason]:  # fmt: skip
    """Ask the study of each knob."""
    declared = [limits.within(tune) for tune in scope.get("tune") or []]
    found = [
        _of_tries(scope, tune, history, limits, rng, tries, priors, suppressed)
        if tune["name"] in OF_TRIES
        else _chosen(scope, tune, history, limits, others, suppressed)
        if tune["name"] in CHOSEN
        else study_of(scope, tune, history, limits, rng, tries, lending)
        for tune in declared
    ]
    return [decide(one, limits, suppressed) if isinstance(one, Study) else one for one in found]


def _together(
    scope: Mapping[str, Json], history: Batches, limits: Limits, rng: random.Random,
    recorded: Recorded | None, ask: Callable[[Mapping[str, Json]], list[Candidate | Reason]],
) -> tuple[Candidate | None, tuple[Reason, ...]]:  # fmt: skip
    """Return what leads to the joint best, or why each knob is looked at by itself."""
    if recorded is None or not limits.joint:
        return None, ()
    name = step_named(scope)
    found = towards(scope, history, recorded, limits, f"{rng.getrandbits(64)}")
    if not isinstance(found, Direction):
        return None, (Reason(name, "joint", found),)
    answers = [a for a in ask(found.narrowed(scope)) if isinstance(a, Candidate)]
    leading = [a for a in answers if a.diff[0]["knob"] == found.first]
    candidate = _first(leading or answers)
    if candidate is not None:
        return found.explained(candidate), ()
    text = f"{found.says()}; no knob by itself has the evidence to go that way"
    return None, (Reason(name, "joint", text),)


def study_of(
    scope: Mapping[str, Json], tune: Mapping[str, Json], history: Batches, limits: Limits,
    rng: random.Random, tries: Tries | None = None, lending: Lending = NOBODY,
) -> Study | Reason:  # fmt: skip
    """Return the study of a knob whose values are a ladder, or why there is none."""
    name = str(tune["name"])
    where = f"{step_named(scope)} {name}"
    try:
        known = knob_class(name)
    except UnknownKnob as error:
        return Reason(where, "not_tunable", str(error))
    if name not in COLUMNS:
        return Reason(where, "not_tunable", f"there is no model for {known} knobs yet")
    stable = int({**scope.get("defaults", {}), **(scope.get("stable") or {})}[name])
    knob = Range.declared(tune)
    if known == "batch":
        return batch.study(scope, knob, stable, history, limits, rng, tries, lending)
    return in_flight.study(scope, knob, stable, history, limits)


def _chosen(
    scope: Mapping[str, Json], tune: Mapping[str, Json], history: Batches, limits: Limits,
    others: Others | None, suppressed: frozenset[str],
) -> Candidate | Reason:  # fmt: skip
    """Ask the study of a knob that has choices."""
    name = str(tune["name"])
    values = {**scope.get("defaults", {}), **(scope.get("stable") or {})}
    asked = Asked(scope, name, values.get(name), tune, history)
    return choice.study(asked, others, limits, suppressed)


def _of_tries(
    scope: Mapping[str, Json], tune: Mapping[str, Json], history: Batches, limits: Limits,
    rng: random.Random, tries: Tries | None, priors: Priors,
    suppressed: frozenset[str],
) -> Candidate | Reason:  # fmt: skip
    """Ask the study of a knob whose effect is worked out from single tries."""
    name = str(tune["name"])
    values = {**scope.get("defaults", {}), **(scope.get("stable") or {})}
    asked = Asked(scope, name, values.get(name), tune, history)
    if tries is None or not len(tries):
        return asked.no("no_history", "the record says nothing of single tries")
    chance = np.random.default_rng(rng.getrandbits(64))
    match name:
        case "timeout":
            return timeout.study(asked, tries, limits, suppressed, chance)
        case "start.hours":
            hardware = dict(zip(tries.run.tolist(), tries.hardware.tolist(), strict=True))
            return schedule.study(asked, hardware, limits, suppressed)
        case "retry.initial":
            return backoff.study(asked, tries, limits, suppressed, chance)
        case "retry.budget":
            return outages.study(asked, tries, limits, suppressed, chance)
        case "hedge":
            return hedge.study(asked, tries, limits, suppressed, chance)
        case _:
            return retry.study(asked, tries, priors, limits, suppressed, chance)


def _suppressed(scope: Mapping[str, Json]) -> frozenset[str]:
    last = [one for one in scope.get("last") or [] if one.get("content")]
    learned = Counter(str(one["content"]) for one in last if one.get("state") == "learned")
    down = {str(o["content"]) for o in last if o.get("state", "rejected") in TURNED_DOWN}
    return frozenset(down | {content for content, n in learned.items() if n >= MOST_LESSONS})


def _first(candidates: list[Candidate]) -> Candidate | None:
    return min(candidates, key=_urgency, default=None)


def _urgency(candidate: Candidate) -> tuple[int, float, int]:
    if candidate.kind == "change":
        return 0, candidate.predicted[candidate.objective]["median"], 0
    return 1, 0.0, candidate.knob_class != "concurrency"

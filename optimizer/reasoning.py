"""One step's whole reasoning: what history holds, what each model says, and what follows.

Every knob the author declared is asked by itself, as if it were the only one, so that the
reasoning shows also what another knob's proposal would hide. The same history, limits and
seed give the same words. What would change its mind is said in numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from optimizer.choice import Others
from optimizer.effect import describe
from optimizer.evidence import Batches, Table, batches
from optimizer.guard import Limits, Reason
from optimizer.joint import Recorded
from optimizer.models.lending import NOBODY, Lending
from optimizer.pooling import Priors
from optimizer.proposal import Candidate
from optimizer.regime import current
from optimizer.scope import step_named
from optimizer.seeded import seeded
from optimizer.study import Study
from optimizer.tries import Tries
from optimizer.tries import tries as single
from optimizer.tune import study_of, tune_step

Json: TypeAlias = Any


def reasoning(
    scope: Mapping[str, Json], history: Batches, limits: Limits, seed: str,
    tries: Tries | None = None, priors: Priors | None = None,
    others: Others | None = None, lending: Lending = NOBODY,
    recorded: Recorded | None = None,
) -> dict[str, Json]:  # fmt: skip
    """Return what is thought of one step, knob by knob, and the one proposal it comes to."""
    chance = seeded(seed)
    whole = tune_step(scope, history, limits, chance, tries, priors, others, lending, recorded)
    now = current(history)
    return {
        "scope": step_named(scope),
        "objective": scope.get("objective", "cost"),
        "batches": len(now),
        "data_quality": now.quality.to_json(),
        "knobs": [
            _knob({**scope, "tune": [tune]}, history, limits, seed, tries, priors, others, lending)
            for tune in scope.get("tune") or []
        ],
        "proposal": whole.candidate.to_json() if whole.candidate else None,
        "reasons": [reason.to_json() for reason in whole.reasons],
    }


def of_table(
    table: Table, tune: Mapping[str, tuple[int, int]], stable: Mapping[str, int], *,
    objective: str = "cost", seed: str = "table",
) -> dict[str, Json]:  # fmt: skip
    """Return what is thought of the step whose attempts are in an Arrow table.

    ``tune`` has the ends of each knob, ``stable`` the values in use. The table has the
    record's columns (statement ``evidence_attempts``, or `GET /api/history/attempts`).
    """
    knobs = [{"name": name, "min": low, "max": high} for name, (low, high) in tune.items()]
    scope = {
        "playbook": "table", "step": "attempts", "version": "", "bound": "", "last": [],
        "objective": objective, "effect": "idempotent", "defaults": dict(stable), "stable": {},
        "tune": knobs,
    }  # fmt: skip
    return reasoning(scope, batches(table), Limits(), seed, single(table))


def _knob(
    scope: Mapping[str, Json], history: Batches, limits: Limits, seed: str,
    tries: Tries | None, priors: Priors | None, others: Others | None,
    lending: Lending,
) -> dict[str, Json]:  # fmt: skip
    tune = limits.within(scope["tune"][0])
    values = {**scope.get("defaults", {}), **(scope.get("stable") or {})}
    one, two = seeded(seed), seeded(seed)
    alone = tune_step(scope, history, limits, one, tries, priors, others, lending)
    study = study_of(scope, tune, current(history), limits, two, tries, lending)
    found: Candidate | Reason = alone.candidate or alone.reasons[0]
    return {
        "knob": tune["name"],
        "stable": values.get(tune["name"]),
        "answer": found.kind if isinstance(found, Candidate) else found.reason,
        "text": found.note if isinstance(found, Candidate) else found.text,
        "candidate": found.to_json() if isinstance(found, Candidate) else None,
        "model": _model(study) if isinstance(study, Study) else None,
        "would_change_it": list(_other_minds(found, study, limits)),
    }


def _model(study: Study) -> dict[str, Json]:
    """What the knob's model knows of each value, and what it expects of those not tried."""
    guesses = {value: study.expected(value) for value in study.ladder}
    return {
        "objective": study.objective,
        "values": [value.to_json() for _, value in sorted(study.values.items())],
        "effects": describe(dict(study.effects)),
        "harmful": {str(value): why for value, why in sorted(study.harmful.items())},
        "expected": {str(v): math.expm1(g) for v, g in guesses.items() if g is not None},
        "curve": dict(study.curve),
    }


def _other_minds(
    found: Candidate | Reason, study: Study | Reason | None, limits: Limits
) -> Iterator[str]:
    """What would have to come for another answer."""
    match found:
        case Candidate(kind="change"):
            yield from _against_a_change(found, limits)
        case Candidate():
            yield (
                f"{limits.least_units} or more units a value, tried side by side: then history "
                "can say, and a change or nothing follows"
            )
        case Reason(reason="too_little_history") if found == study:
            yield f"{limits.least_batches} batches of the stable value in the current regime"
        case Reason(reason="too_little_history"):
            yield "as much as it says is needed, in the current regime"
        case Reason(reason="data_quality"):
            yield "attempts whose times and arms can be believed"
        case Reason(reason="not_worthwhile") if isinstance(study, Study):
            yield (
                f"a value within {study.knob.low} to {study.knob.high} that is better by "
                f"{limits.min_gain:.0%} with a chance of {limits.confidence:.0%}"
            )
            yield "a step that takes another time from some run on: a new regime"
        case _:
            return


def _against_a_change(found: Candidate, limits: Limits) -> Iterator[str]:
    predicted, causal = found.predicted[found.objective], found.evidence["causal"]
    yield (
        f"a trial that measures less than {-limits.min_gain:+.0%}, or more failures, where "
        f"{predicted['median']:+.0%} is predicted"
    )
    if "e_value_bound" in causal:
        yield (
            f"an unseen cause that goes with both the value and the outcome by a factor of "
            f"{causal['e_value_bound']:.1f} or more"
        )
    yield "a new regime, other code of the step, or another price, which void the evidence"

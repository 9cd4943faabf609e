"""A finding: another value of one knob, with its effect, where values are no ladder of sizes.

Limits of retries, classes of errors, timeouts and hedges are not tried side by side before
they are proposed: what they would have done is worked out from the tries that history
holds. A finding says by how much, how sure that is, and on what; `propose` makes a
candidate of it, or says why not.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from optimizer.effect import Effect
from optimizer.evidence import Batches, record
from optimizer.guard import Limits, Reason, doubts
from optimizer.knobs import knob_class
from optimizer.objective import Objective, choose
from optimizer.proposal import Candidate

Json: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of history: one knob of one step, its stable value, and the batches."""

    scope: Mapping[str, Json]
    knob: str
    stable: Json
    tune: Mapping[str, Json]
    history: Batches

    @property
    def name(self) -> str:
        """The scope and knob, for a reason."""
        return f"{self.scope['playbook']}#{self.scope['step']} {self.knob}"

    @property
    def values(self) -> dict[str, Json]:
        """The stable values of all knobs of the step."""
        return {**self.scope.get("defaults", {}), **(self.scope.get("stable") or {})}

    @property
    def objective(self) -> Objective:
        """What is to become less; see `objective.choose`."""
        wished = self.scope.get("objective", "cost")
        return choose(knob_class(self.knob), wished, self.history.quality.cost_coverage)

    def no(self, code: str, text: str) -> Reason:
        """Return why there is nothing to propose."""
        return Reason(self.name, code, text)


@dataclass(frozen=True, slots=True)
class Finding:
    """One other value. ``facts`` go into the evidence, ``note`` is for a person."""

    value: Json
    effect: Effect
    method: str
    observations: int
    note: str
    compared: int = 1
    facts: Mapping[str, Json] = field(default_factory=dict)


def propose(
    asked: Asked, found: Finding, limits: Limits, suppressed: Collection[str]
) -> Candidate | Reason:
    """Return the change that a finding supports, or why there is none."""
    against = doubts(found.value, found.effect, limits, compared=found.compared)
    if against:
        return asked.no(*against[0])
    candidate = _candidate(asked, found, limits)
    if candidate.content in suppressed:
        text = f"{found.value} was turned down before and nothing material is new"
        return asked.no("not_worthwhile", text)
    return candidate


def _candidate(asked: Asked, found: Finding, limits: Limits) -> Candidate:
    line = {"knob": asked.knob, "from": asked.stable, "to": found.value}
    predicted: dict[str, dict[str, float]] = {asked.objective: found.effect.predicted()}
    chance = found.effect.chance_of(limits.min_gain)
    gain = f"{asked.objective} per item {math.expm1(found.effect.log):+.0%}"
    sections = {
        "support": 1.0,
        "covered": [],
        "causal": {
            "estimand": f"log {asked.objective} per item",
            "method": found.method,
            "adjusted": math.expm1(found.effect.log),
            "observations": found.observations,
        },
        "prediction": predicted,
        "objective": asked.objective,
        "chance": chance,
        **found.facts,
    }
    return Candidate(
        kind="change",
        playbook=str(asked.scope["playbook"]),
        step=str(asked.scope["step"]),
        knob_class=knob_class(asked.knob),
        objective=asked.objective,
        diff=[line],
        base={asked.knob: asked.stable},
        evidence=record(asked.scope, [line], asked.history, sections),
        predicted=predicted,
        note=f"{found.note}: {gain}; {limits.min_gain:.0%} or more with a chance of {chance:.0%}",
    )

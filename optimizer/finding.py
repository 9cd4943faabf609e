"""A finding: another value of one knob, with its effect, where values are no ladder of sizes.

Limits of retries, classes of errors, timeouts and hedges are not tried side by side before
they are proposed: what they would have done is worked out from the tries that history
holds. A finding says by how much, how sure that is, and on what; `propose` makes a
candidate of it, or says why not. To a value that is further than an experiment may reach
lead experiments one after the other, each from what was tried before without harm (`towards`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from optimizer.effect import Effect
from optimizer.evidence import Batches, record
from optimizer.guard import Limits, Reason, doubts
from optimizer.knobs import knob_class, said
from optimizer.objective import Objective, choose
from optimizer.proposal import Candidate
from optimizer.scope import step_named

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
        return f"{step_named(self.scope)} {self.knob}"

    @property
    def values(self) -> dict[str, Json]:
        """The stable values of all knobs of the step."""
        return {**self.scope.get("defaults", {}), **(self.scope.get("stable") or {})}

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest value that the step declares."""
        low, high = self.tune.get("min"), self.tune.get("max")
        return float(low or 0.0), math.inf if high is None else float(high)

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
    """One other value. ``facts`` go into the evidence, ``note`` is for a person.

    ``judged`` is the effect by which it is judged, where that is another: a trial may show more
    than history lets foretell.
    """

    value: Json
    effect: Effect
    method: str
    observations: int
    note: str
    compared: int = 1
    facts: Mapping[str, Json] = field(default_factory=dict)
    judged: Effect | None = None


def propose(
    asked: Asked, found: Finding, limits: Limits, suppressed: Collection[str]
) -> Candidate | Reason:
    """Return the change that a finding supports, or why there is none."""
    against = doubts(
        said(asked.knob, found.value), found.judged or found.effect, limits,
        compared=found.compared, what=f"{asked.objective} per item",
    )  # fmt: skip
    if against:
        return asked.no(*against[0])
    if is_far(asked, found.value, limits):
        return _ask(asked, found, limits, suppressed)
    candidate = _candidate(asked, found, limits)
    if candidate.content in suppressed:
        value = said(asked.knob, found.value)
        text = f"{value} was turned down before and nothing material is new"
        return asked.no("not_worthwhile", text)
    return candidate


def towards(
    asked: Asked, found: Finding, at: Callable[[float], Finding], limits: Limits,
    suppressed: Collection[str],
) -> Candidate | Reason:  # fmt: skip
    """Return what a finding supports, or the next step towards it where it is too far.

    ``at`` is what history says of another value. A step that is worth it by itself is proposed
    as such; else it is tried for the sake of the far end, if it is not surely worse by more
    than what would be worth a change.
    """
    answer = propose(asked, found, limits, suppressed)
    edge = _edge(asked, found.value, limits)
    low, high = asked.ends
    if isinstance(answer, Candidate) or edge is None or not low <= edge <= high:
        return answer
    step = at(edge)
    if isinstance(own := propose(asked, step, limits, suppressed), Candidate):
        return own
    if answer.reason != "step_too_large" or step.effect.log > -math.log1p(-limits.min_gain):
        return answer
    far = f"{_says(asked, found)}, a step towards which is {said(asked.knob, edge)}"
    return _experiment(asked, replace(step, note=far), suppressed)


def _edge(asked: Asked, value: Json, limits: Limits) -> float | None:
    """How far an experiment may go towards a value that is further; None when it is not."""
    if not isinstance(value, int | float) or not isinstance(asked.stable, int | float):
        return None
    down = value < asked.stable
    ends = [v for v in tried(asked) if value <= v <= asked.stable or asked.stable <= v <= value]
    last = min(ends) if down else max(ends)
    if max(value / last, last / value) <= limits.reach * (1.0 + 1e-9):
        return None
    edge = last / limits.reach if down else last * limits.reach
    digits = 10.0 ** (math.floor(math.log10(edge)) - 2)
    steps = round(edge / digits, 6)  # three digits, never over the edge
    return float(f"{(math.ceil(steps) if down else math.floor(steps)) * digits:.3g}")


def tried(asked: Asked) -> list[float]:
    """The stable value, and those that experiments tried without harm."""
    found = [asked.stable]
    for one in asked.scope.get("last") or []:
        if one.get("state") == "learned":
            found += _harmless(one, asked.knob)
    return [v for v in found if isinstance(v, int | float)]


def _harmless(told: Mapping[str, Json], knob: str) -> list[Json]:
    """The values of an experiment, or its ends where an arm of it was dropped as harmful."""
    if (ends := told.get("harmless")) is not None:
        return list(ends.get(knob, ()))
    lines = told.get("diff") or []
    return [v for line in lines if line["knob"] == knob for v in line.get("values", [])]


def is_far(asked: Asked, value: Json, limits: Limits) -> bool:
    """Whether a value is further than one change may go, and no experiment went as far."""
    if not isinstance(value, int | float) or not isinstance(asked.stable, int | float):
        return False
    if abs(limits.nearest(asked.knob, asked.stable, value) - value) <= 1e-9 * abs(value):
        return False
    known = tried(asked)
    return not min(known) <= value <= max(known)


def _says(asked: Asked, found: Finding) -> str:
    return f"{found.note}: {asked.objective} per item {math.expm1(found.effect.log):+.0%}"


def _ask(
    asked: Asked, found: Finding, limits: Limits, suppressed: Collection[str]
) -> Candidate | Reason:
    """Return the experiment that lets a far value be tried first, where it may reach so far."""
    says = _says(asked, found)
    if _edge(asked, found.value, limits) is not None:
        ratio = max(found.value / asked.stable, asked.stable / found.value)
        text = f"{says}, but that is x{ratio:.3g}, and an experiment reaches x{limits.reach:g}"
        return asked.no("step_too_large", text)
    return _experiment(asked, replace(found, note=says), suppressed)


def _experiment(asked: Asked, found: Finding, suppressed: Collection[str]) -> Candidate | Reason:
    line = {"knob": asked.knob, "from": asked.stable, "values": [found.value]}
    sections = {
        "support": 0.0, "covered": [], "prediction": {}, "objective": asked.objective,
        "causal": {"estimand": f"log {asked.objective} per item", "method": found.method},
        "expected": {str(found.value): math.expm1(found.effect.log)},
        "reason": "step_too_large", **found.facts,
    }  # fmt: skip
    candidate = Candidate(
        kind="experiment", playbook=str(asked.scope["playbook"]), step=str(asked.scope["step"]),
        knob_class=knob_class(asked.knob), objective=asked.objective, diff=[line],
        base={asked.knob: asked.stable},
        evidence=record(asked.scope, [line], asked.history, sections), predicted={},
        note=found.note,
    )  # fmt: skip
    if candidate.content in suppressed:
        return asked.no(
            "not_worthwhile",
            f"{said(asked.knob, found.value)} was tried before and nothing is new",
        )
    return candidate


def _candidate(asked: Asked, found: Finding, limits: Limits) -> Candidate:
    line = {"knob": asked.knob, "from": asked.stable, "to": found.value}
    predicted: dict[str, dict[str, float]] = {asked.objective: found.effect.predicted()}
    chance = found.effect.chance_of(limits.min_gain)
    gain = f"{asked.objective} per item {math.expm1(found.effect.log):+.0%}"
    likely = f"a gain of {limits.min_gain:.0%} or more"
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
        note=f"{found.note}: {gain}; {likely} with a chance of {chance:.0%}",
    )

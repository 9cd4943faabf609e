"""A study: what history says about one knob of one step, and what follows from it.

One rule for every knob. Where values were tried and one is better by a worthwhile margin,
with the chance the policy asks for, propose that change. Where a neighbouring value might
be better and history cannot say, propose a bounded experiment. Else say why there is
nothing to propose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from optimizer.causal import causal, support
from optimizer.drawn import off_policy
from optimizer.effect import Effect, describe
from optimizer.evidence import Batches, Value, record
from optimizer.guard import Limits, Reason, objections
from optimizer.knobs import Range
from optimizer.models.levels import Level
from optimizer.objective import Objective
from optimizer.proposal import Candidate, Kind
from optimizer.scope import step_named
from runtime.playbook.knobs import KnobClass

Json: TypeAlias = Any

TIE: Final = 0.02
"""Values whose predicted outcomes are this close are equally good: the nearest wins."""
FIELDS: Final = {"each.batch": "size", "each.in_flight": "in_flight"}
"""Knobs whose values stand in `Batches`, and where."""
EVEN: Final = 0.5
"""A gain likelier than not, but not sure enough to propose, is worth asking about again."""


@dataclass(frozen=True, slots=True)
class Study:
    """One knob of one step.

    ``effects`` has the values history can speak of, ``harmful`` those that are known to be
    worse, each with why. ``expected`` is the curve's guess of the log effect of a value not
    yet tried, or None without a curve. ``ladder`` are the values worth asking about.
    """

    scope: Mapping[str, Json]
    knob: Range
    knob_class: KnobClass
    objective: Objective
    stable: int
    history: Batches
    values: Mapping[int, Value]
    levels: Mapping[int, Level]
    effects: Mapping[int, Effect]
    harmful: Mapping[int, str]
    ladder: tuple[int, ...]
    expected: Callable[[int], float | None]
    trial: Mapping[str, Json] = field(default_factory=dict)
    curve: Mapping[str, Json] = field(default_factory=dict)
    lent: str = ""
    """Whose curves the guesses lean on, for the note of an experiment."""

    @property
    def name(self) -> str:
        """The scope and knob, for a reason."""
        return f"{step_named(self.scope)} {self.knob.name}"


def decide(study: Study, limits: Limits, suppressed: Collection[str]) -> Candidate | Reason:
    """Return the change or the experiment that the study supports, or why neither."""
    passing, uncertain, notes = _weigh(study, limits)
    change = _best(passing)
    if change is not None:
        found = _change(study, change)
        if found.content not in suppressed:
            return found
        notes.append(f"{change} was turned down before and nothing material is new")
    values = _to_try(study, limits, uncertain)
    if values:
        tried = _experiment(study, values)
        if tried.content not in suppressed:
            return tried
        notes.append(f"{_words(values)} was tried before and nothing material is new")
    return Reason(study.name, "not_worthwhile", _why_nothing(study, notes))


def _weigh(study: Study, limits: Limits) -> tuple[dict[int, Effect], list[int], list[str]]:
    passing: dict[int, Effect] = {}
    uncertain, notes = [], []
    for value, effect in sorted(study.effects.items()):
        if value in study.harmful:
            continue
        against = objections(
            study.knob, study.stable, value, effect, limits, covered=value in study.effects,
            what=f"{study.objective} per item", compared=len(study.effects),
        )  # fmt: skip
        if not against:
            passing[value] = effect
        elif effect.chance_of(limits.min_gain) >= EVEN and effect.provable(limits.min_gain):
            uncertain.append(value)
        notes += [sentence for _, sentence in against]
    return passing, uncertain, notes


def _best(passing: Mapping[int, Effect]) -> int | None:
    """Return the value with the best prediction; among ties the smallest one."""
    if not passing:
        return None
    best = min(effect.log for effect in passing.values())
    return min(v for v, effect in passing.items() if effect.log <= best + TIE)


def _to_try(study: Study, limits: Limits, uncertain: list[int]) -> tuple[int, ...]:
    """Return the values an experiment should ask about."""
    above = [v for v in study.harmful if v > study.stable]
    below = [v for v in study.harmful if v < study.stable]
    ceiling, floor = min(above, default=math.inf), max(below, default=0)
    worthwhile = math.log(1.0 - limits.min_gain)
    asked = set(uncertain)
    for value in study.ladder:
        known = value in study.effects or value in study.harmful
        guess = study.expected(value)
        if not known and floor < value < ceiling and (guess is None or guess <= worthwhile):
            asked.add(value)
    return tuple(sorted(asked))


def _change(study: Study, value: int) -> Candidate:
    line = {"knob": study.knob.name, "from": study.stable, "to": value}
    effect, level = study.effects[value], study.levels[value]
    predicted: dict[str, dict[str, float]] = {study.objective: effect.predicted()}
    covered = [v for v in study.effects if v not in study.harmful]
    adjusted_for = ["run"] if level.method == "within runs" else ["log_items"]
    sections = {
        "support": _support(study, value),
        "covered": sorted(covered),
        "causal": causal(level, study.objective, adjusted_for),
        "prediction": predicted,
        "off_policy": _off_policy(study, value),
    }
    chance = effect.chance_of(0.05)
    note = (
        f"{study.knob.name} {study.stable} → {value}: {study.objective} per item "
        f"{math.expm1(effect.log):+.0%}; a gain of 5% or more with a chance of {chance:.0%}"
    )
    return _candidate(study, "change", line, sections, predicted, note)


def _support(study: Study, value: int) -> float:
    """How much of the stable value's work is like what the other value was run on."""
    column = FIELDS.get(study.knob.name)
    return support(study.history, column, value, study.stable) if column else 1.0


def _off_policy(study: Study, value: int) -> dict[str, Json]:
    """What the drawn units of past trials say of the value by their logged chances."""
    column = FIELDS.get(study.knob.name)
    if column is None or study.knob_class == "concurrency":
        return {}  # blocks that alternate are pairs, and are judged as such
    return off_policy(study.history, column, value, study.stable, study.objective)


def _experiment(study: Study, values: tuple[int, ...]) -> Candidate:
    line = {"knob": study.knob.name, "from": study.stable, "values": list(values)}
    guesses = {str(v): study.expected(v) for v in values}
    sections = {
        "support": 0.0,
        "covered": sorted(v for v in study.effects if v not in study.harmful),
        "causal": {"estimand": f"log {study.objective} per item", "method": "none"},
        "prediction": {},
        "expected": {v: math.expm1(g) for v, g in guesses.items() if g is not None},
        "reason": "history_cannot_say",
    }
    note = (
        f"history cannot say what {study.knob.name} {_words(values)} would do: "
        f"only {_words(tuple(sorted(study.values)))} was run{study.lent}"
    )
    return _candidate(study, "experiment", line, sections, {}, note)


def _candidate(
    study: Study,
    kind: Kind,
    line: dict[str, Json],
    sections: Mapping[str, Json],
    predicted: dict[str, dict[str, float]],
    note: str,
) -> Candidate:
    facts = {
        **sections,
        "objective": study.objective,
        "values": [v.to_json() for _, v in sorted(study.values.items())],
        "effects": describe(dict(study.effects)),
        "harmful": {str(v): why for v, why in sorted(study.harmful.items())},
        "curve": dict(study.curve),
        "trial": dict(study.trial),
    }
    return Candidate(
        kind=kind,
        playbook=str(study.scope["playbook"]),
        step=str(study.scope["step"]),
        knob_class=study.knob_class,
        objective=study.objective,
        diff=[line],
        base={study.knob.name: study.stable},
        evidence=record(study.scope, [line], study.history, facts),
        predicted=predicted,
        note=note,
    )


def _why_nothing(study: Study, notes: list[str]) -> str:
    harmful = [f"{v}: {why}" for v, why in sorted(study.harmful.items())]
    known = {study.stable, *study.effects, *study.harmful}
    if apart := tuple(sorted(v for v in study.values if v not in known)):
        text = (
            f"{_words(apart)} was run too little beside {study.stable}, or at other hours or days"
        )
        harmful.append(f"{text}, to be compared")
    if not study.ladder and not study.effects:
        harmful.append("within its bounds no other leaves a run enough units for a trial")
    said = "; ".join([*notes, *harmful])
    return f"no worthwhile value besides {study.stable}" + (f" ({said})" if said else "")


def _words(values: tuple[int, ...]) -> str:
    return (
        ", ".join(str(v) for v in values[:-1]) + (" or " if values[1:] else "") + str(values[-1])
    )

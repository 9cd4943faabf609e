"""The study of a knob with choices: the class of hardware, or which alternative does the work.

Three sources, the surest first. A trial of this step measured a choice beside the stable
one: its effect speaks for itself. Other steps ran under both: the gate says whether that is
enough for a change, or for a trial and what that is worth. Nothing is known: a bounded trial
may ask, if enough runs are to come. What a step did under another choice by itself, outside
of a trial, is not believed: it may have been at night.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.borrowing import Borrowed, lend, resembling
from optimizer.choice_trials import measured
from optimizer.distinct import distinct
from optimizer.effect import Effect
from optimizer.elsewhere import Elsewhere, space_of
from optimizer.evidence import record
from optimizer.finding import Asked, Finding, propose
from optimizer.gate.calibration import Calibration
from optimizer.gate.gate import Judgement, Terms, judge
from optimizer.gate.metrics import Heard, expert_of
from optimizer.gate.moves import LARGER, SMALLER, Moves
from optimizer.gate.outlook import HALF, Outlook, outlook
from optimizer.gate.tendency import Tendency
from optimizer.guard import Limits, Reason
from optimizer.knobs import knob_class
from optimizer.promised import too_slow
from optimizer.proposal import Candidate
from optimizer.search.history import History
from optimizer.search.posterior import Posterior
from optimizer.words import counted

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

FEWEST_RUNS: Final = 3
"""Runs of the step that say how large it is, before anything is said of other choices."""
DECLARED: Final = 0.5
"""Standard deviation of the log ratio of a choice that an author thought worth declaring."""
LONGEST: Final = 50
"""The most runs to come that a saving is counted over."""
HEARD: Final = 0.1
"""A weight of metrics from which on a proposal speaks of them."""
TOLD: Final = 10
"""So many of the steps that were borrowed from are named, the most alike first."""


@dataclass(frozen=True, slots=True, eq=False)
class Others:
    """What other steps show, with the map of how far its chances can be trusted.

    ``said`` is why there is no map, for the proposal to say; ``earned`` how much a step's
    weight may hang on resemblance, by objective.
    """

    elsewhere: Elsewhere
    maps: Mapping[str, Calibration]
    said: str = ""
    earned: Mapping[str, float] = field(default_factory=dict)


def study(
    asked: Asked, others: Others | None, limits: Limits, suppressed: Collection[str]
) -> Candidate | Reason:
    """Return the change or the trial that is worth proposing, or why there is none."""
    choices = [str(one) for one in asked.tune.get("choices") or ()]
    rest = [one for one in choices if one != asked.stable]
    if not rest or asked.stable not in choices:
        return asked.no("not_tunable", f"there is no choice beside {asked.stable}")
    known = dict(measured(asked, limits))
    notes = []
    for value, one in sorted(known.items(), key=lambda pair: pair[1].effect.log):
        if against := one.against(value, limits):
            notes.append(against)
            continue
        found = _finding(asked, value, one.effect, len(known))
        answer = propose(asked, found, limits, suppressed)
        if isinstance(answer, Candidate):
            return answer
        notes.append(answer.text)
    unknown = [one for one in rest if one not in known]
    if not unknown:
        return asked.no("not_worthwhile", "; ".join(notes))
    slow = _slow(asked, unknown, others)
    if len(slow) == len(unknown):
        return asked.no("breaks_slo", "; ".join([*notes, *slow.values()]))
    left = [one for one in unknown if one not in slow]
    answer = _unmeasured(asked, [asked.stable, *left], others, limits, suppressed)
    if not slow:
        return answer
    left_out = "left out: " + "; ".join(slow.values())
    if isinstance(answer, Candidate):
        return replace(answer, note=f"{answer.note}; {left_out}")
    return asked.no(answer.reason, f"{answer.text}; {left_out}")


def _slow(asked: Asked, unknown: list[str], others: Others | None) -> dict[str, str]:
    """Which classes of hardware would likely break what the step is meant to keep, and why."""
    if others is None or knob_class(asked.knob) != "placement":
        return {}
    return too_slow(asked, [asked.stable, *unknown], others.elsewhere)


def _finding(asked: Asked, value: str, effect: Effect, compared: int) -> Finding:
    note = f"{asked.knob} {asked.stable} → {value}, measured side by side"
    units = int(effect.freedom) + 2
    return Finding(value, effect, "units of a trial", units, note, compared)


# ---- what others and chance say --------------------------------------------------------------


def _unmeasured(
    asked: Asked, choices: list[str], others: Others | None, limits: Limits,
    suppressed: Collection[str],
) -> Candidate | Reason:  # fmt: skip
    runs = len(distinct(asked.history.run)[0])
    if runs < FEWEST_RUNS:
        return asked.no("too_little_history", f"{counted(runs, 'run')}; {FEWEST_RUNS} are needed")
    view = _View.of(asked, choices, others, Terms(
        horizon=min(runs, LONGEST), least_chance=limits.confidence,
    ))  # fmt: skip
    told = view.judged()
    if told.verdict == "cannot_say":
        trial = f"a trial is worth {told.worth:.1f} runs and costs {told.price:.1f}"
        return asked.no("history_cannot_say", "; ".join([*_unsure(view, told), trial]))
    candidate = _candidate(asked, view, told)
    if candidate.content in suppressed:
        return asked.no("not_worthwhile", f"{candidate.note}: turned down, and nothing is new")
    return candidate


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """Other steps' history over the choices of this step; the stable choice comes first."""

    choices: list[str]
    history: History
    known: Calibration | None
    level: float
    terms: Terms
    said: str
    borrowed: tuple[Borrowed, ...] = ()
    heard: Heard | None = None
    """What tendency and metrics say; nothing where there is no history."""

    @classmethod
    def of(cls, asked: Asked, choices: list[str], others: Others | None, terms: Terms) -> _View:
        objective, step = asked.objective, (asked.scope["playbook"], asked.scope["step"])
        nothing = History.of([], [], len(choices))
        if others is None or knob_class(asked.knob) != "placement":
            return cls(choices, nothing, None, 0.0, terms, "only a trial of this step can tell")
        history = others.elsewhere.history(objective, choices, without=step)
        level = others.elsewhere.of(objective, step, choices[0])
        if not math.isfinite(level):
            return cls(choices, nothing, None, 0.0, terms, f"no {objective} of it is known yet")
        known = others.maps.get(objective)
        said = "" if known else others.said
        history, borrowed = lend(others.elsewhere, asked, choices, history, others.earned)
        heard = None
        if len(history):
            space, seen = space_of(choices), others.elsewhere.seen_of(step, choices)
            heard = Heard(Tendency.of(space, history), expert_of(space, history), seen)
        return cls(choices, history, known, level, terms, said, borrowed, heard)

    def judged(self) -> Judgement:
        if self.heard is not None:
            view = outlook(self.heard, self.history, 0, self.level)
            return judge(view, self.known, self.terms)
        size = len(self.choices)
        declared = Posterior(np.ones(1), np.zeros((1, size)), np.full((1, size), DECLARED**2))
        moves = Moves.of(self.history, 0, self.level)
        return judge(Outlook(0, declared, moves, 1.0), None, self.terms)

    def of_metrics(self) -> float:
        """How much of the belief is what metrics said."""
        leaning = self.known.share if self.known else HALF
        return 0.0 if self.heard is None else leaning * self.heard.about(0).of_metrics

    def facts(self, pick: int) -> dict[str, Json]:
        """Return which steps speak, of what size, and what made the same move."""
        rows = self.history.rows
        both = np.isfinite(rows[:, 0]) & np.isfinite(rows[:, pick]) if len(rows) else np.zeros(0)
        moved = [family for family, made in zip(self.history.families, both, strict=True) if made]
        levels = rows[np.isfinite(rows[:, 0]), 0] if len(rows) else np.zeros(0)
        further = self.known.beyond if self.known else 0.0
        held = (
            [math.exp(levels.min() - SMALLER - further), math.exp(levels.max() + LARGER + further)]
            if len(levels)
            else []
        )
        return {
            "steps": len(rows),
            "families": len(set(self.history.families)),
            "borrowed_from": [asdict(one) for one in self.borrowed[:TOLD]],
            "made_this_move": {"steps": len(moved), "families": sorted(set(moved))},
            "sizes_that_count": held,
            "own_size": math.exp(self.level),
            "weight_of_metrics": round(self.of_metrics(), 3),
        }


def _candidate(asked: Asked, view: _View, told: Judgement) -> Candidate:
    change, value = told.verdict == "propose", view.choices[told.candidate]
    line: dict[str, Json] = {"knob": asked.knob, "from": asked.stable}
    line |= {"to": value} if change else {"values": [value]}
    low, middle, high = told.saving
    effect = {"lower": -high, "median": -middle, "upper": -low}
    predicted: dict[str, dict[str, float]] = {str(asked.objective): effect} if change else {}
    facts = {
        "support": 1.0 if told.known else 0.0,
        "covered": [],
        "causal": {
            "estimand": f"log {asked.objective} per item",
            "method": "other steps that made the move" if change else "none",
            "adjusted_for": ["size"] if change else [],
        },
        "prediction": predicted,
        "objective": asked.objective,
        "gate": {name: one for name, one in asdict(told).items() if name != "candidate"},
        "others": view.facts(told.candidate),
        "calibration": view.known.to_json() if view.known else view.said,
        "would_change": _would_change(view, told),
        **({} if change else {"reason": "history_cannot_say"}),
    }
    return Candidate(
        kind="change" if change else "experiment", playbook=str(asked.scope["playbook"]),
        step=str(asked.scope["step"]), knob_class=knob_class(asked.knob),
        objective=asked.objective, diff=[line], base={asked.knob: asked.stable},
        evidence=record(asked.scope, [line], asked.history, facts), predicted=predicted,
        note=_note(asked, view, told, value),
    )  # fmt: skip


def _would_change(view: _View, told: Judgement) -> list[str]:
    """What would have to be seen for the answer to be another."""
    terms = view.terms
    if told.verdict == "propose":
        chance = f"a chance of a saving below {terms.least_chance:.0%} (now {told.chance:.0%})"
        harm = f"a chance of harm above {terms.most_harm:.0%} (now {told.harm:.1%})"
        return [chance, harm, "an outcome of this step outside of the sizes that count"]
    cheap = f"a trial worth less than {told.price:.2f} runs (now {told.worth:.2f})"
    return [*_unsure(view, told), cheap]


def _unsure(view: _View, told: Judgement) -> tuple[str, ...]:
    """Why history cannot say: what stands before the gate, or else what the gate says."""
    return (view.said,) if view.said else told.why


def _note(asked: Asked, view: _View, told: Judgement, value: str) -> str:
    move = f"{asked.knob} {asked.stable} → {value}"
    if told.verdict == "propose":
        low, middle, high = (f"{-one:+.0%}" for one in told.saving)
        trust = f"; {view.known.says()}" if view.known else ""
        return (
            f"{move}: {asked.objective} per item {middle} ({high} to {low}) by what other steps "
            f"saw; 5% or more with a chance of {told.chance:.0%}{resembling(view.borrowed)}"
            f"{_metrics(asked, view)}{trust}"
        )
    why = "; ".join(_unsure(view, told))
    return (
        f"history cannot say what {move} would do ({why}{resembling(view.borrowed)}"
        f"{_metrics(asked, view)}); "
        f"a trial is expected to save {told.worth:.1f} runs of the next {view.terms.horizon} "
        f"and to cost {told.price:.1f}"
    )


def _metrics(asked: Asked, view: _View) -> str:
    """Say how much of the belief comes from what the step did where it runs now."""
    weight = view.of_metrics()
    if weight < HEARD:
        return ""
    return (
        f"; what it did with memory, CPU and bytes on {asked.stable} has a weight of "
        f"{weight:.0%} in this"
    )

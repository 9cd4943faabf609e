"""What history says, in the order a reviewer asks: how much, of which values, how sure.

The optimizer's record is JSON with known sections; the sections a person needs first are
put in words and in one table, everything else stays readable below. A section that is
missing is left out, never invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from control_plane.web import words
from runtime.run.events import Json

TOLD: Final = frozenset(
    {"window", "values", "causal", "support", "evidence_version", "diff", "id", "scope",
     "prediction", "objective", "reason", "regime", "gate", "others"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tried:
    """A value that history holds, and how it did; ``share`` is its time beside the slowest."""

    value: str
    batches: int
    seconds_per_item: float
    share: float
    retried: float
    failed: int
    role: str


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """The evidence as the page shows it."""

    lines: tuple[str, ...]
    tried: tuple[Tried, ...]
    rest: Mapping[str, Json]
    id: str


def read(evidence: Mapping[str, Json], before: Json, proposed: tuple[Json, ...]) -> EvidenceView:
    """Return the view of a record; ``before`` and ``proposed`` mark their rows."""
    lines = [
        *_window(evidence), *_regime(evidence), *_support(evidence), *_causal(evidence),
        *_sensitivity(evidence), *_others(evidence),
    ]  # fmt: skip
    rest = {key: value for key, value in evidence.items() if key not in TOLD and value}
    tried = _tried(evidence, str(before), {str(v) for v in proposed})
    return EvidenceView(tuple(lines), tried, rest, str(evidence.get("id", "")))


def _window(evidence: Mapping[str, Json]) -> list[str]:
    window = _section(evidence, "window")
    if not window.get("batches"):
        return []
    said = words.plural(int(window.get("runs", 0)), "run")
    said = f"Read from {words.plural(int(window['batches']), 'batch')} of {said}"
    if window.get("from") and window.get("to"):
        said += (
            f", {words.clock_time(window['from'])} to {words.clock_time(window['to'])}"
        )  # fmt: skip
    return [said + "."]


def _regime(evidence: Mapping[str, Json]) -> list[str]:
    quality = _section(evidence, "data_quality")
    if not isinstance(evidence.get("regime"), int | float) or not quality.get("before_regime"):
        return []
    left_out = words.plural(int(quality["before_regime"]), "earlier batch")
    said = f"An item took another time before {words.clock_time(evidence['regime'])}"
    return [f"{said}, so {left_out} are left out."]


def _support(evidence: Mapping[str, Json]) -> list[str]:
    support = evidence.get("support")
    if not isinstance(support, int | float):
        return []
    if support <= 0:
        return ["History holds no work at these values, so it cannot say what they would do."]
    return [f"{words.percent(support)} of what the prediction rests on was seen in history."]


def _causal(evidence: Mapping[str, Json]) -> list[str]:
    causal = _section(evidence, "causal")
    if not isinstance(causal.get("adjusted"), int | float):
        return []
    said = f"Effect seen in history: {words.change(causal['adjusted'])}"
    said += f", compared {causal.get('method', 'over all')}"
    if isinstance(causal.get("naive"), int | float):
        said += f" (unadjusted: {words.change(causal['naive'])})"
    return [said + "."]


def _sensitivity(evidence: Mapping[str, Json]) -> list[str]:
    causal = _section(evidence, "causal")
    known = ("interval", "effective", "e_value", "e_value_bound")
    if not all(name in causal for name in known):
        return []
    low, high = (words.change(end) for end in causal["interval"])
    return [
        f"The adjusted effect lies between {low} and {high} with 90%, known as well as a fair "
        f"trial of {causal['effective']:.0f} batches a side would know it.",
        f"To explain it away, an unseen cause would have to go with both the value and the "
        f"outcome by a factor of {causal['e_value']:.1f} ({causal['e_value_bound']:.1f} at the "
        "end of the interval).",
    ]


def _others(evidence: Mapping[str, Json]) -> list[str]:
    """Other steps' history, for a choice that this step never made."""
    made = _section(_section(evidence, "others"), "made_this_move")
    gate = _section(evidence, "gate")
    numbers = {n: gate.get(n) for n in ("chance", "harm", "worth", "price")}
    if not all(isinstance(number, int | float) for number in numbers.values()):
        return []
    steps, families = made.get("steps"), made.get("families")
    found = []
    if isinstance(steps, int) and isinstance(families, list):
        said = words.plural(len(families), "playbook")
        found.append(f"{words.plural(steps, 'other step')} of {said} made this move.")
    if gate.get("known") is True:
        chance, harm = words.percent(numbers["chance"]), words.percent(numbers["harm"])
        found.append(f"A saving of 5% has a chance of {chance}, harm one of {harm}.")
    worth, price = (f"{numbers[name]:.1f}" for name in ("worth", "price"))
    said = f"It is expected to save {worth} runs of today's, and its trial to cost {price}."
    return [*found, said]


def _tried(evidence: Mapping[str, Json], before: str, proposed: set[str]) -> tuple[Tried, ...]:
    found = evidence.get("values")
    rows = [v for v in found if isinstance(v, Mapping)] if isinstance(found, list) else []
    rows = [v for v in rows if isinstance(v.get("seconds_per_item"), int | float)]
    slowest = max((v["seconds_per_item"] for v in rows), default=0.0) or 1.0
    return tuple(
        Tried(
            str(v.get("value")), int(v.get("batches", 0)), float(v["seconds_per_item"]),
            float(v["seconds_per_item"] / slowest), float(v.get("retried_share", 0.0)),
            int(v.get("failed", 0)), _role(str(v.get("value")), before, proposed),
        )
        for v in rows
    )  # fmt: skip


def _role(value: str, before: str, proposed: set[str]) -> str:
    if value == before:
        return "now"
    return "proposed" if value in proposed else ""


def _section(evidence: Mapping[str, Json], name: str) -> Mapping[str, Any]:
    section = evidence.get(name)
    return section if isinstance(section, Mapping) else {}

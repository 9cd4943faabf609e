"""What a trial measured, arm by arm: the values tried, the work done, the effect beside control.

Read from the latest verdict's statistics. An arm of which too little is known has no
effect here, which is not the same as no effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from control_plane.web.dossier import Dossier, Range
from control_plane.web.figures import Band
from runtime.run.events import Json

CONTROL: Final = "control"
REASONS: Final = {
    "gain_proven": "the gain is proven",
    "gain_unproven": "no gain is proven yet",
    "gain_refuted": "a gain worth having is ruled out",
    "failures_unproven": "that it fails no more often is not proven yet",
    "collecting": "units are still being collected",
    "cost_missing": "costs are missing",
    "learned": "each arm has its samples",
    "sample_ratio": "the arms did not get the shares that were drawn",
    "horizon": "the horizon was reached and neither bound was met",
    "all_harmful": "every arm is proven worse",
    "harm_failures": "it is proven to fail more often",
    "harm_time": "it is proven slower per item",
    "harm_tail": "its slow batches are proven more frequent",
}
"""The verifier's codes in words."""


@dataclass(frozen=True, slots=True)
class ArmLine:
    """One arm. ``values`` are those on trial; ``effect`` is relative to the control."""

    name: str
    values: Mapping[str, Json]
    share: float | None
    units: int | None
    items: int | None
    seconds_per_item: float | None
    retried: float | None
    failed_items: int | None
    effect: Range | None
    harm: float | None


def arms(dossier: Dossier) -> list[ArmLine]:
    """Return the arms of the trial, the control first; none before it started."""
    started = dossier.experiment
    if started is None:
        return []
    shares = dossier.stages[-1][1].shares if dossier.stages else started.shares
    measured = _measured(dossier)
    tried = {knob for values in started.arms.values() for knob in values}
    base = {knob: value for knob, value in started.base.items() if knob in tried}
    objective = dossier.drafted.objective
    lines = [_line(CONTROL, base, None, measured.get(CONTROL, {}), objective)]
    lines += [
        _line(name, values, shares.get(name), measured.get(name, {}), objective)
        for name, values in started.arms.items()
    ]
    return lines


def bands(lines: list[ArmLine]) -> list[Band]:
    """Return the measured effects as lines of the figure."""
    return [
        Band(", ".join(f"{k} {v}" for k, v in line.values.items()), line.effect, measured=True)
        for line in lines
        if line.effect is not None
    ]


def _measured(dossier: Dossier) -> Mapping[str, Any]:
    if not dossier.verdicts:
        return {}
    verdict = dossier.verdicts[-1][1]
    found = verdict.statistics.get("arms")
    if not isinstance(found, Mapping):
        return {name: {"units": n} for name, n in verdict.units.items()}
    return found


def _line(
    name: str, values: Mapping[str, Json], share: float | None, told: Mapping[str, Any],
    objective: str,
) -> ArmLine:  # fmt: skip
    return ArmLine(
        name, values, share, told.get("units"), told.get("items"), told.get("seconds_per_item"),
        told.get("retried_share"), told.get("failed_items"), _effect(told, objective),
        told.get("e_max"),
    )  # fmt: skip


def _effect(told: Mapping[str, Any], objective: str) -> Range | None:
    interval = told.get("gain_ci") or (None, None)
    numbers = (interval[0], told.get("realised"), interval[1])
    known = [float(n) for n in numbers if isinstance(n, int | float)]
    return Range(objective, *known) if len(known) == len(numbers) else None

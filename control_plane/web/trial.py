"""What a trial measured, arm by arm: the values tried, the work done, the effect beside control.

Read from the latest verdict's statistics. An arm of which too little is known has no
effect here, which is not the same as no effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from control_plane.web import words
from control_plane.web.dossier import Dossier, Range
from control_plane.web.figures import Band
from optimizer.knobs import said
from runtime.run.events import Json
from runtime.run.layers import CONTROL

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
SILENCE: Final = {
    "run_not_completed": "it did not complete",
    "run_paused": "it was paused",
    "run_forked": "it goes on from another run",
    "nothing_ran": "nothing ran in it",
    "step_not_run": "the step did not run in it",
    "not_an_each": "the step is not mapped over items",
    "knob_not_simulated": "this knob is not simulated",
    "one_size": "only one size was ever seen",
    "beyond_history": "no such size was ever seen",
    "hour_not_seen": "nothing was seen to run, and to cost, at that hour",
    "no_start": "how long the step may wait, or when the run began, is not known",
    "not_comparable": "sizes were only seen in runs that do not compare",
    "no_retry_seen": "nothing was ever tried again",
    "budget_spent": "its retry budget refused tries that were never made",
    "run_would_fail": "it would have failed in every replay",
    "other_values": "it ran with other values than those in force",
    "too_long": "it is too long, or there was no time left",
}
"""Why a replayed run cannot say, in words."""


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
        Band(_values(line.values), line.effect, measured=True)
        for line in lines
        if line.effect is not None
    ]


def _values(values: Mapping[str, Json]) -> str:
    return ", ".join(f"{knob} {said(knob, value)}" for knob, value in values.items())


def replay(dossier: Dossier) -> list[str]:
    """Say what the replay of history said before the trial; nothing before it was done."""
    told = [m.facts for _, m in dossier.moves if m.source == "shadow" and m.facts]
    if not told:
        return []
    facts = told[-1]
    if "error" in facts:
        return [f"History could not be replayed: {facts['error']}."]
    checks = facts.get("arms") or {"": facts}
    change = dossier.changes[0] if dossier.changes else None
    values = [said(change.knob, value) for value in change.values] if change else []
    lines = []
    for i, check in enumerate(checks.values()):
        value = f"{values[i]}: " if i < len(values) else ""
        lines += [value + line for line in _replayed(check)]
    return lines


def prices(statistics: Mapping[str, Any]) -> list[str]:
    """Say what the effect would be if failing for good lost less, or more, than it is said to."""
    told = [one for one in statistics.get("by_price") or () if _is_known(one)]
    if not told:
        return []
    counted = f"A batch that fails for good counted as {words.seconds(statistics['lost_s'])} more."
    return [counted, *(
        f"Counted as {words.seconds(one['lost_s'])}, the effect would be "
        f"{words.change(one['realised'])} ({words.change(one['gain_ci'][0])} to "
        f"{words.change(one['gain_ci'][1])})."
        for one in told
    )]  # fmt: skip


def _is_known(one: Mapping[str, Any]) -> bool:
    numbers = (one.get("realised"), *(one.get("gain_ci") or (None,)))
    return all(isinstance(number, int | float) for number in numbers)


def _replayed(check: Mapping[str, Any]) -> Iterator[str]:
    effects = [_ranged(check, key) for key in ("makespan", "cost") if check.get(f"{key}_range")]
    if effects:
        runs = words.plural(check.get("runs", 0), "run")
        off = words.percent(check.get("calibration_error"), 1)
        yield f"{runs} replayed under it: {', '.join(effects)}."
        yield f"Replayed as it was, a run is {off} off."
    if check.get("violations"):
        yield f"{words.plural(check['violations'], 'run')} would fail or lose items."
    for code, runs in (check.get("cannot_say") or {}).items():
        yield f"{words.plural(runs, 'run')} cannot say: {SILENCE.get(code, code)}."
    if not effects and not check.get("cannot_say"):
        yield "No run of this version has completed yet, so there is nothing to replay."


def _ranged(check: Mapping[str, Any], key: str) -> str:
    """The change of the whole run's time or cost, with its range."""
    low, high = (words.change(n) for n in check[f"{key}_range"])
    name = "time of the run" if key == "makespan" else key
    return f"{name} {words.change(check[f'{key}_delta'])} ({low} to {high})"


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

"""Shadow: what a replay of history says of a proposal, and what follows from it.

A replay may speak against a change before any live work, and never for one: what it finds
better is tried all the same. "History cannot say" is no fault of a proposal whose trial is
there to find out, and a replay that broke down neither passes nor fails it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from control_plane.review.policy import Shadow
from control_plane.review.reasons import Reason
from optimizer.simulate.estimate import Band
from optimizer.simulate.shadow import Check
from runtime.run.events import Json, ProposalDrafted


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the replays say of each arm, or the error that ended them."""

    checks: Mapping[str, Check] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What follows: a reason, and the facts beside it."""

    reason: Reason
    facts: Mapping[str, Json]


def judge(drafted: ProposalDrafted, settings: Shadow, replayed: Replayed) -> Ruling:
    """Return what follows from a replay. Only a change can be found clearly worse."""
    if replayed.error or not replayed.checks:
        return Ruling(Reason.SIMULATION_FAILED, {"error": replayed.error or "no arm was replayed"})
    facts = _facts(drafted, replayed)
    checks = list(replayed.checks.values())
    worse = drafted.kind == "change" and all(_is_worse(drafted, settings, c) for c in checks)
    if worse and settings.vetoes:
        return Ruling(Reason.SIMULATED_WORSE, facts)
    if any(_says(drafted, settings, check) for check in checks):
        return Ruling(Reason.SIMULATED, facts)
    return Ruling(Reason.CANNOT_SIMULATE, facts)


def _facts(drafted: ProposalDrafted, replayed: Replayed) -> dict[str, Json]:
    told = {arm: check.to_json() for arm, check in replayed.checks.items()}
    if drafted.kind == "change":
        return dict(next(iter(told.values())))
    return {"runs": max(c.runs for c in replayed.checks.values()), "arms": told}


def _delta(drafted: ProposalDrafted, check: Check) -> Band | None:
    """The change of what the proposal is to make less of.

    To wait for hours of the day makes every run longer, which its author allows: the time that
    such a proposal is about is that of its work, and replays take that to be the same.
    """
    if drafted.objective == "cost":
        return check.cost_delta
    return None if drafted.knob_class == "schedule" else check.makespan_delta


def _says(drafted: ProposalDrafted, settings: Shadow, check: Check) -> bool:
    return check.runs >= settings.min_runs and _delta(drafted, check) is not None


def _is_worse(drafted: ProposalDrafted, settings: Shadow, check: Check) -> bool:
    """Every run would fail; or the lower bound is too high, by a replay that can be trusted."""
    if check.runs == 0:
        return check.cannot_say.get("run_would_fail", 0) >= settings.min_runs
    delta, error = _delta(drafted, check), check.calibration_error
    if delta is None or error is None or check.runs < settings.min_runs:
        return False
    return delta.lower > settings.max_worse and error <= settings.max_error

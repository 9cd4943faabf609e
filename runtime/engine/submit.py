"""Submitting: a request for a run, and the checks it must pass before anything is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from runtime.engine.catalogue import Version
from runtime.engine.errors import BadOverride, BadWorkload
from runtime.engine.hardware import Hardware
from runtime.playbook.faults import WorkloadFaults
from runtime.playbook.hours import canonical
from runtime.playbook.inputs import fill
from runtime.playbook.knobs import (
    DURATIONS,
    KNOBS,
    LIMITS,
    RETRYABLE,
    SHARES,
    SUBSETS,
    defaults,
)
from runtime.playbook.model import DEFAULT, Playbook, Step
from runtime.run.events import Json


@dataclass(frozen=True, slots=True)
class Submit:
    """A request for a run. ``version`` is a hash, a prefix of one or a number; None is newest."""

    playbook: str
    workload: dict[str, Json] = field(default_factory=dict)
    actor: str = "local"
    version: str | None = None
    key: str | None = None
    overrides: dict[str, dict[str, Json]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    system: bool = False
    priority: int = 0


def full_workload(playbook: Playbook, given: Mapping[str, Json]) -> dict[str, Json]:
    """Return the inputs with defaults filled in.

    Raises:
        BadWorkload: with every fault found.
    """
    try:
        return fill(playbook.inputs, given)
    except WorkloadFaults as error:
        raise BadWorkload(list(error.faults.items())) from error


def check_overrides(
    version: Version, overrides: Mapping[str, Mapping[str, Json]], hardware: Hardware
) -> None:
    """Raise BadOverride when a step or knob is not there, or a value has the wrong type."""
    steps = {s.name: s for s in version.playbook.steps}
    for name, values in overrides.items():
        step = steps.get(name)
        if step is None:
            raise BadOverride(f"no step {name} in {version.playbook.path}: {', '.join(steps)}")
        known = defaults(step)
        for knob, value in values.items():
            if knob not in known:
                raise BadOverride(f"{name} has no knob {knob}; it has {', '.join(known)}")
            if why := _fault(step, knob, value):
                raise BadOverride(f"{name}.{knob} must be {why}: {value!r}")
            if knob == "runs_on" and (why := hardware.why_not(value)):
                raise BadOverride(f"{name}.{knob}: {why}")


def _fault(step: Step, knob: str, value: Json) -> str:
    """What a knob's value must be, or nothing when it is that. Policies are judged elsewhere."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if knob in LIMITS:
        least, most = LIMITS[knob]
        fits = number and isinstance(value, int) and least <= value <= most
        return "" if fits else f"a whole number of {least} to {most}"
    if knob in SUBSETS:
        fits = isinstance(value, list) and all(one in RETRYABLE for one in value)
        return "" if fits else f"a list of {', '.join(RETRYABLE)}"
    if knob in DURATIONS:
        fits = value is None or (number and 0 < value < math.inf)
        return "" if fits else "a number of seconds above 0, or null"
    if knob in SHARES:
        fits = value is None or (number and 0 < value <= 1)
        return "" if fits else "a share above 0 and up to 1, or null"
    if KNOBS[knob] == "alternative":
        known = (DEFAULT, *step.alternatives)
        return "" if value in known else f"one of {', '.join(known)}"
    if KNOBS[knob] == "schedule":
        fits = isinstance(value, str) and canonical(value) == value
        return "" if fits else "hours of the day, such as 22-6, or any"
    return "" if isinstance(value, str) and value else "a word"

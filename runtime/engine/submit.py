"""Submitting: a request for a run, and the checks it must pass before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from runtime.engine.catalogue import Version, knob_defaults
from runtime.engine.errors import BadOverride, BadWorkload
from runtime.playbook.model import Input, Playbook
from runtime.run.events import Json

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


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
    faults: list[tuple[str, str]] = []
    declared = {i.name: i for i in playbook.inputs}
    known = ", ".join(declared) or "none"
    faults += [(n, f"no such input (inputs: {known})") for n in given if n not in declared]
    full: dict[str, Json] = {}
    for name, entry in declared.items():
        if name not in given and entry.required:
            faults.append((name, "required, and not given"))
            continue
        full[name] = given.get(name, entry.default)
        if name in given and (fault := _fault(entry, given[name])):
            faults.append((name, fault))
    if faults:
        raise BadWorkload(faults)
    return full


def _fault(entry: Input, value: Any) -> str | None:
    kinds = _TYPES.get(entry.type)
    if kinds is not None and (not isinstance(value, kinds) or _bool_as_number(entry, value)):
        return f"must be of type {entry.type}, not {type(value).__name__}"
    if entry.min is not None and isinstance(value, int | float) and value < entry.min:
        return f"must be at least {entry.min:g}"
    if entry.max is not None and isinstance(value, int | float) and value > entry.max:
        return f"must be at most {entry.max:g}"
    if entry.choices and value not in entry.choices:
        return f"must be one of {', '.join(map(str, entry.choices))}"
    return None


def _bool_as_number(entry: Input, value: Any) -> bool:
    return isinstance(value, bool) and entry.type in ("integer", "number")


def check_overrides(version: Version, overrides: Mapping[str, Mapping[str, Json]]) -> None:
    """Raise BadOverride when a step or knob is not there, or a value has the wrong type."""
    steps = {s.name: s for s in version.playbook.steps}
    for name, values in overrides.items():
        step = steps.get(name)
        if step is None:
            raise BadOverride(f"no step {name} in {version.playbook.path}: {', '.join(steps)}")
        known = knob_defaults(step)
        for knob, value in values.items():
            if knob not in known:
                raise BadOverride(f"{name} has no knob {knob}; it has {', '.join(known)}")
            whole = knob in ("each.batch", "each.in_flight", "retry.attempts")
            if whole and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise BadOverride(f"{name}.{knob} must be a whole number of at least 1: {value!r}")

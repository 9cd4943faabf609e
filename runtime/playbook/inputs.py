"""Inputs: what a run is given, checked against what its playbook declares.

>>> from runtime.playbook.model import Input
>>> fill([Input("age", "integer", default=18, min=0)], {"age": 30})
{'age': 30}
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from runtime.playbook.faults import WorkloadFaults, a, did_you_mean
from runtime.playbook.model import Input, Json

TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "any": (object,),
}


def fill(inputs: Iterable[Input], given: Mapping[str, Json]) -> dict[str, Json]:
    """Return the workload of a run: what was given, and defaults for the rest.

    Raises WorkloadFaults, which names every input that does not fit.
    """
    declared = {item.name: item for item in inputs}
    faults = {
        name: f"no such input ({did_you_mean(name, declared) or 'it takes none'})"
        for name in given
        if name not in declared
    }
    values: dict[str, Json] = {}
    for name, item in declared.items():
        if name not in given and item.required:
            faults[name] = "must be given"
            continue
        values[name] = given.get(name, item.default)
        why = objection(item, values[name]) if name in given else ""
        if why:
            faults[name] = why
    if faults:
        raise WorkloadFaults(faults)
    return values


def objection(item: Input, value: Json) -> str:
    """Return why a value does not fit an input, or an empty string."""
    if not fits(item.type, value):
        return f"must be {a(item.type)}, not {_described(value)}"
    if item.choices and value not in item.choices:
        return f"must be one of {', '.join(map(str, item.choices))}, not {value}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _out_of_bounds(item, value)
    return ""


def fits(kind: str, value: Json) -> bool:
    """Whether a value has a type of the workload's words; ``true`` is no number."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if isinstance(value, bool):
        return kind in ("boolean", "any")
    return isinstance(value, TYPES[kind])


def _out_of_bounds(item: Input, value: float) -> str:
    if item.min is not None and value < item.min:
        return f"must be at least {item.min:g}, not {value:g}"
    if item.max is not None and value > item.max:
        return f"must be at most {item.max:g}, not {value:g}"
    return ""


def _described(value: Json) -> str:
    return "nothing" if value is None else f"{value!r}"[:60]

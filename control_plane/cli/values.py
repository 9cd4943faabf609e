"""What stands behind ``--set`` and ``--override``, as values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from control_plane.cli.talk import Code, Refusal


def inputs(pairs: Iterable[str], file: Path | None, types: Mapping[str, str]) -> dict[str, Any]:
    """Return a run's inputs: those of the file, then those set one by one.

    >>> inputs(["name=007", "age=18"], None, {"name": "string", "age": "integer"})
    {'name': '007', 'age': 18}
    """
    values: dict[str, Any] = _file(file) if file is not None else {}
    for pair in pairs:
        name, value = _split(pair, "--set name=value")
        values[name] = value if types.get(name) == "string" else _json(value)
    return values


def overrides(
    pairs: Iterable[str], form: str = "--override step.knob=value"
) -> dict[str, dict[str, Any]]:
    """Return overrides by step and knob.

    >>> overrides(["enrich.each.batch=50", "enrich.retry.budget=10%"])
    {'enrich': {'each.batch': 50, 'retry.budget': 0.1}}
    >>> overrides(["train.start.hours=22:00-06:00"])
    {'train': {'start.hours': '22-6'}}
    """
    wanted: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        name, value = _split(pair, form)
        step, dot, knob = name.partition(".")
        if not dot:
            raise _usage(f"{pair!r} names no knob", form)
        wanted.setdefault(step, {})[knob] = _knob_value(knob, value)
    return wanted


def _knob_value(knob: str, text: str) -> Any:
    """Return a knob's value as it is compared, where it may be written in more ways."""
    from runtime.playbook.hours import canonical
    from runtime.playbook.knobs import KNOBS, SHARES
    from runtime.playbook.units import share

    found: Any = None
    if knob in SHARES:
        found = share(text)
    elif KNOBS.get(knob) == "schedule":
        found = canonical(text)
    return _json(text) if found is None else found


def labels(pairs: Iterable[str]) -> dict[str, str]:
    """Return labels by name."""
    return dict(_split(pair, "--label name=value") for pair in pairs)


def _split(pair: str, form: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not equals or not name:
        raise _usage(f"{pair!r} is not name=value", form)
    return name, value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _file(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise _usage(f"{path} is not JSON: {fault}", "--input FILE.json") from None
    if not isinstance(values, dict):
        raise _usage(f"{path} holds no object of inputs", "--input FILE.json")
    return values


def _usage(problem: str, form: str) -> Refusal:
    return Refusal(problem, hint=f"write it as {form}", code=Code.USAGE)

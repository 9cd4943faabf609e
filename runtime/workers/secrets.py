"""Secrets: names until the last moment, and never in what a worker says.

A playbook writes ``{secret: name}`` and declares the name. The worker puts the value in
its place, from the environment variable ``TRIMTAB_SECRET_<NAME>``, right before the tool
runs, and masks it in everything that leaves the attempt.
"""

from __future__ import annotations

import os
from typing import Any, Final

import msgspec

from runtime.errors import Permanent
from runtime.tools.port import SECRET_PREFIX
from runtime.workers.protocol import Report, Task

MASK: Final = "•••"


def values(names: tuple[str, ...]) -> dict[str, str]:
    """Name → value, for the names that have one."""
    found = {name: os.environ.get(variable(name), "") for name in names}
    return {name: value for name, value in found.items() if value}


def variable(name: str) -> str:
    """The environment variable that holds a secret."""
    return SECRET_PREFIX + name.upper().replace("-", "_").replace(".", "_")


def reveal(task: Task, known: dict[str, str]) -> Task:
    """The task with every ``{secret: name}`` of its tool and arguments filled in.

    Raises:
        Permanent: the playbook does not declare the name, or it has no value.
    """
    tool, args = _fill(task.tool, task.secrets, known), _fill(task.args, task.secrets, known)
    return msgspec.structs.replace(task, tool=tool, args=args)


def redact(report: Report, known: dict[str, str]) -> Report:
    """The report without the secrets' values."""
    return msgspec.structs.replace(
        report,
        stdout=_mask(report.stdout, known),
        fault=_mask(report.fault, known),
        result=_mask(report.result, known),
        checks=_mask(report.checks, known),
    )


def _fill(value: Any, declared: tuple[str, ...], known: dict[str, str]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"secret"}:
            return _value(value["secret"], declared, known)
        return {name: _fill(part, declared, known) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_fill(part, declared, known) for part in value]
    return value


def _value(name: Any, declared: tuple[str, ...], known: dict[str, str]) -> str:
    if name not in declared:
        raise Permanent(f"secret {name!r} is not declared: add it to the playbook's `secrets`")
    if name not in known:
        raise Permanent(f"secret {name!r} has no value: set {variable(name)} for the server")
    return known[name]


def _mask(value: Any, known: dict[str, str]) -> Any:
    if isinstance(value, str):
        for secret in known.values():
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, dict):
        return {_mask(name, known): _mask(part, known) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mask(part, known) for part in value]
    return value

"""Finding the values that an expression names: of steps that ran, were skipped or did not run yet.

Each path that an expression surely reads must be there; what it only may look at, or asks
about, need not. A missing name says what it may have meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn

from runtime.playbook.faults import ExpressionFault, did_you_mean
from runtime.playbook.model import Json
from runtime.playbook.syntax import Expression, Name

SKIPPED: Final[Json] = {"skipped": True}
"""Stands for a step that was skipped: null, with ``.skipped``."""
ASKS_SKIPPED: Final = "ºskipped"
"""What ``.skipped`` is spelled as where a value has no fields: a name that nobody can give."""
ABSENT: Final[Json] = object()
"""Stands for a name that has no value yet: an expression may ask for it, and not count on it."""


def given_to(expression: Expression, names: Mapping[str, Json]) -> dict[str, Json]:
    """Return the values the expression needs; each path it surely reads must be there."""
    given: dict[str, Json] = {}
    for name in expression.names:
        root = name.path[0]
        if root not in given:
            value = _root(expression, name, names)
            if value is ABSENT:
                _lacking(expression, name, given)
                continue
            given[root] = None if value is SKIPPED else value
            if value is SKIPPED or not isinstance(value, Mapping):
                given[root + ASKS_SKIPPED] = value is SKIPPED
        if name.sure and len(name.path) > 1:
            walk(expression, name, given)
    return given


def _lacking(expression: Expression, name: Name, given: dict[str, Json]) -> None:
    """Let an expression see that a value is not there yet, where it may look no further."""
    root = name.path[0]
    if name.sure:
        _absent(expression, name)
    if all(len(n.path) > 1 for n in expression.names if n.path[0] == root):
        given[root] = {}  # so that `root.field | default(…)` can be asked


def _absent(expression: Expression, name: Name) -> NoReturn:
    raise ExpressionFault(
        f"{name.path[0]} has not run yet", text=expression.text,
        offset=expression.offset + name.offset, hint=f"{name} | default(…) would do",
    )  # fmt: skip


def _root(expression: Expression, name: Name, names: Mapping[str, Json]) -> Json:
    root = name.path[0]
    try:
        return names[root]
    except KeyError:
        raise ExpressionFault(
            f"unknown name {root}",
            text=expression.text, offset=expression.offset + name.offset, unknown=root,
            hint=did_you_mean(root, [str(known) for known in names]),
        ) from None  # fmt: skip


def walk(expression: Expression, name: Name, names: Mapping[str, Json]) -> Json:
    """Return the value that a path leads to. Raises ExpressionFault where there is none."""
    value = _root(expression, name, names)
    if value is ABSENT:
        _absent(expression, name)
    if value is SKIPPED and len(name.path) == 1:
        return None
    for depth, key in enumerate(name.path[1:], start=1):
        try:
            value = _field(value, key)
        except (KeyError, AttributeError):
            if key == "skipped" and depth == 1:
                return False
            _missing(expression, name, depth, value)
    return value


def _field(value: Json, key: str) -> Json:
    if isinstance(value, Mapping):
        return value[key]
    found = getattr(value, key)
    if key.startswith("_") or callable(found):
        raise AttributeError(key)
    return found


def _missing(expression: Expression, name: Name, depth: int, value: Json) -> NoReturn:
    owner, full = ".".join(name.path[:depth]), ".".join(name.path[: depth + 1])
    known = [str(key) for key in value] if isinstance(value, Mapping) else []
    what = "is null" if value is None else f"has no {name.path[depth]}"
    raise ExpressionFault(
        f"{owner} {what}", text=expression.text, offset=expression.offset + name.offset,
        unknown=full, hint=did_you_mean(name.path[depth], known),
    )  # fmt: skip

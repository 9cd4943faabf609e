"""JSON as a person reads it: pairs, tables and lists, with hashes short and numbers brief.

Evidence, gate facts, inputs and results have no fixed shape, and a reviewer must be able
to read them all the same. A value becomes a small tree of `Pairs`, `Table`, `Items` and
plain text that one template draws; nothing is left out without saying so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from control_plane.web import words

MOST_ROWS: Final = 20
MOST_ITEMS: Final = 6
MOST_TEXT: Final = 2000
MOST_COLUMNS: Final = 12
DEEPEST: Final = 5
NAMES: Final = frozenset({"pid", "port", "number", "version", "writer", "seq", "seed"})
"""Numbers that name something: nobody counts them, so they get no commas."""


@dataclass(frozen=True, slots=True)
class Text:
    """A plain value. ``full`` is what stands behind a shortened one."""

    said: str
    full: str = ""
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Names with values."""

    rows: tuple[tuple[str, Node], ...]
    kind: str = "pairs"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of the same columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    left_out: int = 0
    kind: str = "table"


@dataclass(frozen=True, slots=True)
class Items:
    """A list of values that are more than a line each."""

    values: tuple[Node, ...]
    left_out: int = 0
    kind: str = "items"


Node: TypeAlias = Text | Pairs | Table | Items


def readable(value: Any, name: str = "", depth: int = 0) -> Node:
    """Return a JSON value in a form that reads well.

    >>> readable({"rows_in": 12000, "ok": True}).rows
    (('rows in', Text(said='12,000', full='', kind='text')), ('ok', Text(said='yes', full='', kind='text')))
    """  # noqa: E501 - an example is one line
    if isinstance(value, Mapping) and value and depth < DEEPEST:
        if "$ref" in value:
            return Text(_reference(value), str(value["$ref"]))
        return Pairs(tuple((title(k), readable(v, str(k), depth + 1)) for k, v in value.items()))
    if isinstance(value, list | tuple) and value and depth < DEEPEST:
        return _list(value, name, depth)
    return plain(value, name)


def _list(values: Sequence[Any], name: str, depth: int) -> Node:
    if all(not isinstance(v, Mapping | list | tuple) for v in values):
        said = ", ".join(plain(v, name).said for v in values[:MOST_ROWS])
        rest = len(values) - MOST_ROWS
        return Text(said + (f" and {rest:,} more" if rest > 0 else ""))
    if all(isinstance(v, Mapping) for v in values) and _is_flat(values):
        return _table(values)
    shown = tuple(readable(v, name, depth + 1) for v in values[:MOST_ITEMS])
    return Items(shown, max(0, len(values) - MOST_ITEMS))


def _is_flat(values: Sequence[Mapping[str, Any]]) -> bool:
    columns = {key for value in values[:MOST_ROWS] for key in value}
    return len(columns) <= MOST_COLUMNS


def _table(values: Sequence[Mapping[str, Any]]) -> Table:
    columns = tuple(dict.fromkeys(key for value in values[:MOST_ROWS] for key in value))
    rows = tuple(tuple(plain(v.get(c), c) for c in columns) for v in values[:MOST_ROWS])
    return Table(tuple(title(c) for c in columns), rows, max(0, len(values) - MOST_ROWS))


def plain(value: Any, name: str = "") -> Text:
    """Return a value in one line."""
    if value is None:
        return Text(words.NOTHING)
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, int | float):
        return Text(_number(value, name))
    if isinstance(value, str):
        return _string(value)
    return Text(_compact(value))


def _number(value: float, name: str) -> str:
    if name in NAMES:
        return str(value)
    if name.endswith("_usd") or name == "cost":
        return words.money(value)
    if name == "timeout" or (name.endswith("_s") and not name.endswith("per_s")):
        return words.seconds(value)
    if name in ("at", "since", "until") or name.endswith("_at"):
        return words.clock_time(value)
    return words.number(value)


def _string(value: str) -> Text:
    if len(value) >= 32 and all(c in "0123456789abcdef" for c in value):
        return Text(value[:12] + "…", value)
    if len(value) > MOST_TEXT:
        return Text(value[:MOST_TEXT] + f"… ({len(value):,} characters)")
    return Text(value)


def _compact(value: Any) -> str:
    whole = json.dumps(value, ensure_ascii=False, default=str)
    return whole if len(whole) <= MOST_TEXT else whole[:MOST_TEXT] + "…"


def _reference(value: Mapping[str, Any]) -> str:
    kind = str(value.get("media", "")).rpartition(".")[2] or "data"
    rows = f"{words.count(value['rows'])} rows, " if value.get("rows") is not None else ""
    return f"{kind}: {rows}{words.size(value.get('bytes'))}, by reference"


def title(key: object) -> str:
    """Return a key as words; a length of time says its unit itself.

    >>> title("behind_s"), title("events_per_s")
    ('behind', 'events per s')
    """
    words = str(key).replace("_", " ")
    return words if words.endswith("per s") else words.removesuffix(" s")

"""What a command says: data to stdout, talk to stderr, and one exit code for each ending.

Every read command takes ``-o table|json|ndjson``. A refusal is a problem, a hint, and the
next command to try. Colour and bars appear only on a terminal, and never with NO_COLOR.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from enum import IntEnum, StrEnum
from typing import Any, TypeAlias

from msgspec import to_builtins

from control_plane.cli.tabling import breadth, folded, tabled
from optimizer.words import many as many


class Code(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    CONFLICT = 5
    TIMEOUT = 6
    UNREACHABLE = 7


class Format(StrEnum):
    """How data is written to stdout."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"


Row: TypeAlias = Mapping[str, Any]
Columns: TypeAlias = Mapping[str, Any]
"""Heading → a row's key, or a function of the row."""


class Refusal(Exception):
    """A command cannot go on: what is wrong, what would help, what to type next."""

    def __init__(
        self, problem: str, *, hint: str = "", command: str = "", code: Code = Code.FAILED
    ) -> None:
        super().__init__(problem)
        self.hint, self.command, self.code = hint, command, code


def plain(value: Any) -> Any:
    """Return a view as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_builtins(value, enc_hook=str)
    return value


def emit_rows(rows: Iterable[Any], output: Format, columns: Columns, empty: str = "") -> None:
    """Write rows; ``empty`` is told where there are none and a person reads."""
    listed = [plain(row) for row in rows]
    if output is Format.JSON:
        put(json.dumps(listed, indent=2, default=str))
    elif output is Format.NDJSON:
        for row in listed:
            put(json.dumps(row, default=str))
    elif listed:
        _table([[_cell(row, column) for column in columns.values()] for row in listed], columns)
    elif empty:
        say(empty)


def emit_one(value: Any, output: Format, lines: Callable[[Row], Iterable[str]]) -> None:
    """Write one thing. ``lines`` tells it to a person."""
    shown = plain(value)
    if output is Format.JSON:
        put(json.dumps(shown, indent=2, default=str))
    elif output is Format.NDJSON:
        put(json.dumps(shown, default=str))
    else:
        for text in lines(shown):
            put(text)


def say(text: str) -> None:
    """Tell the person something that is not data."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def told(refusal: Refusal) -> int:
    """Tell a refusal and return its exit code."""
    say(f"{red('error:')} {refusal}")
    if refusal.hint:
        say(f"hint: {refusal.hint}")
    if refusal.command:
        say(f"next: {refusal.command}")
    return int(refusal.code)


def colourful(stream: Any = None) -> bool:
    """Whether colour and bars are welcome."""
    stream = stream or sys.stderr
    return stream.isatty() and not os.environ.get("NO_COLOR")


def red(text: str) -> str:
    """Return the text in red, on a terminal."""
    return f"\x1b[31m{text}\x1b[0m" if colourful() else text


def _cell(row: Row, column: str | Callable[[Row], Any]) -> str:
    value = row.get(column) if isinstance(column, str) else column(row)
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _table(cells: Sequence[Sequence[str]], columns: Iterable[str]) -> None:
    for line in tabled([[column.upper() for column in columns], *cells], breadth()):
        put(line)


def fitted(text: str) -> list[str]:
    """Return a line of prose as the lines that a terminal has room for; elsewhere as it is."""
    return folded(text, breadth())


def put(text: str) -> None:
    """Give a line of data."""
    print(text)  # noqa: T201

"""What a command says and takes: all of `talk`, and what needs the command line's library."""

from __future__ import annotations

from typing import Annotated, NoReturn, TypeAlias

import typer

from control_plane.cli.talk import (
    Code,
    Columns,
    Format,
    Refusal,
    Row,
    colourful,
    emit_one,
    emit_rows,
    fitted,
    many,
    plain,
    red,
    say,
    told,
)

Output: TypeAlias = Annotated[
    Format, typer.Option("-o", "--output", help="How to write data: table, json or ndjson.")
]


def leave(code: Code) -> NoReturn:
    """End the command with a code."""
    raise typer.Exit(int(code))


__all__ = [
    "Code",
    "Columns",
    "Format",
    "Output",
    "Refusal",
    "Row",
    "colourful",
    "emit_one",
    "emit_rows",
    "fitted",
    "leave",
    "many",
    "plain",
    "red",
    "say",
    "told",
]

"""Which installation a command talks to, and the key it uses, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from control_plane.cli.place import Here
from control_plane.cli.talk import Refusal

KeyFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--key-file", help="File with the API key to use.", exists=True, dir_okay=False),
]


def here(ctx: typer.Context) -> Here:
    """Return the installation that the command line chose."""
    found = ctx.find_object(Here)
    if found is None:
        raise Refusal("no data folder was chosen", hint="run the `trimtab` command")
    return found


__all__ = ["Here", "KeyFile", "here"]

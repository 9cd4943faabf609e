"""``trimtab config``: what is set, and where it was set."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from control_plane.cli.here import here
from control_plane.cli.output import Code, Format, Output, Refusal, emit_one, emit_rows, say
from control_plane.settings import named, store, value_of

app = typer.Typer(no_args_is_help=True, help="Read and change settings.")
Name = Annotated[str, typer.Argument(help="A setting, such as server.port.")]


@app.command("list")
def list_(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List every setting with its value and where that came from."""
    settings, sources = here(ctx).settings()
    rows = [
        {"name": s.name, "value": value_of(settings, s.name), "source": sources[s.name],
         "default": s.default, "variable": s.variable, "text": s.text}
        for s in named()
    ]  # fmt: skip
    emit_rows(rows, output, {
        "name": "name", "value": lambda r: json.dumps(r["value"]), "source": "source",
        "about": "text",
    })  # fmt: skip


@app.command()
def get(ctx: typer.Context, name: Name, output: Output = Format.TABLE) -> None:
    """Print one setting."""
    settings, sources = here(ctx).settings()
    if name not in sources:
        raise Refusal(f"there is no setting {name}", command="trimtab config list",
                      code=Code.NOT_FOUND)  # fmt: skip
    told = {"name": name, "value": value_of(settings, name), "source": sources[name]}
    emit_one(told, output, lambda t: [str(t["value"])])


@app.command("set")
def set_(ctx: typer.Context, name: Name, value: Annotated[str, typer.Argument()]) -> None:
    """Keep a setting in the data folder; it holds from the next start."""
    place = here(ctx)
    store(place.folder, name, value)
    say(f"{name} is {value} from the next start")


@app.command()
def unset(ctx: typer.Context, name: Name) -> None:
    """Forget a setting of the data folder."""
    store(here(ctx).folder, name, None)
    say(f"{name} is no longer set in the data folder")

"""``trimtab config``: what is set, and where it was set."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from control_plane.cli import prices
from control_plane.cli.here import here
from control_plane.cli.output import Code, Format, Output, Refusal, emit_one, emit_rows, say
from control_plane.settings import coerce, named, shown, store, stored, value_of

app = typer.Typer(no_args_is_help=True, help="Read and change settings.")
app.add_typer(prices.app, name="prices")
Name = Annotated[str, typer.Argument(help="A setting, such as server.port.")]


@app.command("list")
def list_(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List every setting with its value and where that came from; secrets are not shown."""
    settings, sources = here(ctx).settings()
    rows = [
        {"name": s.name, "value": shown(s.name, value_of(settings, s.name)),
         "source": sources[s.name],
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
    told = {"name": name, "value": shown(name, value_of(settings, name)), "source": sources[name]}
    emit_one(told, output, lambda t: [str(t["value"])])


@app.command("set")
def set_(ctx: typer.Context, name: Name, value: Annotated[str, typer.Argument()]) -> None:
    """Keep a setting in the data folder; it holds from the next start."""
    place = here(ctx)
    kept = coerce(name, value, "command line")
    store(place.folder, name, kept)
    say(f"{name} is {json.dumps(shown(name, kept))} from the next start")


@app.command()
def unset(ctx: typer.Context, name: Name) -> None:
    """Forget a setting of the data folder."""
    place = here(ctx)
    if name not in stored(place.folder):
        raise Refusal(f"{name} is not set in the data folder", command="trimtab config list",
                      code=Code.NOT_FOUND)  # fmt: skip
    store(place.folder, name, None)
    say(f"{name} is no longer set in the data folder")

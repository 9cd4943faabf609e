"""``trimtab schedule``: playbooks that start by themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from control_plane.cli.here import KeyFile, here
from control_plane.cli.output import Format, Output, emit_one, emit_rows, say
from control_plane.clock import local, wall

app = typer.Typer(no_args_is_help=True, help="Look after playbooks that start by themselves.")
Name = Annotated[str, typer.Argument(help="The schedule's name.")]
Cron = Annotated[str, typer.Argument(help="Cron text, such as '*/15 * * * *'.")]
Zone = Annotated[str, typer.Option(help="Time zone of the cron text.")]


@app.command("list")
def list_(ctx: typer.Context, key_file: KeyFile = None, output: Output = Format.TABLE) -> None:
    """List schedules with their next time and last fire."""
    with here(ctx).client(key_file) as client:
        rows = client.schedules()
    emit_rows(rows, output, {
        "name": "name", "playbook": "playbook", "when": "text", "zone": "zone",
        "next": lambda s: local(s["next"][0]) if s["next"] else "paused",
        "last": lambda s: local(s["last"]["scheduled_for"]) if s["last"] else "",
        "state": lambda s: s["last"]["state"] if s["last"] else "",
    }, empty="no schedules")  # fmt: skip


@app.command()
def add(
    ctx: typer.Context, name: Name, cron: Cron,
    playbook: Annotated[str, typer.Argument(help="The playbook's catalogue path.")],
    zone: Zone = "UTC",
    set_: Annotated[list[str] | None, typer.Option("--set", help="An input: name=value.")] = None,
    input_: Annotated[Path | None, typer.Option("--input", exists=True, dir_okay=False)] = None,
    catch_up: Annotated[
        Literal["latest", "none", "all"], typer.Option(help="Which missed times are fired.")
    ] = "latest",
    overlap: Annotated[
        Literal["start", "skip"],
        typer.Option(help="While a run of it has not ended: start another, or skip the time."),
    ] = "start",
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Make or change a schedule."""
    from control_plane.cli.values import inputs

    with here(ctx).client(key_file) as client:
        declared = client.playbook(playbook)["inputs"]
        types = {entry["name"]: entry["type"] for entry in declared}
        view = client.set_schedule(
            name, cron, playbook, zone=zone, catch_up=catch_up, overlap=overlap,
            workload=inputs(set_ or (), input_, types),
        )  # fmt: skip
    emit_one(view, output, lambda v: [f"{v['name']}: {v['text']}", *map(local, v["next"])])


@app.command()
def remove(ctx: typer.Context, name: Name, key_file: KeyFile = None) -> None:
    """Remove a schedule; what it fired stays."""
    with here(ctx).client(key_file) as client:
        client.remove_schedule(name)
    say(f"{name} is removed")


@app.command()
def pause(ctx: typer.Context, name: Name, key_file: KeyFile = None) -> None:
    """Fire no more until it is resumed."""
    with here(ctx).client(key_file) as client:
        client.schedule(name, "pause")
    say(f"{name} is paused")


@app.command()
def resume(ctx: typer.Context, name: Name, key_file: KeyFile = None) -> None:
    """Fire again."""
    with here(ctx).client(key_file) as client:
        view = client.schedule(name, "resume")
    say(f"{name} fires next at {local(view['next'][0])}")


@app.command()
def fire(ctx: typer.Context, name: Name, key_file: KeyFile = None,
         output: Output = Format.TABLE) -> None:  # fmt: skip
    """Fire now, beside its times."""
    with here(ctx).client(key_file) as client:
        view = client.schedule(name, "fire")
    emit_one(view, output, lambda v: [f"{v['state']} {v['run']}{v['error']}"])


@app.command()
def next(
    cron: Cron, zone: Zone = "UTC",
    count: Annotated[int, typer.Option(min=1, max=100)] = 5, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Say when cron text would fire, before setting it."""
    from control_plane.cron import Cron as Parsed

    parsed = Parsed(cron, zone)
    told = {"cron": cron, "zone": zone, "text": parsed.text, "next": parsed.after(wall(), count)}
    emit_one(told, output, lambda t: [t["text"], *(local(at) for at in t["next"])])


@app.command()
def jobs(ctx: typer.Context, key_file: KeyFile = None, output: Output = Format.TABLE) -> None:
    """List what schedules fired, each with its run."""
    with here(ctx).client(key_file) as client:
        rows = client.jobs()
    emit_rows(rows, output, {
        "schedule": lambda j: j["fire"]["name"],
        "for": lambda j: local(j["fire"]["scheduled_for"]),
        "fire": lambda j: j["fire"]["state"],
        "run": lambda j: j["fire"]["run"],
        "state": lambda j: j["run"]["state"] if j["run"] else json.dumps(j["fire"]["error"]),
    }, empty="nothing was fired yet")  # fmt: skip

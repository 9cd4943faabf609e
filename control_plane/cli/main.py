"""``trimtab``: the front door.

Commands import what they need when they run, so that help is quick and a broken optional
part breaks only what uses it. Whatever is refused ends here, as a problem, a hint and an
exit code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from control_plane.cli import (
    config,
    cost,
    db,
    doctor,
    keys,
    loop,
    playbook,
    proposal,
    record,
    replay,
    run,
    schedule,
    serve,
    steer,
    tool,
    trends,
    what_if,
)
from control_plane.cli.here import Here
from control_plane.cli.output import Code, Refusal, told
from control_plane.cli.refusals import refusal_of
from control_plane.names import NameTaken, check_names
from control_plane.settings import choose_folder

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder; else TRIMTAB_DATA, ./.trimtab, the user's own."),
]

app = typer.Typer(
    name="trimtab", no_args_is_help=True, pretty_exceptions_enable=False,
    rich_markup_mode=None, add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Runs playbooks as replayable token flows, and tunes them with your approval.",
    epilog=(
        "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 refused, 5 conflict, 6 timed out, "
        "7 no server."
    ),
)  # fmt: skip


@app.callback()
def chosen(ctx: typer.Context, data: Data = None) -> None:
    """Choose the data folder."""
    ctx.obj = Here(*choose_folder(data, os.environ, Path.cwd()))


for verb in (
    replay.replay, replay.at, replay.fork, steer.retry, steer.pause, steer.resume, steer.cancel,
    steer.signal, steer.answer,
):  # fmt: skip
    run.app.command()(verb)
run.app.command("what-if")(what_if.what_if)
app.add_typer(run.app, name="run")
app.add_typer(playbook.app, name="playbook")
app.add_typer(tool.app, name="tool")
app.add_typer(proposal.app, name="proposal")
app.add_typer(loop.app, name="optimize")
app.add_typer(schedule.app, name="schedule")
app.add_typer(keys.app, name="keys")
app.add_typer(config.app, name="config")
app.add_typer(cost.app, name="cost")
app.add_typer(db.app, name="db")
app.command()(serve.dev)
app.command()(serve.serve)
app.command("sign-in")(serve.sign_in)
app.command()(serve.status)
app.command()(record.search)
app.command()(trends.trends)
app.command()(loop.kill)
app.command()(doctor.doctor)


@app.command(
    context_settings={
        "allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []
    },
)  # fmt: skip
def demo(ctx: typer.Context) -> None:
    """Play the whole loop on real work, in a data folder of its own (`demo --help` tells more)."""
    from control_plane.demo.__main__ import main as play

    raise typer.Exit(play(ctx.args))


def listed_whole(of: typer.Typer) -> None:
    """Have lists of commands say the first paragraph of each; left alone they cut it short."""
    for one in of.registered_commands:
        one.short_help = " ".join((one.callback.__doc__ or "").split("\n\n")[0].split())
    for group in of.registered_groups:
        if group.typer_instance is not None:
            group.short_help = group.typer_instance.info.help
            listed_whole(group.typer_instance)


listed_whole(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        check_names()
        app(hoisted(given), prog_name="trimtab")
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(int(Code.OK))
    except NameTaken as fault:
        sys.exit(told(Refusal(str(fault), hint=fault.hint)))
    except Exception as fault:
        refusal = refusal_of(fault)
        if refusal is None:
            raise
        sys.exit(told(refusal))


OWN_DATA: Final = (["demo"], ["optimize", "backtest"])
"""Commands whose ``--data`` is another folder than the one with runs."""


def hoisted(arguments: list[str]) -> list[str]:
    """Return the arguments with ``--data`` in front, wherever it stood.

    >>> hoisted(["run", "list", "--data", "d"])
    ['--data', 'd', 'run', 'list']
    """
    if any(arguments[: len(verb)] == verb for verb in OWN_DATA):
        return arguments
    front: list[str] = []
    rest = list(arguments)
    for i, word in enumerate(arguments):
        if word == "--data" and i + 1 < len(arguments):
            front, rest = arguments[i : i + 2], arguments[:i] + arguments[i + 2 :]
        elif word.startswith("--data="):
            front, rest = [word], arguments[:i] + arguments[i + 1 :]
        else:
            continue
        break
    return front + rest


if __name__ == "__main__":
    main()

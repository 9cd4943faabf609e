"""``trimtab optimize`` and ``kill``: start the loop by hand, stop what it changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from control_plane.cli.here import KeyFile, here
from control_plane.cli.output import Code, Format, Output, Refusal, Row, emit_one, say

if TYPE_CHECKING:
    from trimtab import Client

app = typer.Typer(no_args_is_help=True, help="Run the optimizer by hand.")


@app.command()
def once(
    ctx: typer.Context,
    timeout_s: Annotated[float, typer.Option(min=1, help="How long to wait.")] = 300.0,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Run one cycle: what history speaks for, as proposals, or why there are none."""
    with here(ctx).client(key_file, record=True) as client:
        line = client.optimize()
        say(f"run {line['run']} looks for what history speaks for")
        told = _cycle(client, line["run"], timeout_s)
    emit_one(told, output, _lines)
    waiting = [view["id"] for view in told["proposals"] if view["state"] == "proposed"]
    if waiting and output is Format.TABLE:
        say(f"next: trimtab proposal show {waiting[0]}")


def kill(
    ctx: typer.Context,
    scope: Annotated[str, typer.Argument(help="`*`, a playbook, or playbook#step.")] = "*",
    off: Annotated[bool, typer.Option("--off", help="Release it.")] = False,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Set the kill switch: approved values and experiments of the scope no longer count."""
    with here(ctx).client(key_file) as client:
        scopes = client.kill(scope, not off, reason)
    emit_one({"killed": scopes}, output, lambda t: [f"killed: {', '.join(t['killed']) or 'none'}"])


def _cycle(client: Client, run: str, timeout_s: float) -> dict[str, Any]:
    ended = client.wait(run, timeout_s)
    if ended["state"] != "completed":
        fault = ended["fault"] or {"message": ended["state"]}
        raise Refusal(
            f"the optimizer's run failed: {fault['message']}",
            command=f"trimtab run show {run}", code=Code.FAILED,
        )  # fmt: skip
    result = ended["result"] or {}
    proposals = client.drafted(run, len(result.get("candidates", ())))
    return {"run": run, "proposals": proposals, "reasons": result.get("reasons", [])}


def _lines(told: Row) -> Iterator[str]:
    for view in told["proposals"]:
        change = ", ".join(
            f"{line['knob']} {line['from']} → {line.get('to', line.get('values'))}"
            for line in view["diff"]
        )
        yield f"{view['id']}  {view['state']}  {view['playbook']}#{view['step']}  {change}"
    for reason in told["reasons"]:
        yield f"no proposal for {reason['scope']}: {reason['text']}"
    if not told["proposals"] and not told["reasons"]:
        yield "nothing is tunable yet: give a step a `tune` block, and run it a few times"

"""``trimtab cost``: what was spent, on what, and against which budgets."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import typer

from control_plane.cli.figures import bar, day_of, dollars
from control_plane.cli.here import KeyFile, here
from control_plane.cli.output import Format, Output, Row, emit_one, emit_rows, say
from control_plane.cli.run import RunId, find
from control_plane.clock import local, span
from control_plane.focus import Form
from control_plane.web.words import known

app = typer.Typer(no_args_is_help=True, help="See what was spent, and what is left of budgets.")
Month = Annotated[str, typer.Option(help="A month, such as 2026-11; without it this one.")]


@app.command()
def show(
    ctx: typer.Context, month: Month = "",
    playbook: Annotated[str, typer.Option(help="Keep one playbook.")] = "",
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Show what a month cost by playbook and step, and how much of it has a known price."""
    with here(ctx).client(key_file, record=True) as client:
        rows = client.costs(month, playbook)
    emit_rows(rows, output, {
        "playbook": lambda c: c["playbook"] or "(idle, nothing ran)", "step": "step",
        "cost": lambda c: dollars(c["cost_usd"]),
        "of it spend": lambda c: dollars(c["spend_usd"]), "tools reported": _reported,
        "idle beside": lambda c: dollars(c["idle_usd"]),
        "slot time": lambda c: span(c["slot_s"]),
        "attempts": lambda c: str(c["attempts"]),
        "price known": lambda c: known(c["slot_coverage"]),
    }, empty="nothing ran in that month")  # fmt: skip
    _in_all(rows, output, "step")


@app.command()
def days(
    ctx: typer.Context, month: Month = "",
    playbook: Annotated[str, typer.Option(help="Keep one playbook.")] = "",
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Show what each day of a month cost, and what slots cost that stood idle."""
    with here(ctx).client(key_file, record=True) as client:
        rows = client.cost_days(month, playbook)
    most = max((d["cost_usd"] + d["idle_usd"] for d in rows), default=0.0)
    emit_rows(rows, output, {
        "day": lambda d: day_of(d["day"]), "cost": lambda d: dollars(d["cost_usd"]),
        "of it spend": lambda d: dollars(d["spend_usd"]),
        "idle beside": lambda d: dollars(d["idle_usd"]),
        "attempts": lambda d: str(d["attempts"]),
        "price known": lambda d: known(d["slot_coverage"]),
        "": lambda d: bar(d["cost_usd"] + d["idle_usd"], most),
    }, empty="nothing ran in that month")  # fmt: skip
    _in_all(rows, output, "day")


@app.command("run")
def of_run(
    ctx: typer.Context, run: RunId, key_file: KeyFile = None, output: Output = Format.TABLE
) -> None:
    """Show what a run cost, with its share of slots that stood idle on its days."""
    place = here(ctx)
    with place.client(key_file, record=True) as client:
        cost = client.run_cost(find(place.runs(), run))
    emit_one(cost, output, _run_lines)


@app.command()
def export(
    ctx: typer.Context, month: Month = "",
    form: Annotated[Form, typer.Option("-o", "--output", help="csv or parquet.")] = "csv",
    key_file: KeyFile = None,
) -> None:  # fmt: skip
    """Write the costs of a month to standard output, in the columns of FOCUS."""
    with here(ctx).client(key_file, record=True) as client:
        sys.stdout.buffer.write(client.cost_export(month, form))


@app.command()
def budgets(ctx: typer.Context, key_file: KeyFile = None, output: Output = Format.TABLE) -> None:
    """Show every budget of `budgets.yaml` and what is used of it this month."""
    with here(ctx).client(key_file, record=True) as client:
        rows = client.budgets()
    emit_rows(rows, output, {
        "playbook": "playbook", "month": "month", "limit": lambda b: dollars(b["limit_usd"]),
        "spent": lambda b: dollars(b["spent_usd"]),
        "of it idle": lambda b: dollars(b["idle_usd"]),
        "used": lambda b: f"{b['used']:.0%}",
        "price known": lambda b: known(b["priced"]), "state": "state",
    }, empty="no budget; write budgets.yaml in the data folder")  # fmt: skip


@app.command()
def alerts(
    ctx: typer.Context, limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Show what was said of budgets and of steps slower than usual, the latest first."""
    with here(ctx).client(key_file) as client:
        rows = client.alerts(limit)
    emit_rows(rows, output, {
        "at": lambda a: local(a["at"]), "type": "type", "playbook": "playbook", "what": _what,
    }, empty="nothing was said")  # fmt: skip


def _run_lines(cost: Row) -> Iterator[str]:
    yield f"run        {cost['run']}"
    yield f"in all     {dollars(cost['cost_usd'] + cost['idle_usd'])}"
    yield f"attempts   {dollars(cost['cost_usd'])}, {cost['attempts']:,} of them"
    yield f"spend      {dollars(cost['spend_usd'])} {_reported(cost)}".rstrip()
    yield f"idle       {dollars(cost['idle_usd'])}, its share of the days on which it ran"
    yield f"slot time  {span(cost['slot_s'])}, {known(cost['slot_coverage'])} of it with a price"


def _in_all(rows: Sequence[Row], output: Format, by: Literal["step", "day"]) -> None:
    """Tell a person what the lines add up to, and how much of it is known."""
    if output is not Format.TABLE or not rows:
        return
    from control_plane.costs import DayCost, StepCost, coverage

    kind = StepCost if by == "step" else DayCost
    cost, idle = sum(r["cost_usd"] for r in rows), sum(r["idle_usd"] for r in rows)
    priced = coverage(kind(**row) for row in rows)
    say(
        f"in all {dollars(cost + idle)}, of it idle slots {dollars(idle)}; "
        f"{known(priced)} of slot time has a price"
    )


def _reported(cost: Row) -> str:
    """Say the tokens and calls that tools reported, where they did."""
    told = [(cost["tokens"], "tokens"), (cost["calls"], "calls")]
    return ", ".join(f"{n:,} {what}" for n, what in told if n)


def _what(alert: Row) -> str:
    if alert["type"] == "trend.shifted":
        word = "slower" if alert["slower"] else "faster"
        cause = f", after {alert['cause']}" if alert["cause"] else ""
        levels = f"{span(alert['before'])} to {span(alert['after'])}"
        return (
            f"{alert['step']} is {word} than usual: {levels} since {local(alert['since'])}{cause}"
        )
    return f"{dollars(alert['spent_usd'])} of {dollars(alert['limit_usd'])} in {alert['month']}"

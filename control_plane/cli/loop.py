"""``trimtab optimize`` and ``kill``: start the loop by hand, stop what it changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from control_plane.cli.backtest import show
from control_plane.cli.here import KeyFile, here
from control_plane.cli.output import (
    Code,
    Format,
    Output,
    Refusal,
    Row,
    emit_one,
    emit_rows,
    fitted,
    say,
)
from control_plane.cli.progress import counting
from control_plane.cli.study import simulate, study
from control_plane.writable import unwritable

if TYPE_CHECKING:
    from trimtab import Client

app = typer.Typer(no_args_is_help=True, help="Run the optimizer by hand.")


for verb in (study, simulate):
    app.command()(verb)


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
    emit_one(told, output, lambda t: (one for text in _lines(t) for one in fitted(text)))
    waiting = [view["id"] for view in told["proposals"] if view["state"] == "proposed"]
    if waiting and output is Format.TABLE:
        say(f"next: trimtab proposal show {waiting[0]}")


@app.command()
def calibrate(
    ctx: typer.Context,
    now: Annotated[bool, typer.Option("--now", help="Replay history first.")] = False,
    timeout_s: Annotated[float, typer.Option(min=1, help="How long to wait.")] = 600.0,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Say how stated chances came true on this installation's own history."""
    with here(ctx).client(key_file, record=True) as client:
        if now:
            run = client.calibrate()["run"]
            say(f"run {run} replays what the record holds")
            _ended(client, run, timeout_s)
        told = client.calibration()
    emit_one(told, output, _calibrated)


def _calibrated(told: Row) -> Iterator[str]:
    if not told:
        yield "nothing was calibrated yet: trimtab optimize calibrate --now"
        return
    yield f"{told['knob']}: {told['steps']} steps on {', '.join(told['settings']) or 'no class'}"
    for objective, text in told["says"].items():
        yield f"{objective}: {text}"
    yield f"version {told['id'][:12]}, run {told['run']}"


@app.command()
def pareto(
    ctx: typer.Context,
    step: Annotated[str, typer.Argument(help="A playbook's step: playbook#step.")],
    p95: Annotated[
        str, typer.Option(help="What an attempt's p95 must keep, such as 2s; else the step's.")
    ] = "",
    success: Annotated[
        float | None, typer.Option(min=0, max=1, help="The least share of successes.")
    ] = None,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Show which settings of a step are worth having by cost, time and failures."""
    from optimizer.pareto import Bounds, front, points, priced

    path, hash_, name = step.partition("#")
    if not (path and hash_ and name):
        raise Refusal(f"{step} names no step", command="trimtab playbook list", code=Code.USAGE)
    with here(ctx).client(key_file, record=True) as client:
        slo = _slo(client.playbook(path), name)
        table = client.history("attempts", playbook=path, step=name)
    bounds = Bounds(
        _seconds(p95) if p95 else slo.get("p95_s"),
        success if success is not None else slo.get("success"),
    )
    rows = [one.to_json() for one in front(points(table), bounds)]
    emit_rows(rows, output, {
        "hardware": "hardware", "batch": "batch_size", "in flight": "in_flight",
        "attempts": "attempts",
        "dollars an item" if priced(table) else "slot s an item": lambda r: f"{r['cost']:.3g}",
        "p95": lambda r: f"{r['p95_s']:.3g}s", "fails": lambda r: f"{r['failures']:.1%}",
        "stands": lambda r: r["standing"].replace("_", " "),
    }, empty=f"the record holds no attempt of {step}")  # fmt: skip
    if rows and not priced(table):
        say("some attempts have no cost: slot seconds stand for it")


def _seconds(text: str) -> float:
    from runtime.playbook.units import DURATION_HINT, duration_s

    seconds = duration_s(text)
    if seconds is None:
        raise Refusal(f"{text!r} is no duration: {DURATION_HINT}", code=Code.USAGE)
    return seconds


def _slo(playbook: Row, step: str) -> Row:
    """What the step is meant to keep, as its playbook says."""
    known = {str(one["name"]): one for one in playbook["steps"]}
    if step not in known:
        raise Refusal(
            f"{playbook['path']} has no step {step}: it has {', '.join(known)}",
            code=Code.NOT_FOUND,
        )
    return known[step].get("slo") or {}


@app.command()
def backtest(
    ctx: typer.Context,
    data: Annotated[Path, typer.Option(help="The folder above the data sets.", exists=True)],
    sets: Annotated[str, typer.Option(help="Data sets, with commas between; else all.")] = "",
    methods: Annotated[str, typer.Option(help="Methods, with commas between; else all.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Searches of a table by a method.")] = 30,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two seeds, a sample of the rest: about a minute.")
    ] = False,
    kept: Annotated[
        Path | None, typer.Option(help="Where finished jobs are kept; else in the data folder.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    noise: Annotated[
        bool, typer.Option("--noise", help="Outcomes as noisy as measured runs are.")
    ] = False,
    same_family: Annotated[
        bool, typer.Option("--same-family", help="History holds the same program, other inputs.")
    ] = False,
    output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Run the optimizer on measured tables, beside what everybody could use instead.

    What the figures mean, and where public tables are found:
    docs/reference/optimizer-results.md.
    """
    from optimizer.backtest.command import NoSuchMethod, run, sampled
    from optimizer.backtest.datasets import NoData, UnknownDataset

    kept = kept or here(ctx).folder.root / "backtest.jsonl"
    if fault := unwritable(kept):
        raise Refusal(f"finished jobs cannot be kept in {kept}: {fault}",
                      hint="--kept FILE names another place", code=Code.USAGE)  # fmt: skip
    try:
        with counting("jobs") as progress:
            found = run(
                data, _listed(sets), _listed(methods), seeds=seeds, quick=quick, kept=kept,
                workers=workers, progress=progress, noise=noise, same_family=same_family,
            )  # fmt: skip
    except KeyboardInterrupt:
        say(f"finished jobs are kept in {kept}; the same command goes on from them")
        raise
    except (NoData, NoSuchMethod, UnknownDataset) as error:
        raise Refusal(str(error), code=Code.USAGE) from error
    if output is not Format.TABLE:
        emit_rows(found, output, {})
        return
    show(found)
    if quick:
        searches = [row for row in found if row.get("kind", "search") == "search"]
        say(sampled(searches))


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


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


def _ended(client: Client, run: str, timeout_s: float) -> dict[str, Any]:
    """Wait for a run of the optimizer's; a run that failed is a refusal."""
    ended = client.wait(run, timeout_s)
    if ended["state"] != "completed":
        fault = ended["fault"] or {"message": ended["state"]}
        raise Refusal(
            f"the optimizer's run failed: {fault['message']}",
            command=f"trimtab run show {run}", code=Code.FAILED,
        )  # fmt: skip
    return ended["result"] or {}


def _cycle(client: Client, run: str, timeout_s: float) -> dict[str, Any]:
    result = _ended(client, run, timeout_s)
    proposals = client.drafted(run, len(result.get("candidates", ())))
    return {"run": run, "proposals": proposals, "reasons": result.get("reasons", [])}


def _lines(told: Row) -> Iterator[str]:
    from optimizer.knobs import change_said

    for view in told["proposals"]:
        change = ", ".join(change_said(line) for line in view["diff"])
        yield f"{view['id']}  {view['state']}  {view['playbook']}#{view['step']}  {change}"
        if view["state"] != "proposed" and view.get("reason_words"):
            yield f"  {view['reason_words']}"
    for reason in told["reasons"]:
        yield f"no proposal for {reason['scope']}: {reason['text']}"
    if not told["proposals"] and not told["reasons"]:
        yield "nothing is tunable yet: give a step a `tune` block, and run it a few times"

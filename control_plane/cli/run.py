"""``trimtab run``: start a run of a file or a registered playbook; or a verb on runs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from control_plane.cli.ending import fault_lines, tell
from control_plane.cli.figures import dollars
from control_plane.cli.here import KeyFile, here
from control_plane.cli.output import (
    Code,
    Format,
    Output,
    Refusal,
    Row,
    emit_one,
    emit_rows,
    leave,
    say,
)
from control_plane.cli.progress import hours_text, progress_text
from control_plane.clock import local, span

Pairs = Annotated[list[str] | None, typer.Option("--set", help="An input, as name=value.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--override", help="A knob for this run alone, as step.knob=value."),
]
Labels = Annotated[list[str] | None, typer.Option("--label", help="A label, as name=value.")]
InputFile = Annotated[
    Path | None,
    typer.Option("--input", help="JSON file with inputs.", exists=True, dir_okay=False),
]
RunId = Annotated[str, typer.Argument(help="The run's id, or enough of its start or end.")]


class _Runs(TyperGroup):
    """Takes a file or path as its first word, unless that is a verb."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["start", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Runs, no_args_is_help=True,
    help="Start a run: `trimtab run FILE|PATH [--set name=value]`; or look after runs.",
)  # fmt: skip


@app.command("start")
def start(
    ctx: typer.Context,
    target: Annotated[str, typer.Argument(help="A playbook's file, or its catalogue path.")],
    set_: Pairs = None,
    input_: InputFile = None,
    override: Overrides = None,
    label: Labels = None,
    version: Annotated[str | None, typer.Option(help="Version: number or hash.")] = None,
    key: Annotated[str | None, typer.Option(help="Idempotency key of the run.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
    key_file: KeyFile = None,
    output: Output = Format.TABLE,
) -> None:
    """Start a run and wait for it (the word `start` may be left out).

    With a server on this data folder the run is submitted there; else it runs here, with
    the same engine and journal.
    """
    from control_plane.cli.running import Wanted, run_here, run_there

    wanted = Wanted(
        target, list(set_ or ()), input_, list(override or ()), list(label or ()), version, key,
        detach,
    )  # fmt: skip
    place = here(ctx)
    url = place.server()
    if url is not None:
        view = run_there(place, url, place.key(key_file), wanted)
    elif detach:
        raise Refusal(
            "there is no server to leave a run with", command="trimtab dev", code=Code.UNREACHABLE
        )
    else:
        view = run_here(place, wanted)
    code = tell(view, output)
    if code is not Code.OK:
        leave(code)


@app.command("list")
def list_(
    ctx: typer.Context,
    state: Annotated[
        str | None,
        typer.Option(help="Keep one state; `live` is not ended, `waiting` for hours of the day."),
    ] = None,
    playbook: Annotated[str | None, typer.Option(help="Keep one playbook.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="With the system's own runs.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
    output: Output = Format.TABLE,
) -> None:
    """List runs, the newest first."""
    runs = here(ctx).runs()
    rows = runs.page(state=state, playbook=playbook, system=None if all_ else False, limit=limit)
    emit_rows(rows, output, {
        "run": "run", "playbook": lambda r: f"{r['playbook']}@{r['number']}",
        "state": lambda r: _state(r, short=True),
        "started": lambda r: local(r["started_at"] or r["submitted_at"]),
        "took": lambda r: span(r["wall_s"]), "by": "actor",
    }, empty="no runs")  # fmt: skip


@app.command()
def show(ctx: typer.Context, run: RunId, output: Output = Format.TABLE) -> None:
    """Show a run with its steps, result and fault; with a server here, how far it is."""
    place = here(ctx)
    runs = place.runs()
    found = find(runs, run)
    view, url = runs.get(found), place.server()
    if view.ended_at is None and url is not None:
        from trimtab import Client

        with Client(url, place.key()) as client:
            emit_one(client.run(found), output, _lines)
        return
    emit_one(view, output, _lines)


@app.command()
def events(
    ctx: typer.Context, run: RunId,
    after: Annotated[int, typer.Option(help="Only past this sequence.")] = 0,
    output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """List the events of a run, in order."""
    runs = here(ctx).runs()
    emit_rows(runs.events(find(runs, run), after), output, _EVENT_COLUMNS)


@app.command()
def watch(
    ctx: typer.Context, run: RunId,
    after: Annotated[int, typer.Option(help="Only past this sequence.")] = 0,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Follow a run until it ends. Needs the server that runs it."""
    place = here(ctx)
    found = find(place.runs(), run)
    with place.client(key_file) as client:
        for event in client.watch(found, after, _say_progress):
            if output is Format.TABLE:
                typer.echo(f"{event['seq']:>6}  {local(event['at'])}  {_event_text(event)}")
            else:
                typer.echo(json.dumps(event))
        ended = client.run(found)
    say(f"run {found} {ended['state']}")
    if ended["state"] != "completed":
        leave(Code.FAILED)


_EVENT_COLUMNS = {
    "seq": "seq", "at": lambda e: local(e["at"]), "event": "type",
    "about": lambda e: _about(e),
}  # fmt: skip
_TOLD = ("name", "step", "attempt", "outcome", "kind", "state", "actor", "product", "reason")


def _say_progress(said: Row) -> None:
    say(f"{said['step']}: {progress_text(said)}")


def _event_text(event: Row) -> str:
    return f"{event['type']:<20}  {_about(event)}".rstrip()


def _about(event: Row) -> str:
    """The facts of an event that a person looks for; a try is named without its run."""
    body = event["body"]
    facts = {name: body[name] for name in _TOLD if body.get(name) not in (None, "")}
    if "attempt" in facts:
        facts.pop("step", None)
        facts["attempt"] = str(facts["attempt"]).partition("/")[2]
    said = [f"{name}={value}" for name, value in facts.items()]
    if event["type"] == "step.held":
        said.append(hours_text(body))
    fault = body.get("fault")
    if fault:
        said.append(f"{fault['cls']}: {(fault['message'].splitlines() or [''])[0]}")
    return " ".join(said)


def find(runs: Any, part: str) -> str:
    """Return the one run whose id is, starts with or ends with these characters."""
    if len(part) == 32:
        return part
    recent = [row.run for row in runs.page(system=None, limit=10_000)]
    matching = [run for run in recent if run.startswith(part) or run.endswith(part)]
    if len(matching) == 1:
        return str(matching[0])
    if matching:
        raise Refusal(f"{len(matching)} runs match {part!r}", hint="give more of the id")
    raise Refusal(f"there is no run {part!r}", command="trimtab run list", code=Code.NOT_FOUND)


def _lines(view: Row) -> Iterable[str]:
    yield f"run        {view['run']}"
    yield f"playbook   {view['playbook']} version {view['number']} ({view['version'][:12]})"
    yield f"state      {_state(view)}"
    yield f"submitted  {local(view['submitted_at'])} by {view['actor']}"
    if view["wall_s"] is not None:
        yield f"took       {span(view['wall_s'])}"
    if view["cost_usd"] is not None:
        yield f"cost       {dollars(view['cost_usd'])}"
    if view["labels"]:
        yield f"labels     {' '.join(f'{k}={v}' for k, v in view['labels'].items())}"
    if view["workload"]:
        yield f"inputs     {json.dumps(view['workload'])}"
    yield from _kin(view)
    yield ""
    for step in view["steps"]:
        yield _step_line(step)
    for said in view.get("progress", ()):
        yield f"  {said['step']}: {progress_text(said)}"
    for step in view["steps"]:
        yield from _what_helps(view["run"], step)
    for product in view["products"]:
        yield f"published  {product['product']} version {product['number']}: {product['location']}"
    if view["state"] == "failed":
        yield from fault_lines(view)
        yield f"next: trimtab run retry {view['run']}"
    elif view["result"] is not None:
        yield f"result     {json.dumps(view['result'], default=str)[:2000]}"


def _state(run: Row, *, short: bool = False) -> str:
    """The run's state; of one that waits for hours of the day, until when.

    ``short`` leaves the year and the seconds out.
    """
    held = run.get("waits")
    if not held:
        return str(run["state"])
    due = local(held["due"])
    return f"waiting until {due[5:16] if short else due}"


def _kin(view: Row) -> Iterator[str]:
    """The run that this one goes on from, and those that go on from it."""
    if view["forked"]:
        steps = (view["retried"] or {}).get("steps")
        how = f"again from {', '.join(steps)}" if steps else f"from event {view['forked']['seq']}"
        yield f"goes on    {how} of run {view['forked']['run']}"
    for run in view["forks"]:
        yield f"gone on    in run {run}"


def _step_line(step: Row) -> str:
    took = (step["ended_at"] or time.time()) - (step["started_at"] or time.time())
    said = [_how_many(step), _waits(step), _held(step), _ended_by(step)]
    said += [f"{name}={it}" for name, it in step["knobs"].items() if name.startswith("each")]
    state = "waiting" if _for_hours(step) else step["state"]
    line = f"  {step['name']:<16} {state:<10} {span(took):>8}  "
    return (line + "  ".join(filter(None, said))).rstrip()


def _for_hours(step: Row) -> bool:
    """Whether it has begun and waits for its hours of the day."""
    return step["state"] == "running" and (step.get("waits") or {}).get("kind") == "hours"


def _how_many(step: Row) -> str:
    """Items, batches and tries, where there were any."""
    items = f"{step['items_done']}/{step['items']} items in {step['batches']} batches, "
    parts = items if step["batches"] > 1 or step["items"] > 1 else ""
    failed = f" ({step['failed_attempts']} failed)" if step["failed_attempts"] else ""
    if not (parts or step["attempts"]):
        return ""
    over = f", {step['over_budget']} over the retry budget" if step.get("over_budget") else ""
    return f"{parts}{step['attempts']} attempt{'' if step['attempts'] == 1 else 's'}{failed}{over}"


def _ended_by(step: Row) -> str:
    fault = step["fault"] if step["state"] == "failed" else None
    return str(fault["cls"]) if fault else ""


def _held(step: Row) -> str:
    """How long of its time it has waited for its hours of the day."""
    return f"waited {span(step['held_s'])} for its hours" if step.get("held_s") else ""


def _waits(step: Row) -> str:
    """What a step waits for that no worker does."""
    tool = step.get("waits") if step["state"] == "running" else None
    if tool is None:
        return ""
    match tool["kind"]:
        case "signal":
            return f"waits for the signal {tool['name']}"
        case "approval":
            return f"asks: {tool['prompt']}"
        case "playbook":
            return f"waits for a run of {tool['path']}"
        case "hours":
            return hours_text(tool)
        case _:
            return "waits for its time"


def _what_helps(run: str, step: Row) -> Iterator[str]:
    """The command that lets a step go on which waits for somebody."""
    tool = step.get("waits") if step["state"] == "running" else None
    if tool is not None and tool["kind"] == "signal":
        yield f"next: trimtab run signal {run} {tool['name']} [VALUE]"
    elif tool is not None and tool["kind"] == "approval":
        yield f"next: trimtab run answer {run} {step['name']} --yes (or --no)"

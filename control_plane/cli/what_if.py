"""``trimtab run what-if``: what a run would have taken under other knob values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from control_plane.cli.here import here
from control_plane.cli.output import Code, Format, Output, Refusal, Row, emit_one, leave, say
from control_plane.cli.run import RunId, find
from control_plane.clock import span

Knobs = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        "--override",
        help="A knob as step.knob=value, such as fetch.each.batch=200.",
    ),
]


def what_if(
    ctx: typer.Context, run: RunId, set_: Knobs = None,
    alone: Annotated[bool, typer.Option("--alone", help="Learn from this run only.")] = False,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answer.")] = 1,
    output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Estimate what a run would have taken under other knob values; nothing is run."""
    from control_plane.cli.values import overrides
    from control_plane.what_if import HISTORY, ask
    from optimizer.knobs import UnknownKnob
    from optimizer.seeded import seeded
    from optimizer.simulate.question import BadChange
    from runtime.journal.sqlite import SqliteReader

    place = here(ctx)
    found = find(place.runs_here(), run)
    changes = overrides(set_ or (), "--set step.knob=value")
    settings, _ = place.settings()
    journal = SqliteReader.open(place.folder.journal)
    try:
        answer = ask(
            journal, found, changes, seeded(seed),
            history=0 if alone else HISTORY, slots=settings.workers.slots,
        )  # fmt: skip
    except (BadChange, UnknownKnob) as fault:
        raise Refusal(str(fault), hint="--set step.knob=value", code=Code.USAGE) from None
    finally:
        journal.close()
    shown = answer.to_json()
    if shown["kind"] == "estimate":
        emit_one(shown, output, _lines)
        return
    emit_one(shown, output, lambda _: ())
    say(f"cannot say ({shown['why']}): {shown['text']}")
    leave(Code.REFUSED)


def _lines(told: Row) -> Iterator[str]:
    yield f"estimate for run {told['run']} of {told['playbook']}; nothing was run"
    for step, knobs in told["changes"].items():
        yield f"  with {', '.join(f'{step}.{k}={json.dumps(v)}' for k, v in knobs.items())}"
    yield ""
    yield f"recorded   {span(told['recorded_makespan_s'])}"
    change = "{median:+.0%} ({lower:+.0%} to {upper:+.0%})".format(**told["makespan_delta"])
    yield f"estimate   {_spans(told['makespan_s'])}: {change}"
    if told["cost_usd"] is not None:
        cost = told["cost_usd"]
        yield f"cost       ${cost['median']:.6f} (${cost['lower']:.6f} to ${cost['upper']:.6f})"
    yield f"failed     {told['items_failed']['median']:.0f} items"
    if told["fails"]:
        yield f"           {told['fails']:.0%} of the replays fail"
    yield f"calibrated replayed as it was, the run comes out {told['calibration_error']:.1%} off"
    yield ""
    for step in told["steps"]:
        recorded = span(step["recorded_span_s"])
        yield f"  {step['step']:<16} {recorded:>8} recorded, {_spans(step['span_s'])}"
    yield ""
    yield f"assumes ({told['draws']} replays, {told['runs_of_history']} other runs):"
    for text in told["assumptions"]:
        yield f"  * {text}"


def _spans(band: dict[str, Any]) -> str:
    return f"{span(band['median'])} ({span(band['lower'])} to {span(band['upper'])})"

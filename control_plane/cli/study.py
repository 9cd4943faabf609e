"""``trimtab optimize study`` and ``simulate``: what it thinks of a step, what would come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from control_plane.cli.here import Here, KeyFile, here
from control_plane.cli.output import Code, Format, Output, Refusal, Row, emit_one, emit_rows, say
from control_plane.cli.progress import counting

if TYPE_CHECKING:
    from control_plane.rehearsing import Joint

Step = Annotated[str, typer.Argument(help="A step, as playbook#step.")]


def study(
    ctx: typer.Context, step: Step,
    seed: Annotated[str, typer.Option(help="The same seed gives the same answer.")] = "study",
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Show one step's whole reasoning: evidence, models, what would change its mind."""
    from agents.loop import study as reasoned
    from runtime.record.history import History

    place = here(ctx)
    with place.client(key_file, record=True) as client:
        given = client.optimizer_inputs()
        scope = _scope(given, step)
        say(f"reading what the record holds of {step}")
        history = History.open(place.folder)
        try:
            history.await_caught_up({int(w): int(pos) for w, pos in given["cursor"].items()})
            told = reasoned(history, given, scope, seed)
        finally:
            history.close()
    if told is None:
        raise Refusal(
            f"the record holds no batch of {step}", hint="run its playbook a few times",
            code=Code.REFUSED,
        )  # fmt: skip
    emit_one(told, output, _reasons)


def simulate(
    ctx: typer.Context,
    what: Annotated[str, typer.Argument(help="A proposal's id, or playbook#step.")],
    run: Annotated[str | None, typer.Option(help="The run to replay; else the latest.")] = None,
    trials: Annotated[int, typer.Option(min=2, help="Of a step: settings to try.")] = 12,
    most: Annotated[
        int | None, typer.Option(min=1, help="Of a step: the most that batch x in_flight may be.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answer.")] = 1,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Replay a run under a proposal's values, or search a step's knobs; nothing is run."""
    place = here(ctx)
    with place.client(key_file) as client:
        if "#" in what:
            joint = _joint(place, _scope(client.optimizer_inputs(), what), run, most, seed)
            with counting("settings") as progress:
                rows = joint.search(trials, progress)
        else:
            view = client.proposal(what)
            joint = _joint(place, {**view, "tune": [], "stable": {}}, run, None, seed)
            rows = [joint.tried(values) for values in _values(view["diff"])]
    emit_rows(rows, output, {
        "setting": "setting", "makespan": _band("makespan_delta"), "cost": _band("cost_delta"),
        "failed": lambda row: "" if row["failed"] is None else f"{row['failed']:.0f} items",
        "cannot say": "cannot_say",
    }, empty="the step declares no knob that is simulated")  # fmt: skip
    say(f"estimates from run {joint.run}; nothing was run")
    if "#" in what and rows:
        say("the line of the setting in use shows how far the simulator is from what was recorded")


def _joint(
    place: Here, scope: Mapping[str, Any], run: str | None, most: int | None, seed: int
) -> Joint:
    from control_plane.rehearsing import Joint, latest
    from runtime.journal.sqlite import SqliteReader

    journal = SqliteReader.open(place.folder.journal)
    found = run or latest(journal, str(scope["playbook"]))
    if found is None:
        raise Refusal(
            f"no run of {scope['playbook']} has completed", hint="run it once", code=Code.REFUSED
        )
    settings, _ = place.settings()
    return Joint(journal, place.folder.trials, scope, found, settings.workers.slots, most, seed)


def _scope(given: Mapping[str, Any], step: str) -> Mapping[str, Any]:
    for scope in given["scopes"]:
        if f"{scope['playbook']}#{scope['step']}" == step:
            return dict(scope)
    known = ", ".join(f"{s['playbook']}#{s['step']}" for s in given["scopes"]) or "none"
    raise Refusal(
        f"{step} is no step that may be tuned; there are: {known}", code=Code.NOT_FOUND,
        hint="give the step a `tune` block and register its playbook",
    )  # fmt: skip


def _values(diff: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    if len(diff) == 1 and "values" in diff[0]:
        yield from ({diff[0]["knob"]: value} for value in diff[0]["values"])
    else:
        yield {line["knob"]: line["to"] for line in diff}


def _band(key: str) -> Any:
    def said(row: Row) -> str:
        band = row[key]
        return (
            "" if band is None else "{median:+.0%} ({lower:+.0%} to {upper:+.0%})".format(**band)
        )

    return said


def _reasons(told: Row) -> Iterator[str]:
    quality = told["data_quality"]
    yield f"{told['scope']}: {told['batches']:,} batches, less {told['objective']} is better"
    yield (
        f"  attempts {quality['attempts']:,}, put aside: {quality['impossible']} impossible, "
        f"{quality['duplicates']} told twice, {quality['excluded']} excluded; "
        f"{quality['cost_coverage']:.0%} have a cost"
    )
    if quality["before_regime"]:
        yield (
            f"  an item took another time before: {quality['before_regime']:,} batches are left "
            f"out (x{quality['regime_factor']:.2f} since)"
        )
    for knob in told["knobs"]:
        yield ""
        yield from _knob(knob)
    yield ""
    found = told["proposal"]
    yield f"proposes: {found['note']}" if found else "proposes nothing"


def _knob(knob: Row) -> Iterator[str]:
    yield f"{knob['knob']} (now {knob['stable']}): {knob['answer']}"
    yield f"  {knob['text']}"
    model = knob["model"] or {}
    for value in model.get("values", ()):
        yield (
            f"  {value['value']:>8}: {value['batches']:,} batches, "
            f"{value['seconds_per_item']:.4g} s an item, {value['retried_share']:.0%} tried again"
        )
    for effect in model.get("effects", ()):
        yield (
            f"  {effect['value']:>8}: {effect['median']:+.1%} predicted "
            f"({effect['lower']:+.1%} to {effect['upper']:+.1%})"
        )
    for value, why in model.get("harmful", {}).items():
        yield f"  {value:>8}: harmful, {why}"
    for value, guess in model.get("expected", {}).items():
        yield f"  {value:>8}: the curve expects {guess:+.0%}"
    causal = ((knob["candidate"] or {}).get("evidence") or {}).get("causal") or {}
    if "e_value" in causal:
        low, high = causal["interval"]
        yield (
            f"  evidence: {causal['adjusted']:+.1%} ({low:+.1%} to {high:+.1%}) compared "
            f"{causal['method']}, {causal['naive']:+.1%} unadjusted"
        )
        yield f"  known as by a fair trial of {causal['effective']:.0f} batches a side"
    for text in knob["would_change_it"]:
        yield f"  it would think otherwise with {text}"

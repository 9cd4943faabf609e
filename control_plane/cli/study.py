"""``trimtab optimize study`` and ``simulate``: what it thinks of a step, what would come of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from control_plane.cli.here import Here, KeyFile, here
from control_plane.cli.output import (
    Code,
    Format,
    Output,
    Refusal,
    Row,
    emit_one,
    emit_rows,
    fitted,
    many,
    say,
)
from control_plane.cli.progress import counting
from optimizer.scope import step_named

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
    emit_one(told, output, lambda t: (one for text in _reasons(t) for one in fitted(text)))


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
        if step_named(scope) == step:
            return dict(scope)
    known = ", ".join(step_named(s) for s in given["scopes"]) or "none"
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
    yield (
        f"{told['scope']}: {many(told['batches'], 'batch', 'batches')} finished; the objective "
        f"is less {told['objective']} per item"
    )
    aside = {
        "with impossible times": quality["impossible"], "told twice": quality["duplicates"],
        "of candidates or overrides": quality["excluded"],
    }  # fmt: skip
    left = ", ".join(f"{n:,} {what}" for what, n in aside.items() if n) or "none"
    yield (
        f"  {many(quality['attempts'], 'attempt')} read, left out: {left}; "
        f"{quality['cost_coverage']:.0%} of them have a cost"
    )
    if quality["before_regime"]:
        yield (
            f"  an item takes x{quality['regime_factor']:.2f} of what it took before some run: "
            f"{many(quality['before_regime'], 'batch', 'batches')} from before are left out"
        )
    for knob in told["knobs"]:
        yield ""
        yield from _knob(knob)
    yield ""
    yield from _proposed(told["proposal"])


def _proposed(found: Row | None) -> Iterator[str]:
    from optimizer.knobs import change_said

    if found is None:
        yield "it proposes nothing now: the reasons stand with each knob above"
        return
    change = ", ".join(change_said(line) for line in found["diff"])
    kind = "a trial, for history cannot say" if found["kind"] == "experiment" else "a change"
    yield f"it proposes {kind}: {change}"
    yield f"  {found['note']}"


def _knob(knob: Row) -> Iterator[str]:
    from optimizer.knobs import said

    name, answer = knob["knob"], ANSWERS.get(knob["answer"], knob["answer"])
    yield f"{name}, now {said(name, knob['stable'])}: {answer}"
    yield f"  {knob['text']}"
    model = knob["model"] or {}
    for value in model.get("values", ()):
        yield (
            f"  {value['value']:>8}: {many(value['batches'], 'batch', 'batches')} ran, "
            f"{value['seconds_per_item']:.4g} s an item, "
            f"{value['retried_share']:.0%} failed at the first try"
        )
    predicted = {str(effect["value"]) for effect in model.get("effects", ())}
    for effect in model.get("effects", ()):
        yield (
            f"  {effect['value']:>8}: {effect['median']:+.1%} {model['objective']} per item "
            f"predicted ({effect['lower']:+.1%} to {effect['upper']:+.1%}, 90%)"
        )
    for value, why in model.get("harmful", {}).items():
        yield f"  {value:>8}: harmful, {why}"
    for value, guess in model.get("expected", {}).items():
        if value not in predicted:  # what was measured needs no guess
            yield f"  {value:>8}: {guess:+.0%} guessed by the curve through the others"
    causal = ((knob["candidate"] or {}).get("evidence") or {}).get("causal") or {}
    if "e_value" in causal:
        low, high = causal["interval"]
        yield (
            f"  evidence: {causal['adjusted']:+.1%} ({low:+.1%} to {high:+.1%}) compared "
            f"{causal['method']}, {causal['naive']:+.1%} unadjusted"
        )
        fair = many(round(causal["effective"]), "batch", "batches")
        yield f"  that is as sure as a fair trial with {fair} a side"
    for number, text in enumerate(knob["would_change_it"]):
        yield f"  {'or' if number else 'its mind would be changed by'} {text}"


ANSWERS: Final = {
    "change": "a change is worth it", "experiment": "only a trial can tell",
    "not_worthwhile": "nothing better is known", "too_little_history": "too little history",
    "history_cannot_say": "history cannot say", "unprovable": "a gain too small to prove",
    "too_uncertain": "likely a gain, of unknown size", "step_too_large": "too far for one step",
    "no_history": "no history", "breaks_slo": "it would break what is promised",
    "not_tunable": "not tunable", "cost_coverage": "too few attempts have a cost",
    "run_too_small": "its runs are too small for a trial", "live": "a proposal is under way",
    "effect_once": "not tuned, its effect happens once", "data_quality": "the data are doubtful",
}  # fmt: skip
"""What the optimizer's answers are called; in JSON they are codes."""

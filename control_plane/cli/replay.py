"""``trimtab run replay|at|fork``: a run folded again, looked into, gone on from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from control_plane.cli.here import KeyFile, here
from control_plane.cli.output import Code, Format, Output, Refusal, Row, emit_one, leave, say
from control_plane.cli.run import Pairs, RunId, find

if TYPE_CHECKING:
    from runtime.run.replay import Replayed

Seq = Annotated[int, typer.Option("--seq", help="The event, by its number in the run.")]


def replay(ctx: typer.Context, run: RunId, output: Output = Format.TABLE) -> None:
    """Fold a run's events again and prove that every marking comes out the same."""
    found = _fold(ctx, run)
    emit_one(_told(found), output, _replay_lines)
    if found.equal is False:
        leave(Code.FAILED)


def at(ctx: typer.Context, run: RunId, seq: Seq, output: Output = Format.TABLE) -> None:
    """Show tokens, steps and values of a run as they were after one of its events."""
    found = _fold(ctx, run, seq)
    if found.events < seq:
        raise Refusal(
            f"run {found.state.run} has the events 1 to {found.events}",
            hint=f"trimtab run events {found.state.run}", code=Code.NOT_FOUND,
        )  # fmt: skip
    emit_one(_state(found), output, _state_lines)


def fork(
    ctx: typer.Context, run: RunId,
    at_: Annotated[int, typer.Option("--at", help="Go on from this event of the run.")],
    set_: Pairs = None,
    version: Annotated[str | None, typer.Option(help="Go on with this version.")] = None,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Go on from any event of a run as a new one, with other inputs or code if wanted."""
    from control_plane.cli.values import inputs

    place = here(ctx)
    old = find(place.runs(), run)
    with place.client(key_file) as client:
        line = client.fork(old, at_, inputs(set_ or (), None, {}), version=version)
    emit_one(line, output, lambda row: [f"run {row['run']} goes on from event {at_} of {old}"])
    say(f"next: trimtab run watch {line['run']}")


def _fold(ctx: typer.Context, run: str, until: int | None = None) -> Replayed:
    from runtime.journal.sqlite import SqliteReader
    from runtime.net.compile import compile_net
    from runtime.playbook.bundle import load_text
    from runtime.run.events import PlaybookRegistered
    from runtime.run.replay import replay as fold

    place = here(ctx)
    found = find(place.runs_here(), run)
    journal = SqliteReader.open(place.folder.journal)
    try:
        row = journal.run(found)
        if row is None:
            raise Refusal(f"no run has the id {found}", code=Code.NOT_FOUND)
        for stored in journal.read(f"playbook/{row.playbook}"):
            event = stored.event
            if isinstance(event, PlaybookRegistered) and event.version == row.version:
                net = compile_net(load_text(event.source, event.files).playbook)
                return fold(found, net, journal.read(f"run/{found}"), until)
        raise Refusal(f"{row.playbook} version {row.number} is not in the journal")
    finally:
        journal.close()


def _told(found: Replayed) -> dict[str, Any]:
    return {
        "run": found.state.run, "state": found.state.status, "events": found.events,
        "trace": found.trace, "recorded": found.recorded, "equal": found.equal,
    }  # fmt: skip


def _replay_lines(told: Row) -> Iterator[str]:
    yield f"run {told['run']}: {told['events']} events folded again, {told['state']}"
    yield f"trace      {told['trace']}"
    if told["equal"] is None:
        yield "recorded   none: the run has not ended, or is older than traces"
    else:
        yield f"recorded   {told['recorded']}"
        yield "equal      yes" if told["equal"] else "equal      NO: this is not the run that ran"


def _state(found: Replayed) -> dict[str, Any]:
    state = found.state
    steps = {
        name: {"status": step.status, "value": step.value, "times": step.times}
        for name, step in state.steps.items()
    }
    return {
        "run": state.run, "seq": state.seq, "state": state.status,
        "tokens": state.marking.tokens(), "ready": state.marking.ready, "steps": steps,
        "in_flight": sorted(state.attempts), "context": state.ctx, "workload": state.workload,
    }  # fmt: skip


def _state_lines(told: Row) -> Iterator[str]:
    yield f"run {told['run']} after event {told['seq']}: {told['state']}"
    yield f"tokens     {', '.join(f'{p} {k}' for p, k in told['tokens'].items()) or 'none wait'}"
    flying = [attempt.partition("/")[2] for attempt in told["in_flight"]]
    yield f"in flight  {', '.join(flying) or 'nothing'}"
    for name, step in told["steps"].items():
        value = "" if step["value"] is None else f"  {step['value']!r:.80}"
        yield f"  {name:<16} {step['status']:<8}{value}".rstrip()

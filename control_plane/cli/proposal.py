"""``trimtab proposal``: read what is proposed, decide on it, take it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from control_plane.cli.evidence import evidence_lines
from control_plane.cli.here import Here, KeyFile, here
from control_plane.cli.output import Format, Output, Row, emit_one, emit_rows, fitted, say
from control_plane.clock import local

app = typer.Typer(no_args_is_help=True, help="Read proposals, decide on them, take them back.")
Id = Annotated[str, typer.Argument(help="The proposal's id.")]
Note = Annotated[str, typer.Option(help="Words for those who read it later.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    state: Annotated[str | None, typer.Option(help="Keep one state, such as proposed.")] = None,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """List proposals, the newest first."""
    rows = _listed(here(ctx), state, key_file)
    emit_rows(rows, output, {
        "proposal": "id", "state": "state", "kind": "kind",
        "step": lambda p: f"{p['playbook']}#{p['step']}", "change": _change,
        "expected": _expected, "by": "author", "moved": lambda p: local(p["moved_at"]),
    }, empty="no proposals; next: trimtab optimize once")  # fmt: skip


@app.command()
def show(ctx: typer.Context, proposal: Id, key_file: KeyFile = None,
         output: Output = Format.TABLE) -> None:  # fmt: skip
    """Show a proposal as a reviewer sees it: diff, effect, evidence, plan, history."""
    view = _read(here(ctx), proposal, key_file)
    emit_one(view, output, lambda v: (one for text in _lines(v) for one in fitted(text)))
    if view["state"] == "proposed" and output is Format.TABLE:
        say(f"next: trimtab proposal approve {proposal} --hash {view['bound_hash']}")
        say(f"  or: trimtab proposal reject {proposal} --note WHY")


@app.command()
def approve(
    ctx: typer.Context, proposal: Id,
    bound_hash: Annotated[
        str | None, typer.Option("--hash", help="Approve only what was read under this hash.")
    ] = None,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Approve a proposal. Its author cannot: use another key (--key-file or TRIMTAB_KEY)."""
    with here(ctx).client(key_file) as client:
        view = client.approve(proposal, bound_hash)
    _decided(view, output)


@app.command()
def reject(
    ctx: typer.Context, proposal: Id,
    reason: Annotated[
        str, typer.Option(help="rejected, risky, wrong_evidence or bad_timing.")
    ] = "rejected",
    note: Note = "", key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Reject a proposal; the same change is not proposed again for a while."""
    with here(ctx).client(key_file) as client:
        view = client.reject(proposal, reason, note)
    _decided(view, output)


@app.command()
def rollback(ctx: typer.Context, proposal: Id, note: Note = "", key_file: KeyFile = None,
             output: Output = Format.TABLE) -> None:  # fmt: skip
    """Take a live or kept change back."""
    with here(ctx).client(key_file) as client:
        view = client.roll_back(proposal, note)
    _decided(view, output)


@app.command()
def withdraw(ctx: typer.Context, proposal: Id, note: Note = "", key_file: KeyFile = None,
             output: Output = Format.TABLE) -> None:  # fmt: skip
    """Withdraw a proposal that has not started."""
    with here(ctx).client(key_file) as client:
        view = client.withdraw(proposal, note)
    _decided(view, output)


def _listed(place: Here, state: str | None, key_file: Path | None) -> Sequence[Row]:
    """The proposals of the server here; without one, those of the journal."""
    import msgspec

    if place.server() is not None:
        with place.client(key_file) as client:
            return client.proposals(state)
    reviews = place.reviews()
    rows: Sequence[Row] = msgspec.to_builtins(reviews.list(state) if reviews else [])
    return rows


def _read(place: Here, proposal: str, key_file: Path | None) -> Row:
    import msgspec

    from control_plane.errors import NotFound

    if place.server() is not None:
        with place.client(key_file) as client:
            return client.proposal(proposal)
    reviews = place.reviews()
    if reviews is None:
        raise NotFound("proposal", proposal)
    row: Row = msgspec.to_builtins(reviews.get(proposal))
    return row


def _decided(view: Row, output: Format) -> None:
    emit_one(view, output, lambda v: [f"{v['id']} {v['state']}"])
    if output is Format.TABLE and view["state"] == "approved":
        say("it is tried on a share of the next runs, and kept only when it is proven better")
        say("next: run the playbook with a server up (trimtab dev): it judges the trial")


def _change(view: Row) -> str:
    from optimizer.knobs import change_said

    return ", ".join(change_said(line) for line in view["diff"])


def _expected(view: Row) -> str:
    effect = view["predicted"].get(view["objective"])
    if not effect:
        return "to learn" if view["kind"] == "experiment" else ""
    low, mid, high = (f"{100 * effect[part]:+.0f}%" for part in ("lower", "median", "upper"))
    return f"{view['objective']} {mid} ({low} to {high})"


def _lines(view: Row) -> Iterator[str]:
    from optimizer.knobs import change_said

    yield f"{view['id']}  {view['kind']}  {view['state']}  {view['reason_words'] or ''}".rstrip()
    yield f"  step       {view['playbook']}#{view['step']}"
    for line in view["diff"]:
        yield f"  change     {change_said(line)}"
    yield f"  expected   {_expected(view)}"
    yield f"  author     {view['author']}   approver {view['approver'] or 'none yet'}"
    yield f"  hash       {view['bound_hash']}"
    if view["note"]:
        yield f"  note       {view['note']}"
    for text in evidence_lines(view["evidence"]):
        yield f"  evidence   {text}"
    for text in view["plan"]:
        yield f"  plan       {text}"
    for check in view["checks"]:
        yield f"  refused by {check['reason']}: {check['text']}"
    yield from _measured(view)
    for moved in view["history"]:
        yield f"  {local(moved['at'])}  {moved['source']} → {moved['target']}: {moved['words']}"


def _measured(view: Row) -> Iterator[str]:
    verdict, outcome = view["verdict"], view["outcome"]
    if verdict:
        yield f"  verdict    {_verdict(verdict)}{_after(verdict['units'])}"
        from control_plane.web.trial import prices

        yield from (f"             {said}" for said in prices(verdict["statistics"]))
    if outcome and outcome["realised"] is not None:
        inside = "inside" if outcome["covered"] else "outside"
        yield f"  realised   {100 * outcome['realised']:+.1f}%, {inside} what was predicted"


def _verdict(verdict: Row) -> str:
    """What a trial came to; one that was there to learn has no better or worse."""
    if verdict["reason"] == "learned":
        return "learned: what each value does is in the record"
    return f"{verdict['verdict']}: {verdict['reason'].replace('_', ' ')}"


def _after(units: Row) -> str:
    counts = [f"{n} {arm}" for arm, n in units.items() if isinstance(n, int)]
    return f", after {' and '.join(counts)} units" if counts else ""

"""``trimtab search`` and ``trimtab trends``: what the record knows."""

from __future__ import annotations

from typing import Annotated

import typer

from control_plane.cli.here import KeyFile, here
from control_plane.cli.output import Format, Output, Row, emit_rows
from control_plane.clock import local, span, wall


def search(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(help="Words to look for, by meaning too.")],
    kind: Annotated[str | None, typer.Option(help="Keep one kind, such as failure.")] = None,
    playbook: Annotated[str | None, typer.Option(help="Keep one playbook.")] = None,
    step: Annotated[str | None, typer.Option(help="Keep one step.")] = None,
    state: Annotated[str | None, typer.Option(help="Keep one state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 20,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Find runs, failures, playbooks, proposals and lessons; each hit says why."""
    with here(ctx).client(key_file, record=True) as client:
        rows = client.search(
            text, kind=kind, playbook=playbook, step=step, state=state, limit=limit
        )
    emit_rows(rows, output, {
        "score": lambda h: f"{h['score']:.3f}", "kind": "kind",
        "what": lambda h: next(iter(str(h["text"]).splitlines()), "")[:90],
        "why": lambda h: ", ".join(h["why"]),
    }, empty="nothing like it")  # fmt: skip


def trends(
    ctx: typer.Context,
    playbook: Annotated[str | None, typer.Option(help="Keep one playbook.")] = None,
    step: Annotated[str | None, typer.Option(help="Keep one step.")] = None,
    hours: Annotated[float, typer.Option(min=0.01, max=87_600, help="How far back.")] = 24.0,
    bucket_s: Annotated[int, typer.Option(min=60, help="Seconds of a bucket.")] = 3600,
    key_file: KeyFile = None, output: Output = Format.TABLE,
) -> None:  # fmt: skip
    """Show p50, p95, p99, cost and failures over time, by step and configuration."""
    until = wall()
    with here(ctx).client(key_file, record=True) as client:
        rows = client.trends(
            playbook=playbook, step=step, bucket_s=bucket_s, since=until - hours * 3600,
            until=until,
        )  # fmt: skip
    emit_rows(rows, output, {
        "from": lambda t: local(t["bucket"]), "playbook": "playbook", "step": "step",
        "knobs": _knobs,
        "attempts": lambda t: str(t["attempts"]), "failed": lambda t: str(t["failed"]),
        "p50": lambda t: span(t["p50_s"]), "p95": lambda t: span(t["p95_s"]),
        "p99": lambda t: span(t["p99_s"]),
        "cost": lambda t: "" if t["cost_usd"] is None else f"${t['cost_usd']:.6f}",
    }, empty="nothing ran in that time")  # fmt: skip


def _knobs(row: Row) -> str:
    return f"batch {row['batch_size']} × {row['in_flight']}" if row["batch_size"] else ""

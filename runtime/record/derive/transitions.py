"""The transitions that one fact stands for. Most rows of the record are made here."""

from __future__ import annotations

from typing import Any

from runtime.record.derive.lookup import Lookup, submitted
from runtime.record.tables import Row
from runtime.run.events import (
    AttemptFinished,
    AttemptLeased,
    AttemptScheduled,
    EachCut,
    Recorded,
    StepHeld,
    StepRouted,
)


def transition_rows(r: Recorded, lookup: Lookup) -> list[Row]:
    """Return the transitions of one fact. Most rows of the record are made here."""
    e: Any = r.event
    run, _ = submitted(r, lookup)
    writer, pos, stream, seq = r.writer, r.pos, r.stream, r.stream_seq
    told = stream.removeprefix("run/"), run.playbook if run else ""
    about = (
        getattr(e, "step", ""), getattr(e, "batch", -1),
        e.number if isinstance(e, AttemptScheduled | AttemptFinished) else 0,
        getattr(e, "attempt", ""),
    )  # fmt: skip
    return [
        (writer, pos, stream, seq, at, ordinal, *told, *about, name, detail)
        for ordinal, (at, name, detail) in enumerate(_moves(r, lookup))
    ]


def _moves(r: Recorded, lookup: Lookup) -> list[tuple[float, str, str]]:
    """Return the transitions that one durable fact stands for: when, which, and with what."""
    e, at = r.event, r.at
    if isinstance(e, AttemptScheduled):
        planned = [(at, "configured", e.config), (at, "scheduled", e.arm or "")]
        if e.hedges is not None:
            return [(at, "hedged", e.hedges), *planned]
        if e.number == 1 and e.batch <= 0:
            return [(at, "token.consumed", e.step), *planned]
        return planned
    if isinstance(e, AttemptFinished):
        return _finish(r, e, lookup)
    if isinstance(e, AttemptLeased):
        return [(at, "leased", e.worker)]
    if isinstance(e, StepRouted):
        routed = (at, "routed", "" if e.fault is None else e.fault.cls)
        return [routed, *((at, "token.produced", arc) for arc in e.arcs)]
    if isinstance(e, StepHeld):
        return [(at, "held", e.hours)]
    if isinstance(e, EachCut):
        return [(at, "cut", f"{e.kind} {e.start}-{e.stop} by {e.size}")]
    return [(at, e.TYPE, getattr(getattr(e, "fault", None), "cls", ""))]


def _finish(r: Recorded, e: AttemptFinished, lookup: Lookup) -> list[tuple[float, str, str]]:
    at = r.at
    plan = lookup.event(r.stream, e.scheduled) if e.worker else None
    moves = [] if plan is None else [(plan.at + e.queue_s, "started", e.worker)]
    moves.append((at, "finished", e.outcome))
    if e.retry_at is not None:
        moves.append((at, "retried", e.fault.cls if e.fault else ""))
    if e.arcs is not None:
        moves.append((at, "completed", e.outcome))
        moves += [(at, "token.produced", arc) for arc in e.arcs]
    return moves

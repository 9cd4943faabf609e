"""The rows of a proposal, its verdicts, its outcome and its experiment."""

from __future__ import annotations

from typing import Any, Final

from runtime.record.derive.lookup import Lookup, as_json, number, place
from runtime.record.tables import Row
from runtime.run.events import (
    Event,
    ExperimentEnded,
    ExperimentPaused,
    ExperimentRamped,
    ExperimentResumed,
    ExperimentStarted,
    OutcomeRecorded,
    ProposalDrafted,
    ProposalMoved,
    Recorded,
    VerdictReached,
)

EXPERIMENT: Final[dict[type[Event], str]] = {
    ExperimentStarted: "started", ExperimentRamped: "ramped", ExperimentPaused: "paused",
    ExperimentResumed: "resumed", ExperimentEnded: "ended",
}  # fmt: skip


def proposal_row(r: Recorded, e: ProposalDrafted | ProposalMoved, lookup: Lookup) -> Row:
    """Return the row of one move of a proposal."""
    first = r if isinstance(e, ProposalDrafted) else lookup.event(r.stream, 1)
    draft = first.event if first is not None else None
    d = draft if isinstance(draft, ProposalDrafted) else None
    moved = e if isinstance(e, ProposalMoved) else None
    return (
        *place(r), e.proposal, d.kind if d else "", d.playbook if d else "", d.step if d else "",
        d.knob_class if d else "", d.objective if d else "", d.author if d else "",
        as_json(d.diff if d else []), as_json(d.predicted if d else {}),
        str(d.evidence.get("id", "")) if d else "",
        moved.move if moved else "draft", moved.source if moved else "",
        moved.target if moved else "draft", moved.actor if moved else (d.author if d else ""),
        moved.reason if moved else "", moved.note if moved else (d.note if d else ""),
        moved.bound_hash if moved else "", moved.policy_hash if moved else "",
        moved.stage if moved else 0,
    )  # fmt: skip


def verdict_row(r: Recorded, e: VerdictReached) -> Row:
    """Return the row of what a verification said."""
    return (
        *place(r), e.proposal, e.experiment, e.verdict, e.reason, as_json(e.units),
        as_json(e.statistics), int(e.final),
    )  # fmt: skip


def outcome_row(r: Recorded, e: OutcomeRecorded) -> Row:
    """Return the row of what a change brought beside what was promised."""
    said = e.predicted.get(e.objective, e.predicted)
    said = said if isinstance(said, dict) else {}
    low, high = (*e.interval, None, None)[:2]
    covered = "" if e.covered is None else str(e.covered).lower()
    return (
        *place(r), e.proposal, e.knob_class, e.objective, number(said.get("lower")),
        number(said.get("median")), number(said.get("upper")), number(e.realised),
        number(low), number(high), covered,
    )  # fmt: skip


def experiment_row(r: Recorded, lookup: Lookup) -> Row:
    """Return the row of one move of an experiment."""
    e: Any = r.event
    first = r if isinstance(e, ExperimentStarted) else lookup.event(r.stream, 1)
    begun = first.event if first is not None else None
    s = begun if isinstance(begun, ExperimentStarted) else None
    return (
        *place(r), e.experiment, s.proposal if s else "", s.playbook if s else "",
        s.step if s else "", s.knob_class if s else "", s.design if s else "",
        EXPERIMENT[type(r.event)], getattr(e, "stage", 0), as_json(s.base if s else {}),
        as_json(s.arms if s else {}), as_json(getattr(e, "shares", {})), s.block_items if s else 0,
        as_json(s.plan if s else {}), getattr(e, "actor", ""), getattr(e, "reason", ""),
    )  # fmt: skip

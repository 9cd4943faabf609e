"""From facts to rows: what each event means for each table of the record.

A pure function of the event and of earlier events that it points to, which a `Lookup`
finds in the journal. Nothing is carried from one event to the next, so rows do not depend
on how the journal was cut into batches, and deriving again after a crash gives the same
rows. A fact that points to something the journal does not hold gets empty columns there,
never no row: counts stay equal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, Final, Protocol

from runtime.record.follow import Fact
from runtime.record.masking import HTTP, mask
from runtime.record.tables import Row, Rows
from runtime.run.budget import without_note
from runtime.run.events import (
    AttemptFinished,
    AttemptLeased,
    AttemptScheduled,
    CheckFailed,
    ConfigStored,
    EachCut,
    Event,
    ExperimentEnded,
    ExperimentPaused,
    ExperimentRamped,
    ExperimentResumed,
    ExperimentStarted,
    Fault,
    OutcomeRecorded,
    ProductPublished,
    ProposalDrafted,
    ProposalMoved,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    RunSubmitted,
    StepHeld,
    StepRouted,
    VerdictReached,
)

ENDED: Final = {RunCompleted: "completed", RunFailed: "failed", RunCancelled: "cancelled"}
EXPERIMENT: Final[dict[type[Event], str]] = {
    ExperimentStarted: "started", ExperimentRamped: "ramped", ExperimentPaused: "paused",
    ExperimentResumed: "resumed", ExperimentEnded: "ended",
}  # fmt: skip
PRODUCT: Final[dict[type[Event], str]] = {ProductPublished: "published", CheckFailed: "refused"}
SOURCES: Final[dict[str, Iterable[type[Event]]]] = {
    "experiment": tuple(EXPERIMENT), "product": tuple(PRODUCT),
}  # fmt: skip
"""The events that a table's rows follow from, for tables that are filled from events there."""
_EACH: Final = "each.batch"
_HTTP: Final = re.compile(HTTP, re.IGNORECASE)
_PHRASES: Final = {str(status.value): status.phrase for status in HTTPStatus}


class Lookup(Protocol):
    """Earlier facts of the journal."""

    def event(self, stream: str, seq: int) -> Recorded | None:
        """Return one event, or None."""
        ...

    def read(self, stream: str, after: int = 0) -> Iterator[Recorded]:
        """Yield the events of a stream, in order."""
        ...


def derive(facts: Iterable[Fact], lookup: Lookup) -> Rows:
    """Return the rows of all tables that these facts stand for."""
    events: list[Row] = []
    moves: list[Row] = []
    rows: Rows = {}
    for fact in facts:
        r = fact.recorded
        events.append(_event(fact))
        if r.stream.startswith("run/"):
            moves += _transitions(r, lookup)
        for table, row in _rows(r, lookup):
            rows.setdefault(table, []).append(row)
    own = {"event": events, "transition": moves}
    return {table: made for table, made in own.items() if made} | rows


def submitted(recorded: Recorded, lookup: Lookup) -> tuple[RunSubmitted | None, float]:
    """Return how the run of this event was submitted, and when."""
    first = lookup.event(recorded.stream, 1)
    if first is None or not isinstance(first.event, RunSubmitted):
        return None, recorded.at
    return first.event, first.at


def fault_text(step: str, fault: Fault) -> str:
    """Return what a fault says, without what varies between its occurrences.

    An HTTP error is named, since people ask for "too many requests" more often than for 429.
    That a retry budget was spent is no part of the cause.
    """
    said = without_note(fault.message)
    where = f" at {fault.where}" if fault.where else ""
    code = _HTTP.search(said)
    named = f" ({_PHRASES[code[1]]})" if code and code[1] in _PHRASES else ""
    return mask(f"{step}: {fault.cls}: {said}{named}{where}")


def cause(step: str, fault: Fault) -> str:
    """Return the fault's fingerprint; its masked text stands in where the tool gave none."""
    return fault.fingerprint or fault_text(step, fault)


def _place(r: Recorded) -> Row:
    return (r.writer, r.pos, r.stream, r.stream_seq, r.at)


def _event(fact: Fact) -> Row:
    r = fact.recorded
    return (
        r.writer, r.pos, r.stream, r.stream_seq, r.at, r.event.TYPE, fact.version, fact.body
    )  # fmt: skip


def _rows(r: Recorded, lookup: Lookup) -> Iterator[tuple[str, Row]]:
    event = r.event
    if isinstance(event, AttemptScheduled | AttemptLeased):
        return  # most events by far, and they stand for transitions alone
    if isinstance(event, AttemptFinished):
        if not event.copied:
            yield "attempt", _attempt(r, event, lookup)
            if event.stdout:
                yield "output", _output(r, event, lookup)
    elif type(event) in ENDED:
        yield "run", _run(r, lookup)
    elif isinstance(event, ProposalDrafted | ProposalMoved):
        yield "proposal", _proposal(r, event, lookup)
    elif isinstance(event, VerdictReached):
        yield "verdict", _verdict(r, event)
    elif isinstance(event, OutcomeRecorded):
        yield "outcome", _outcome(r, event)
    elif type(event) in EXPERIMENT:
        yield "experiment", _experiment(r, lookup)
    elif isinstance(event, ProductPublished | CheckFailed):
        yield "product", _product(r, event, lookup)


# ---- attempts ---------------------------------------------------------------------------


def _attempt(r: Recorded, e: AttemptFinished, lookup: Lookup) -> Row:
    found = lookup.event(r.stream, e.scheduled)
    plan = found.event if found is not None else None
    if not isinstance(plan, AttemptScheduled):
        plan, found = AttemptScheduled(e.attempt, e.step, e.number, "", "", e.batch), None
    run, _ = submitted(r, lookup)
    knobs, overridden = _config(plan.config, lookup)
    fault = e.fault
    return (
        *_place(r), found.at if found else r.at, r.stream.removeprefix("run/"),
        run.playbook if run else "", run.version if run else "", run.number if run else 0,
        e.step, e.batch, plan.block, plan.start, e.attempt, e.number, e.outcome,
        fault.cls if fault else "", fault.message if fault else "",
        cause(e.step, fault) if fault and not e.went_down else "",
        int(e.retry_at is not None or e.moot),
        e.queue_s, e.run_s, e.total_s, plan.items, e.rows_in, e.rows_out, e.bytes_in, e.bytes_out,
        e.cpu_s, e.rss_peak, e.worker, e.hardware, e.environment, e.price_usd_hour, e.cost_usd,
        e.spend_usd, plan.config, _whole(knobs.get(_EACH)), _whole(knobs.get("each.in_flight")),
        _whole(knobs.get("retry.attempts")), _number(knobs.get("timeout")),
        str(knobs.get("runs_on") or ""), plan.experiment or "", plan.arm or "", plan.share,
        int(run is not None and run.system), int(overridden), int(e.post_decision),
        fault_text(e.step, fault) if fault else "", e.tokens, e.calls,
        str(knobs.get("alternatives") or ""), _race(plan, e), int(e.over_budget),
    )  # fmt: skip


def _race(plan: AttemptScheduled, e: AttemptFinished) -> str:
    """How a try fared beside another of the same work."""
    if e.moot and e.outcome == "cancelled":
        return "beaten"
    if plan.hedges is None:
        return ""
    return "won" if e.outcome == "succeeded" else "beside"


def _output(r: Recorded, e: AttemptFinished, lookup: Lookup) -> Row:
    run, _ = submitted(r, lookup)
    return (
        *_place(r), r.stream.removeprefix("run/"), run.playbook if run else "", e.step, e.batch,
        e.attempt, e.outcome, e.stdout,
    )  # fmt: skip


def _config(config: str, lookup: Lookup) -> tuple[dict[str, Any], bool]:
    found = lookup.event(f"config/{config}", 1) if config else None
    if found is None or not isinstance(found.event, ConfigStored):
        return {}, False
    return found.event.effective, found.event.locked


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


# ---- transitions ------------------------------------------------------------------------


def _transitions(r: Recorded, lookup: Lookup) -> list[Row]:
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


# ---- runs -------------------------------------------------------------------------------


class _Tally:
    """What a run's row adds up from its stream."""

    def __init__(self) -> None:
        self.started: float | None = None
        self.attempts = self.failed = 0
        self.items = 1
        self.cost: float | None = None
        self.experiments: set[str] = set()

    def add(self, recorded: Recorded) -> None:
        event = recorded.event
        if isinstance(event, AttemptFinished):
            if event.copied:
                return  # it is in the row of the run that it happened in
            self.attempts += 1
            self.failed += event.speaks_against
            if event.cost_usd is not None:
                self.cost = (self.cost or 0.0) + event.cost_usd
        elif isinstance(event, EachCut):
            self.items = max(self.items, int((event.items or {}).get("count", 0)))
            if event.experiment:
                self.experiments.add(event.experiment)
        elif isinstance(event, AttemptScheduled) and event.experiment:
            self.experiments.add(event.experiment)
        elif isinstance(event, RunStarted) and self.started is None:
            self.started = recorded.at


def _is_special(run: RunSubmitted | None) -> bool:
    """Whether a run says nothing of how others go: it had values of its own, or a head start."""
    return run is not None and bool(run.overrides or run.forked)


def _run(r: Recorded, lookup: Lookup) -> Row:
    run, submitted_at = submitted(r, lookup)
    tally = _Tally()
    for recorded in lookup.read(r.stream):
        if recorded.stream_seq > r.stream_seq:
            break
        tally.add(recorded)
    started_at = submitted_at if tally.started is None else tally.started
    fault = r.event.fault if isinstance(r.event, RunFailed) else None
    step = r.event.step if isinstance(r.event, RunFailed) else ""
    return (
        *_place(r), r.stream.removeprefix("run/"), run.playbook if run else "",
        run.version if run else "", run.number if run else 0, ENDED[type(r.event)],
        submitted_at, started_at, r.at, r.at - started_at, tally.attempts, tally.failed,
        tally.items, tally.cost, run.actor if run else "", int(run is not None and run.system),
        int(_is_special(run)), sorted(tally.experiments), step,
        fault.cls if fault else "", fault.message if fault else "",
        cause(step, fault) if fault else "",
    )  # fmt: skip


# ---- review -----------------------------------------------------------------------------


def _proposal(r: Recorded, e: ProposalDrafted | ProposalMoved, lookup: Lookup) -> Row:
    first = r if isinstance(e, ProposalDrafted) else lookup.event(r.stream, 1)
    draft = first.event if first is not None else None
    d = draft if isinstance(draft, ProposalDrafted) else None
    moved = e if isinstance(e, ProposalMoved) else None
    return (
        *_place(r), e.proposal, d.kind if d else "", d.playbook if d else "", d.step if d else "",
        d.knob_class if d else "", d.objective if d else "", d.author if d else "",
        _json(d.diff if d else []), _json(d.predicted if d else {}),
        str(d.evidence.get("id", "")) if d else "",
        moved.move if moved else "draft", moved.source if moved else "",
        moved.target if moved else "draft", moved.actor if moved else (d.author if d else ""),
        moved.reason if moved else "", moved.note if moved else (d.note if d else ""),
        moved.bound_hash if moved else "", moved.policy_hash if moved else "",
        moved.stage if moved else 0,
    )  # fmt: skip


def _verdict(r: Recorded, e: VerdictReached) -> Row:
    return (
        *_place(r), e.proposal, e.experiment, e.verdict, e.reason, _json(e.units),
        _json(e.statistics), int(e.final),
    )  # fmt: skip


def _outcome(r: Recorded, e: OutcomeRecorded) -> Row:
    said = e.predicted.get(e.objective, e.predicted)
    said = said if isinstance(said, dict) else {}
    low, high = (*e.interval, None, None)[:2]
    covered = "" if e.covered is None else str(e.covered).lower()
    return (
        *_place(r), e.proposal, e.knob_class, e.objective, _number(said.get("lower")),
        _number(said.get("median")), _number(said.get("upper")), _number(e.realised),
        _number(low), _number(high), covered,
    )  # fmt: skip


def _experiment(r: Recorded, lookup: Lookup) -> Row:
    e: Any = r.event
    first = r if isinstance(e, ExperimentStarted) else lookup.event(r.stream, 1)
    begun = first.event if first is not None else None
    s = begun if isinstance(begun, ExperimentStarted) else None
    return (
        *_place(r), e.experiment, s.proposal if s else "", s.playbook if s else "",
        s.step if s else "", s.knob_class if s else "", s.design if s else "",
        EXPERIMENT[type(r.event)], getattr(e, "stage", 0), _json(s.base if s else {}),
        _json(s.arms if s else {}), _json(getattr(e, "shares", {})), s.block_items if s else 0,
        _json(s.plan if s else {}), getattr(e, "actor", ""), getattr(e, "reason", ""),
    )  # fmt: skip


# ---- products ---------------------------------------------------------------------------


def _product(r: Recorded, e: ProductPublished | CheckFailed, lookup: Lookup) -> Row:
    run, _ = submitted(r, lookup)
    p = e if isinstance(e, ProductPublished) else None
    return (
        *_place(r), r.stream.removeprefix("run/"), run.playbook if run else "", e.step, e.product,
        p.number if p else 0, PRODUCT[type(r.event)], p.location if p else "",
        p.media if p else "",
        p.rows if p else 0, p.bytes if p else 0, p.sha256 if p else "",
        _json(p.schema if p else {}), _json(e.checks), list(p.inputs) if p else [],
        int(run is not None and run.system),
    )  # fmt: skip


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

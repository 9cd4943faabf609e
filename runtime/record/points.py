"""From facts to search points: what of the journal can be found by its meaning.

A `Mark` is what one event says about one point: a run that ended, a failure of one cause
on one step, a playbook, a step, a proposal, a lesson. Ids are hashes of what the point
stands for, so all events of one cause mark one point. Marks of a point are merged in any
cut and any number of times with the same result (`merge`): the payload carries up to where
it has counted. So the set of points, and every payload, is a function of the journal alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from runtime.record.derive import ENDED, Lookup, cause, fault_text, submitted
from runtime.record.masking import LIMIT, mask
from runtime.run.events import (
    AttemptFinished,
    Fault,
    LessonRecorded,
    PlaybookRegistered,
    ProposalDrafted,
    ProposalMoved,
    Recorded,
    RunFailed,
    StepRouted,
    VerdictReached,
)

KINDS: Final = ("run", "failure", "playbook", "step", "proposal", "lesson")
_SPACE: Final = uuid.UUID("6f1a2c1e-93b5-5d6e-8f57-7472696d7461")


@dataclass(frozen=True, slots=True)
class Mark:
    """What one event says about one point.

    ``payload`` holds what can be filtered by; ``kind``, ``text``, the counts and the way
    back to the journal are added when it is merged.
    """

    point: str
    kind: str
    text: str
    payload: dict[str, Any]
    writer: int
    pos: int
    at: float
    stream: str
    stream_seq: int


def marks(facts: Iterable[Recorded], lookup: Lookup) -> Iterator[Mark]:
    """Yield all marks of these events, in order."""
    for recorded in facts:
        yield from _marks(recorded, lookup)


def point_id(kind: str, *names: str) -> str:
    """Return the id of the point that stands for this."""
    return str(uuid.uuid5(_SPACE, "\x1f".join((kind, *names))))


def merge(payload: dict[str, Any] | None, mark: Mark) -> dict[str, Any]:
    """Return a point's payload after a mark.

    A mark that was counted already changes nothing; marks of one writer come in order.
    """
    old = payload or {"count": 0, "first_at": mark.at, "last_at": mark.at, "counted": {}}
    writer = str(mark.writer)
    if old["counted"].get(writer, 0) >= mark.pos:
        return old
    merged = {
        **mark.payload, "kind": mark.kind, "text": mark.text, "stream": mark.stream,
        "stream_seq": mark.stream_seq, "place": [mark.writer, mark.pos],
        "playbook": mark.payload.get("playbook", ""), "step": mark.payload.get("step", ""),
        "state": mark.payload.get("state", ""),
    }  # fmt: skip
    if payload is not None and old["place"] > merged["place"]:
        merged = old
    return merged | {
        "count": old["count"] + 1,
        "first_at": min(old["first_at"], mark.at),
        "last_at": max(old["last_at"], mark.at),
        "counted": old["counted"] | {writer: mark.pos},
    }


def _marks(r: Recorded, lookup: Lookup) -> Iterator[Mark]:
    e = r.event
    if isinstance(e, AttemptFinished | StepRouted):
        if e.fault is not None and not getattr(e, "copied", False):
            attempt = e.attempt if isinstance(e, AttemptFinished) else ""
            yield _failure(r, e.step, e.fault, attempt, lookup)
    elif type(e) in ENDED:
        yield _run(r, lookup)
    elif isinstance(e, PlaybookRegistered):
        yield from _playbook(r, e)
    elif isinstance(e, ProposalDrafted | ProposalMoved):
        yield _proposal(r, e, lookup)
    elif isinstance(e, LessonRecorded):
        yield _mark(
            r, point_id("lesson", e.lesson), "lesson", e.text,
            lesson=e.lesson, proposal=e.proposal, playbook=e.playbook, step=e.step,
            state=e.reason, knob_class=e.knob_class,
        )  # fmt: skip


def _mark(r: Recorded, point: str, kind: str, text: str, **payload: Any) -> Mark:
    return Mark(point, kind, text.strip(), payload, r.writer, r.pos, r.at, r.stream, r.stream_seq)


def _failure(r: Recorded, step: str, fault: Fault, attempt: str, lookup: Lookup) -> Mark:
    run, _ = submitted(r, lookup)
    playbook, why = run.playbook if run else "", cause(step, fault)
    return _mark(
        r, point_id("failure", playbook, step, why), "failure",
        f"failed step {fault_text(step, fault)}",
        playbook=playbook, step=step, state=fault.cls, fingerprint=why,
        message=fault.message[:LIMIT], where=fault.where, attempt=attempt,
        run=r.stream.removeprefix("run/"), system=int(run is not None and run.system),
    )  # fmt: skip


def _run(r: Recorded, lookup: Lookup) -> Mark:
    run, _ = submitted(r, lookup)
    state, name = ENDED[type(r.event)], r.stream.removeprefix("run/")
    playbook = run.playbook if run else ""
    labels = " ".join(f"{k} {v}" for k, v in sorted(run.labels.items())) if run else ""
    text = f"run of {playbook} {state} {labels}"
    if isinstance(r.event, RunFailed):
        text += f": {fault_text(r.event.step, r.event.fault)}"
    return _mark(
        r, point_id("run", name), "run", mask(text), run=name, playbook=playbook, state=state,
        step=r.event.step if isinstance(r.event, RunFailed) else "",
        number=run.number if run else 0, actor=run.actor if run else "",
        system=int(run is not None and run.system),
    )  # fmt: skip


def _playbook(r: Recorded, e: PlaybookRegistered) -> Iterator[Mark]:
    from runtime.playbook.parse import PlaybookFaults, parse

    labels = " ".join(f"{k} {v}" for k, v in sorted(e.labels.items()))
    try:
        steps = parse(e.source).steps
    except PlaybookFaults:
        # Registered under an older grammar: the playbook is found, its steps are not.
        steps = ()
    names = " ".join(step.name for step in steps)
    text = f"playbook {e.path}: {e.description} {labels} steps {names}"
    yield _mark(
        r, point_id("playbook", e.path), "playbook", text,
        playbook=e.path, version=e.version, number=e.number,
    )  # fmt: skip
    for step in steps:
        text = _step_text(e.path, step.name, step.tool)
        yield _mark(
            r, point_id("step", e.path, step.name), "step", text,
            playbook=e.path, step=step.name, version=e.version, number=e.number,
        )  # fmt: skip


def _step_text(path: str, step: str, tool: dict[str, Any] | None) -> str:
    told = tool or {"kind": "route"}
    said = " ".join(str(told[key]) for key in ("call", "query", "url", "command") if key in told)
    return f"step {step} of {path}: {told.get('kind', '')} {said}"


def _proposal(r: Recorded, e: ProposalDrafted | ProposalMoved, lookup: Lookup) -> Mark:
    first = r if isinstance(e, ProposalDrafted) else lookup.event(r.stream, 1)
    draft = first.event if first is not None else None
    d = draft if isinstance(draft, ProposalDrafted) else None
    state = e.target if isinstance(e, ProposalMoved) else "draft"
    return _mark(
        r, point_id("proposal", e.proposal), "proposal",
        _proposal_text(d, state, _verdict(r, lookup)) if d else e.proposal,
        proposal=e.proposal, playbook=d.playbook if d else "", step=d.step if d else "",
        state=state, knob_class=d.knob_class if d else "",
    )  # fmt: skip


def _proposal_text(draft: ProposalDrafted, state: str, verdict: str) -> str:
    changes = "; ".join(_change(c) for c in draft.diff)
    stands = f"{state}{verdict}".replace("_", " ")
    what = f"proposal to {draft.kind} {draft.step} of {draft.playbook}"
    return f"{what}, {stands}: {changes}. {draft.note}"


def _verdict(r: Recorded, lookup: Lookup) -> str:
    """Return the last proof for or against a proposal, up to this event."""
    said = ""
    for recorded in lookup.read(r.stream):
        if recorded.stream_seq > r.stream_seq:
            break
        e = recorded.event
        if isinstance(e, VerdictReached) and e.verdict != "inconclusive":
            said = f" since it is {e.verdict} ({e.reason})"
    return said


def _change(change: Any) -> str:
    to = change.get("to", change.get("values"))
    return f"{change.get('knob')} from {change.get('from')} to {to}"

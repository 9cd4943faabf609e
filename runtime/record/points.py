"""From facts to search points: what of the journal can be found by its meaning.

Runs that ended alike, a failure of one cause on one step, attempts that were slow or needed
another try, what a step prints, a data product, a playbook, a step, a proposal, a lesson:
each is a point, and every event that says so marks it (`runtime.record.mark`). So the set of
points, and every payload, is a function of the journal alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from runtime.record.derive import ENDED, Lookup, cause, fault_text, submitted
from runtime.record.mark import Mark, mark_of, point_id
from runtime.record.masking import mask
from runtime.record.noted import SLOW_S, about, error_of, noted
from runtime.record.wording import kinds_of
from runtime.run.events import (
    AttemptFinished,
    LessonRecorded,
    PlaybookRegistered,
    ProductPublished,
    ProposalDrafted,
    ProposalMoved,
    Recorded,
    RunFailed,
    RunSubmitted,
    StepRouted,
    VerdictReached,
)

KINDS: Final = (
    "run", "failure", "slow", "retried", "log", "product", "playbook", "step", "proposal",
    "lesson",
)  # fmt: skip


_ALWAYS: Final[tuple[Any, ...]] = (
    *ENDED, ProductPublished, PlaybookRegistered, ProposalDrafted, ProposalMoved,
    LessonRecorded, RunSubmitted,
)  # fmt: skip
"""What always marks a point, and what most marks are joined with."""
_MARKING: Final = frozenset(cls.TYPE for cls in _ALWAYS)


class _Glance(msgspec.Struct):
    """As much of an attempt's end, or of a step that routes, as says whether it is of note."""

    number: int = 1
    outcome: str = "succeeded"
    run_s: float = 0.0
    stdout: str = ""
    fault: dict[str, Any] | None = None
    copied: bool = False

    @property
    def is_of_note(self) -> bool:
        """Whether it may mark a point."""
        told = self.fault is not None or self.stdout or self.number > 1 or self.run_s >= SLOW_S
        return bool(told) and not self.copied


_GLANCED: Final = {cls.TYPE: cls.VERSION for cls in (AttemptFinished, StepRouted)}
_glance: Final = msgspec.json.Decoder(_Glance).decode


def means(type_: str, version: int, body: str) -> bool:
    """Whether an event of this text may mark a point, or is joined with one that does.

    What says no marks none, and of its body hardly anything was read.
    """
    if type_ in _GLANCED:
        return version != _GLANCED[type_] or _glance(body).is_of_note
    return type_ in _MARKING


def marks(facts: Iterable[Recorded], lookup: Lookup) -> Iterator[Mark]:
    """Yield all marks of these events, in order."""
    for recorded in facts:
        yield from _marks(recorded, lookup)


def _marks(r: Recorded, lookup: Lookup) -> Iterator[Mark]:
    e = r.event
    if isinstance(e, AttemptFinished | StepRouted):
        yield from noted(r, e, lookup)
    elif type(e) in ENDED:
        yield _run(r, lookup)
    elif isinstance(e, ProductPublished):
        yield _product(r, e, lookup)
    elif isinstance(e, PlaybookRegistered):
        yield from _playbook(r, e)
    elif isinstance(e, ProposalDrafted | ProposalMoved):
        yield _proposal(r, e, lookup)
    elif isinstance(e, LessonRecorded):
        yield mark_of(
            r, point_id("lesson", e.lesson), "lesson", e.text,
            lesson=e.lesson, proposal=e.proposal, playbook=e.playbook, step=e.step,
            state=e.reason, knob_class=e.knob_class,
        )  # fmt: skip


def _run(r: Recorded, lookup: Lookup) -> Mark:
    """Runs that ended in one way, for one cause and under the same labels, are one point."""
    run, _ = submitted(r, lookup)
    state, name = ENDED[type(r.event)], r.stream.removeprefix("run/")
    playbook = run.playbook if run else ""
    labels = " ".join(f"{k} {v}" for k, v in sorted(run.labels.items())) if run else ""
    text, step, error, why = mask(f"run of {playbook} {state} {labels}"), "", "", ""
    if isinstance(r.event, RunFailed):
        step, why = r.event.step, cause(r.event.step, r.event.fault)
        error = error_of(r.event.fault)
        text += f": {fault_text(step, r.event.fault)}"
    return mark_of(
        r, point_id("run", playbook, state, step, why, mask(labels)), "run", text, run=name,
        playbook=playbook, state=state, step=step, number=run.number if run else 0,
        actor=run.actor if run else "", system=int(run is not None and run.system),
        fingerprint=why, error=error, kinds=list(kinds_of(error)),
        about=about(run, step, lookup),
    )  # fmt: skip


def _product(r: Recorded, e: ProductPublished, lookup: Lookup) -> Mark:
    run, _ = submitted(r, lookup)
    playbook, columns = run.playbook if run else "", " ".join(e.schema)
    return mark_of(
        r, point_id("product", e.product), "product",
        f"data product {e.product} published by {e.step} of {playbook}: columns {columns}",
        product=e.product, playbook=playbook, step=e.step, state="published", number=e.number,
        run=r.stream.removeprefix("run/"), about=about(run, e.step, lookup),
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
    yield mark_of(
        r, point_id("playbook", e.path), "playbook", text,
        playbook=e.path, version=e.version, number=e.number,
    )  # fmt: skip
    for step in steps:
        text = _step_text(e.path, step.name, step.tool)
        yield mark_of(
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
    return mark_of(
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

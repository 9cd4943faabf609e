"""Spans: a run that has ended as a trace, a pure function of its events.

The run is the root, each time a step ran is a child, each attempt a grandchild; a step at
which several ways met links to the steps they came from, a child run to the attempt that
started it. The trace's id is the run's own, and each span's a hash of what it stands for:
told again, it is the same trace. Values, texts of errors and names of people stay behind.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, TypeAlias

from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    EachCut,
    Event,
    Fault,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunSubmitted,
    StepRouted,
)

Scalar: TypeAlias = str | int | float | bool
ENDS: Final = {RunCompleted: "completed", RunFailed: "failed", RunCancelled: "cancelled"}
_TRACE: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Link:
    """Another span that this one goes back to, and how."""

    trace: str
    span: str
    relation: str


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time. ``error`` is the class of its error; empty when it went well."""

    trace: str
    span: str
    parent: str
    name: str
    start: float
    end: float
    attributes: dict[str, Scalar]
    links: tuple[Link, ...] = ()
    error: str = ""


def trace_id(run: str) -> str:
    """Return the id of a run's trace: the run's, or its hash when that is no trace id.

    >>> trace_id("0000000005dc000000000000000000ff")
    '0000000005dc000000000000000000ff'
    """
    return run if _TRACE.fullmatch(run) else blake2b(run.encode(), digest_size=16).hexdigest()


def span_id(what: str) -> str:
    """Return the id of the span of a run, of a step of it, or of an attempt."""
    return blake2b(what.encode(), digest_size=8).hexdigest()


def spans_of(run: str, events: Iterable[Recorded], most: int = 5_000) -> list[Span]:
    """Return a run's spans, the root last; none when it has not ended.

    Of attempts that went well, and of those that did not, ``most`` are told; the root says
    how many were left out.
    """
    trace = _Trace(run, most)
    for recorded in events:
        trace.take(recorded.event, recorded.at)
        if trace.ended:
            break
    return trace.spans if trace.ended else []


@dataclass(slots=True)
class _Step:
    span: str
    start: float
    links: tuple[Link, ...]
    attempts: int = 0


@dataclass(slots=True)
class _Trace:
    """What is known of a run so far."""

    run: str
    most: int
    spans: list[Span] = field(default_factory=list)
    ended: bool = False
    _submitted: tuple[RunSubmitted, float] | None = None
    _open: dict[str, _Step] = field(default_factory=dict)
    _times: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    _came: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _tried: dict[str, tuple[AttemptScheduled, float, str]] = field(default_factory=dict)
    _told: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    _left_out: int = 0

    def take(self, event: Event, at: float) -> None:
        match event:
            case RunSubmitted():
                self._submitted = event, at
            case EachCut():
                self._step(event.step, at)
            case AttemptScheduled():
                step = self._step(event.step, at)
                step.attempts += 1
                self._tried[event.attempt] = event, at, step.span
            case AttemptFinished():
                self._attempt(event, at)
            case StepRouted():
                self._step(event.step, at)
                self._leave(event.step, at, event.arcs, event.fault)
            case RunCompleted() | RunFailed() | RunCancelled():
                self._end(event, at)
            case _:
                pass

    def _step(self, name: str, at: float) -> _Step:
        """The step as it runs now; begun when it does not."""
        found = self._open.get(name)
        if found is None:
            time = self._times[name]
            self._times[name] += 1
            came = self._came.pop(name, [])
            links = [Link(trace_id(self.run), span, "join") for span in came if len(came) > 1]
            span = span_id(f"{self.run}/{name}~{time}" if time else f"{self.run}/{name}")
            found = self._open[name] = _Step(span, at, tuple(links))
        return found

    def _leave(self, name: str, at: float, arcs: list[str], fault: Fault | None) -> None:
        step = self._open.pop(name)
        for arc in arcs:
            self._came[arc].append(step.span)
        told: dict[str, Scalar] = {"trimtab.step": name, "trimtab.step.attempts": step.attempts,
                "trimtab.step.round": self._times[name] - 1}  # fmt: skip
        self._tell(step.span, self._root, name, (step.start, at), told, step.links, fault)

    def _attempt(self, event: AttemptFinished, at: float) -> None:
        plan, since, parent = self._tried.pop(event.attempt, (None, at, self._root))
        if plan is not None and not event.copied:
            self._try(event, plan, parent, (since, at))
        fault = event.no_way or event.fault
        if event.arcs is not None or event.fatal or _gives_up(event):
            self._step(event.step, since)
            self._leave(event.step, at, event.arcs or [], fault)

    def _try(
        self, event: AttemptFinished, plan: AttemptScheduled, parent: str,
        when: tuple[float, float],
    ) -> None:  # fmt: skip
        well = event.outcome == "succeeded"
        if self._told[well] >= self.most:
            self._left_out += 1
            return
        self._told[well] += 1
        told = _of_attempt(event, plan)
        self._tell(
            span_id(event.attempt), parent, f"{event.step} attempt", when, told, (), event.fault
        )

    def _end(self, event: RunCompleted | RunFailed | RunCancelled, at: float) -> None:
        fault = event.fault if isinstance(event, RunFailed) else None
        for name in list(self._open):
            cut = Fault("cancelled", "") if isinstance(event, RunCancelled) else fault
            self._leave(name, at, [], cut)
        submitted, since = self._submitted or (None, at)
        told: dict[str, Scalar] = {"trimtab.run.id": self.run, "trimtab.run.status":
                                   ENDS[type(event)]}  # fmt: skip
        links: list[Link] = []
        if submitted is not None:
            told |= {"trimtab.playbook": submitted.playbook,
                     "trimtab.playbook.version": submitted.number,
                     "trimtab.system": submitted.system}  # fmt: skip
            links = _before(submitted)
        if self._left_out:
            told["trimtab.attempts.left_out"] = self._left_out
        name = submitted.playbook if submitted is not None else "run"
        self._tell(self._root, "", name, (since, at), told, tuple(links), fault)
        self.ended = True

    @property
    def _root(self) -> str:
        return span_id(self.run)

    def _tell(
        self, span: str, parent: str, name: str, when: tuple[float, float],
        told: dict[str, Scalar], links: tuple[Link, ...], fault: Fault | None,
    ) -> None:  # fmt: skip
        error = fault.cls if fault is not None else ""
        attributes = told | {"error.type": error} if error else told
        start, end = when
        self.spans.append(
            Span(trace_id(self.run), span, parent, name, start, max(start, end), attributes,
                 links, error)
        )  # fmt: skip


def _gives_up(event: AttemptFinished) -> bool:
    """Whether a step that is not an ``each`` ends by this attempt, though no arc was taken."""
    return event.batch < 0 and event.retry_at is None and not event.moot


def _of_attempt(event: AttemptFinished, plan: AttemptScheduled) -> dict[str, Scalar]:
    told: dict[str, Scalar] = {
        "trimtab.step": event.step, "trimtab.attempt.id": event.attempt,
        "trimtab.attempt.number": event.number, "trimtab.attempt.outcome": event.outcome,
        "trimtab.queue_s": event.queue_s, "trimtab.run_s": event.run_s,
        "trimtab.items": plan.items, "trimtab.rows_in": event.rows_in,
        "trimtab.rows_out": event.rows_out, "trimtab.cpu_s": event.cpu_s,
        "trimtab.rss_peak": event.rss_peak, "trimtab.hardware": event.hardware,
        "trimtab.config": plan.config,
    }  # fmt: skip
    if event.batch >= 0:
        told["trimtab.batch"] = event.batch
    if event.cost_usd is not None:
        told["trimtab.cost_usd"] = event.cost_usd
    if plan.experiment is not None and plan.arm is not None:
        told |= {"trimtab.experiment": plan.experiment, "trimtab.arm": plan.arm}
    return told


def _before(submitted: RunSubmitted) -> list[Link]:
    """What a run goes back to: the attempt that started it, the run that it goes on from."""
    links = []
    if submitted.parent:
        parent = submitted.parent.partition("/")[0]
        links.append(Link(trace_id(parent), span_id(submitted.parent), "parent"))
    if submitted.forked:
        run = str(submitted.forked["run"])
        links.append(Link(trace_id(run), span_id(run), "forked"))
    return links

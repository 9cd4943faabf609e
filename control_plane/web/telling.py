"""Events in a sentence each, for people who read a run or a proposal.

>>> from runtime.run.events import RunPaused
>>> say(RunPaused("ada", "lunch"))
'paused by ada: lunch'
"""

from __future__ import annotations

from control_plane.web import words
from control_plane.web.tries import is_let_go
from runtime.run.events import (
    AttemptFinished,
    AttemptLeased,
    AttemptScheduled,
    CheckFailed,
    ContextSet,
    EachCut,
    Event,
    ProductPublished,
    RunCancelRequested,
    RunCompleted,
    RunFailed,
    RunFailing,
    RunHurried,
    RunPaused,
    RunResumed,
    RunStarted,
    RunSubmitted,
    SignalReceived,
    StepHeld,
    StepRouted,
    TimerFired,
    TimerSet,
)


def say(event: Event) -> str:
    """Return what an event of a run says."""
    match event:
        case AttemptScheduled():
            return _scheduled(event)
        case AttemptFinished():
            return _finished(event)
        case EachCut():
            return _cut(event)
        case StepRouted():
            said = "to " + (", ".join(event.arcs) or "no step")
            return f"{event.fault.cls}: {event.fault.message}" if event.fault else said
        case StepHeld():
            return (
                f"waits for {words.clock_time(event.due)} (start.hours {event.hours} {event.zone})"
            )
        case ProductPublished():
            return f"{event.product} version {event.number}, {event.rows:,} rows"
        case CheckFailed():
            return (
                f"{event.product} not published: {words.plural(len(event.checks), 'check')} failed"
            )
        case _:
            return _say_run(event)


def step_of(event: Event) -> str:
    """Return the step that an event is about, or nothing."""
    return str(getattr(event, "step", ""))


def is_trouble(event: Event) -> bool:
    """Whether an event tells of something that went wrong."""
    if isinstance(event, AttemptFinished):
        return event.outcome != "succeeded" and not is_let_go(event)
    if isinstance(event, StepRouted):
        return event.fault is not None
    return isinstance(event, RunFailing | RunFailed | CheckFailed)


def _say_run(event: Event) -> str:
    match event:
        case RunSubmitted():
            return f"{event.playbook} version {event.number} by {event.actor}"
        case RunStarted():
            return "the first step may fire"
        case RunPaused():
            return _by("paused", event.actor, event.reason)
        case RunResumed():
            return _by("resumed", event.actor, event.reason)
        case RunCancelRequested():
            return _by("cancelling", event.actor, event.reason)
        case RunHurried():
            return _by("told to end now" if event.now else "hurried", event.actor, event.reason)
        case RunFailing() | RunFailed():
            return f"{event.step}: {event.fault.cls}: {event.fault.message}"
        case RunCompleted():
            return "every token is consumed"
        case ContextSet():
            return ", ".join(event.values)
        case TimerSet():
            return f"{event.name}, due {words.clock_time(event.due)}"
        case TimerFired():
            return event.name
        case SignalReceived():
            return _by(event.name, event.actor, event.reason)
        case AttemptLeased():
            return f"{event.worker} may act"
        case _:
            return ""


def _by(done: str, actor: str, reason: str) -> str:
    return f"{done} by {actor}" + (f": {reason}" if reason else "")


def _piece(batch: int, number: int) -> str:
    what = f"batch {batch}" if batch >= 0 else ""
    again = f"try {number}" if number > 1 or batch < 0 else ""
    return ", ".join(part for part in (what, again) if part)


def _scheduled(event: AttemptScheduled) -> str:
    said = _piece(event.batch, event.number)
    if event.hedges is not None:
        said += ", beside the one that takes long"
    if event.batch >= 0:
        said += f", {words.plural(event.items, 'item')}"
    return said + (f", arm {event.arm}" if event.arm else "")


def _finished(event: AttemptFinished) -> str:
    said = f"{_piece(event.batch, event.number)}: {words.state_word(event.outcome)}"
    said += f" in {words.seconds(event.run_s)}"
    if event.fault is not None:
        said += f"; {event.fault.cls}: {words.first_line(event.fault.message)}"
    if event.retry_at is not None:
        said += "; will be tried again"
    if event.moot:
        said += "; another try of the same work decides"
    return said


def _cut(event: EachCut) -> str:
    said = f"items {event.start:,} to {event.stop:,} in batches of {event.size:,}"
    said += f", {event.in_flight} in flight"
    if event.kind == "rescue":
        said += f"; rescues batch {event.rescues}"
    return said + (f"; arm {event.arm}" if event.arm else "")

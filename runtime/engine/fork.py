"""Fork: a new run that goes on from an old one, which stays as it is.

What had happened is copied under the new run's name, so that it folds to the same state;
what was in flight then is lost and tried again. Input and code may be others from there
on, and the old run's scratch folder is copied, since later steps may read it. What the run
waits for has its whole time again, but a ``wait`` goes by the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from runtime.engine.catalogue import Version
from runtime.engine.errors import CannotFork
from runtime.run.events import (
    AttemptFinished,
    AttemptLeased,
    AttemptScheduled,
    Json,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunSubmitted,
    TimerFired,
    TimerSet,
)


@dataclass(frozen=True, slots=True)
class Branch:
    """A run that goes on from another: from which event, as what, and who asked for it."""

    old: str
    new: str
    seq: int
    version: Version
    actor: str
    at: float
    workload: Mapping[str, Json] | None = None
    retried: dict[str, Json] | None = None


def copied(events: Iterable[Recorded], branch: Branch) -> list[RunEvent]:
    """Return the events of a run, up to the one it is forked at, as those of another.

    Raises:
        CannotFork: the run has no such event, has ended by then, or the version to go on
            with lacks a step that has run.
    """
    old, until, known = branch.old, branch.seq, list(events)
    if not 1 <= until <= len(known):
        raise CannotFork(f"run {old} has the events 1 to {len(known)}: no {until}")
    kept = known[:until]
    if isinstance(kept[-1].event, RunCompleted | RunFailed | RunCancelled):
        raise CannotFork(f"run {old} has ended with event {until}: fork it at {until - 1}")
    return renamed(kept, branch)


def renamed(kept: Iterable[Recorded], branch: Branch) -> list[RunEvent]:
    """Return events of one run as those of another.

    Raises:
        CannotFork: the version to go on with lacks a step that has run.
    """
    listed = list(kept)
    waits = {r.event.attempt for r in listed if _goes_by_the_clock(r.event)}  # type: ignore[union-attr]
    made = list(_in_place(_copy(r, branch, waits) for r in listed))
    version = branch.version
    known = {*version.net.transitions, *version.net.beside}
    gone = {e.step for e in made if isinstance(e, AttemptScheduled)} - known
    if gone:
        names = ", ".join(sorted(gone))
        raise CannotFork(f"{version.registered.path} has no step {names} to go on from")
    return made


def _in_place(events: Iterable[RunEvent]) -> Iterator[RunEvent]:
    """Events as they follow one another here: an end names where its try was scheduled."""
    places: dict[str, int] = {}
    for seq, event in enumerate(events, 1):
        if isinstance(event, AttemptScheduled):
            places[event.attempt] = seq
        if isinstance(event, AttemptFinished):
            yield event.but(scheduled=places[event.attempt], copied=True)
        else:
            yield event


def _goes_by_the_clock(event: object) -> bool:
    if not isinstance(event, AttemptScheduled):
        return False
    return bool((event.args or {}).get("tool", {}).get("kind") == "wait")


def _copy(recorded: Recorded, branch: Branch, waits: set[str]) -> RunEvent:
    event, old, new = recorded.event, branch.old, branch.new
    match event:
        case RunSubmitted():
            return _submitted(event, branch)
        case AttemptScheduled():
            return event.but(
                attempt=_named(event.attempt, old, new), key=_named(event.key, old, new),
                hedges=event.hedges and _named(event.hedges, old, new),
            )  # fmt: skip
        case AttemptLeased() | AttemptFinished():
            return event.but(attempt=_named(event.attempt, old, new))
        case TimerSet():
            later_s = 0.0 if event.name in waits else branch.at - recorded.at
            return event.but(name=_named(event.name, old, new), due=event.due + later_s)
        case TimerFired():
            return event.but(name=_named(event.name, old, new))
    return event  # type: ignore[return-value]


def _submitted(event: RunSubmitted, branch: Branch) -> RunSubmitted:
    named, workload = branch.version.registered, branch.workload
    return event.but(version=named.version, number=named.number, actor=branch.actor, key=None,
        workload=event.workload if workload is None else dict(workload),
        forked={"run": branch.old, "seq": branch.seq}, parent=None, due=None,
        retried=branch.retried,
    )  # fmt: skip


def _named(name: str, old: str, new: str) -> str:
    return new + name.removeprefix(old) if name.startswith(f"{old}/") else name

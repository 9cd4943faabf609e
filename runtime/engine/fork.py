"""Fork: a new run that goes on from any event of an old one, which stays as it is.

What had happened is copied under the new run's name, so that it folds to the same state;
what was in flight then is lost and tried again. Input and code may be others from there
on, and the old run's scratch folder is copied, since later steps may read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

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


def copied(
    events: Iterable[Recorded], old: str, new: str, until: int, version: Version, actor: str,
    workload: Mapping[str, Json] | None,
) -> list[RunEvent]:  # fmt: skip
    """Return the first ``until`` events of a run as those of another.

    Raises:
        CannotFork: the run has no such event, has ended by then, or the version to go on
            with lacks a step that has run.
    """
    made = [_copy(r.event, old, new, until, version, actor, workload) for r in events]
    if not 1 <= until <= len(made):
        raise CannotFork(f"run {old} has the events 1 to {len(made)}: no {until}")
    made = made[:until]
    if isinstance(made[-1], RunCompleted | RunFailed | RunCancelled):
        raise CannotFork(f"run {old} has ended with event {until}: fork it at {until - 1}")
    known = {*version.net.transitions, *version.net.beside}
    gone = {e.step for e in made if isinstance(e, AttemptScheduled)} - known
    if gone:
        names = ", ".join(sorted(gone))
        raise CannotFork(f"{version.registered.path} has no step {names} to go on from")
    return made


def _copy(
    event: object, old: str, new: str, until: int, version: Version, actor: str,
    workload: Mapping[str, Json] | None,
) -> RunEvent:  # fmt: skip
    match event:
        case RunSubmitted():
            named = version.registered
            return event.but(
                version=named.version, number=named.number, actor=actor, key=None,
                workload=event.workload if workload is None else dict(workload),
                forked={"run": old, "seq": until}, parent=None,
            )  # fmt: skip
        case AttemptScheduled():
            return event.but(
                attempt=_named(event.attempt, old, new), key=_named(event.key, old, new)
            )
        case AttemptLeased() | AttemptFinished():
            return event.but(attempt=_named(event.attempt, old, new))
        case TimerSet() | TimerFired():
            return event.but(name=_named(event.name, old, new))
    return event  # type: ignore[return-value]


def _named(name: str, old: str, new: str) -> str:
    return new + name.removeprefix(old) if name.startswith(f"{old}/") else name

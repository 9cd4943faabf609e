"""What a run waits for of which nothing is at work: hours of the day that are to open.

In the journal such a run is ``running``; that it waits follows from its events, so that the
API, the pages and a command line without a server say so alike. A run of which anything else
is under way (a try, a pause before the next one, a run below it) does not wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from runtime.journal.port import JournalReader, RunRow
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    EachCut,
    Recorded,
    StepHeld,
    StepRouted,
)

WAITING: Final = "waiting"
"""The word by which runs that wait are asked for; no run has it as its state."""
IDLE: Final = frozenset({"wait", "signal", "approval"})
"""Kinds of tools that are no work while they last."""
LONGEST: Final = 20_000
"""A run with more events than this is not looked at; it says ``running``."""
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Waits:
    """Hours of the day that a run waits for: which step, on whose clock, and until when."""

    step: str
    hours: str
    zone: str
    due: float


@dataclass(slots=True)
class Waiting:
    """What a run that is running waits for, while its events are read."""

    _held: dict[str, Waits] = field(default_factory=dict)
    _work: set[tuple[str, int]] = field(default_factory=set)

    def take(self, recorded: Recorded) -> None:
        """Take the next event into account."""
        match recorded.event:
            case StepHeld() as event:
                self._held[event.step] = Waits(event.step, event.hours, event.zone, event.due)
            case EachCut() | StepRouted() as event:
                self._held.pop(event.step, None)
            case AttemptScheduled() as event:
                self._held.pop(event.step, None)
                if (event.args or {}).get("tool", {}).get("kind") not in IDLE:
                    self._work.add((event.step, event.batch))
            case AttemptFinished() as event if event.retry_at is None and not event.moot:
                self._work.discard((event.step, event.batch))
            case _:
                pass

    @property
    def found(self) -> Waits | None:
        """The first hours to open, or None while anything is at work."""
        if self._work:
            return None
        return min(self._held.values(), key=lambda one: one.due, default=None)


def waits_of(events: Iterable[Recorded]) -> Waits | None:
    """Return what a run that is running waits for, the first to open; None while it works.

    >>> at = lambda event: Recorded(1, 1, "run/r", 1, 1.0, event)
    >>> waits_of([at(StepHeld("dear", 79200.0, "22-6", "c"))]).due
    79200.0
    """
    waiting = Waiting()
    for recorded in events:
        waiting.take(recorded)
    return waiting.found


def of_row(journal: JournalReader, row: RunRow) -> Waits | None:
    """Return what a run waits for, or None."""
    if row.state != "running" or row.length > LONGEST or not journal.was_held(row.run):
        return None
    return waits_of(journal.read(f"run/{row.run}"))


def rows(
    journal: JournalReader, *, playbook: str | None = None, system: bool | None = False,
    before: str | None = None,
) -> Iterator[tuple[RunRow, Waits]]:  # fmt: skip
    """Yield the runs that wait, the newest first, with what for."""
    while True:
        page = journal.runs(
            state="running", playbook=playbook, system=system, limit=_PAGE, before=before
        )
        for row in page:
            found = of_row(journal, row)
            if found is not None:
                yield row, found
        if len(page) < _PAGE:
            return
        before = page[-1].run

"""Selecting runs: which ones a filter means, read off the index and a few events of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Final

from control_plane import waits
from control_plane.errors import Invalid
from control_plane.runs import STATES
from control_plane.waits import WAITING
from runtime.engine.engine import Engine
from runtime.ids import run_stream
from runtime.journal.port import RunRow
from runtime.run.events import ERROR_CLASSES, Fault, RunFailed, RunSubmitted
from runtime.run.state import ENDED

MOST: Final = 100_000
"""More runs than this are never acted on at once."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that a run has to meet, all of them.

    ``state`` may be ``live``. ``since`` and ``until`` are seconds since the epoch, of its
    submission. ``step`` is one that runs now, or that the run failed in; ``error_class`` is
    that of its fault.
    """

    playbook: str | None = None
    state: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    since: float | None = None
    until: float | None = None
    step: str | None = None
    error_class: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it lets every run through."""
        return not any(getattr(self, f.name) not in (None, {}) for f in fields(self))


def selected(engine: Engine, wanted: Filter, usual: str | None = None) -> Iterator[RunRow]:
    """Yield the runs that are meant, the oldest first; ``usual`` is the state when none is.

    Runs of the system's own playbooks are meant only when theirs is named.

    Raises:
        Invalid: no run could ever be meant.
    """
    _check(wanted)
    system = wanted.playbook is not None and wanted.playbook.startswith("system/")
    state, journal = wanted.state or usual, engine.journal
    if state == WAITING:
        found = waits.rows(journal, playbook=wanted.playbook, system=system)
        rows = [row for row, _ in islice(found, MOST)]
    else:
        rows = journal.runs(state=state, playbook=wanted.playbook, system=system, limit=MOST)
    return (row for row in reversed(rows) if _meant(engine, row, wanted))


def _check(wanted: Filter) -> None:
    faults = []
    if wanted.state is not None and wanted.state not in STATES:
        faults.append(f"no run is ever {wanted.state!r}: a state is {', '.join(STATES)}")
    if wanted.error_class is not None and wanted.error_class not in ERROR_CLASSES:
        known = ", ".join(ERROR_CLASSES)
        faults.append(f"{wanted.error_class!r} is no class of errors: there are {known}")
    if faults:
        raise Invalid(faults)


def _meant(engine: Engine, row: RunRow, wanted: Filter) -> bool:
    if wanted.since is not None and row.submitted_at < wanted.since:
        return False
    if wanted.until is not None and row.submitted_at >= wanted.until:
        return False
    if wanted.labels and not wanted.labels.items() <= _labels(engine, row).items():
        return False
    if wanted.step is None and wanted.error_class is None:
        return True
    step, fault = _stands(engine, row)
    if wanted.step is not None and wanted.step not in step:
        return False
    return wanted.error_class is None or (fault is not None and fault.cls == wanted.error_class)


def _labels(engine: Engine, row: RunRow) -> dict[str, str]:
    first = engine.journal.event(run_stream(row.run), 1)
    return first.event.labels if first and isinstance(first.event, RunSubmitted) else {}


def _stands(engine: Engine, row: RunRow) -> tuple[set[str], Fault | None]:
    """The steps that run now, or the one that the run failed in, and its fault."""
    if row.state in ENDED:
        last = engine.journal.event(run_stream(row.run), row.length)
        event = last.event if last is not None else None
        return ({event.step}, event.fault) if isinstance(event, RunFailed) else (set(), None)
    if row.run in engine.parked:
        return set(), None
    state = engine.state(row.run)
    return {name for name, step in state.steps.items() if step.status == "active"}, state.fault

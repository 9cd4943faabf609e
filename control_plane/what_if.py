"""What if, asked of the journal: a run's work, that of its like, and the answer.

History is the latest completed runs of the same version, so that the same code did the
work. Only the journal is read.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from control_plane.errors import NotFound
from optimizer.simulate.estimate import CannotSay, Estimate
from optimizer.simulate.what_if import what_if
from optimizer.simulate.work import Work, from_events
from runtime.journal.port import JournalReader, RunRow
from runtime.playbook.model import Playbook
from runtime.playbook.parse import parse
from runtime.run.events import AttemptScheduled, ConfigStored, EachCut, PlaybookRegistered

Json: TypeAlias = Any

HISTORY: Final = 30
LONGEST: Final = 50_000
"""Events past which a run is not read as history of another."""


def ask(
    journal: JournalReader, run: str, changes: Mapping[str, Mapping[str, Json]],
    rng: random.Random, *, history: int = HISTORY, slots: int | None = None,
) -> Estimate | CannotSay:  # fmt: skip
    """Return what a recorded run would have taken under ``changes``.

    Raises:
        NotFound: there is no such run.
        BadChange: a value is no whole number of at least 1.
        UnknownKnob: a knob has no such name.
    """
    row = journal.run(run)
    if row is None:
        raise NotFound("run", run)
    others = [work_of(journal, other.run) for other in _alike(journal, row, history)]
    return what_if(
        work_of(journal, run), changes, rng,
        history=others, playbook=_playbook(journal, row), slots=slots,
    )  # fmt: skip


def work_of(journal: JournalReader, run: str) -> Work:
    """Return a run's work, with the values that its configurations stand for."""
    events = list(journal.read(f"run/{run}"))
    hashes = {e.event.config for e in events if isinstance(e.event, AttemptScheduled | EachCut)}
    configs = {}
    for config in hashes:
        stored = journal.event(f"config/{config}", 1)
        if stored is not None and isinstance(stored.event, ConfigStored):
            configs[config] = stored.event.effective
    return from_events(run, events, configs)


def _alike(journal: JournalReader, row: RunRow, most: int) -> list[RunRow]:
    """Completed runs of the same version, the latest first."""
    runs = journal.runs(
        state="completed", playbook=row.playbook, system=row.system, limit=4 * most + 1
    )
    alike = [
        r for r in runs
        if r.version == row.version and r.run != row.run and r.length <= LONGEST
    ]  # fmt: skip
    return alike[:most]


def _playbook(journal: JournalReader, row: RunRow) -> Playbook | None:
    for recorded in journal.read(f"playbook/{row.playbook}"):
        event = recorded.event
        if isinstance(event, PlaybookRegistered) and event.version == row.version:
            return parse(event.source, row.playbook)
    return None

"""What if, asked of the journal: a run's work, that of its like, and the answer.

`ask` answers for one run, `rehearse` for the latest runs of a version, arm by arm, before
a trial. History is the latest completed runs of the same version, so that the same code did the
work. Only the journal is read.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from control_plane.errors import NotFound
from optimizer.seeded import seeded
from optimizer.simulate.estimate import CannotSay, Estimate
from optimizer.simulate.shadow import Check, replay_check
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
REHEARSED: Final = 60_000
"""Events that are read for one rehearsal; runs that do not fit are `too_long`."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What is to be replayed: the latest ``runs`` of a version that ran on ``base``, arm by arm.

    Runs on other values are history of the others: how they compare with the stable
    values, nobody asked.
    """

    playbook: Playbook
    path: str
    version: str
    step: str
    base: Mapping[str, Json]
    arms: Mapping[str, Mapping[str, Json]]
    runs: int
    seed: str


def rehearse(
    journal: JournalReader, wanted: Rehearsal, slots: int | None, going: Callable[[], bool]
) -> dict[str, Check]:
    """Return what the replays say of each arm; the same seed and history say the same.

    Once ``going`` says no, the runs that are left are `too_long`.
    """
    works, too_long = _latest(journal, wanted, going)
    asked = [work for work in works if _ran_on(work, wanted.step, wanted.base)]
    others = [work for work in works if work not in asked]
    left_out = {"too_long": too_long}
    if len(asked) < wanted.runs:
        left_out["other_values"] = min(len(others), wanted.runs - len(asked))
    found = {}
    for arm, values in wanted.arms.items():
        rng = seeded(f"{wanted.seed} {arm}")
        diff = [{"knob": knob, "to": value} for knob, value in values.items()]
        check = replay_check(
            [*others, *asked], wanted.step, diff, rng, playbook=wanted.playbook, slots=slots,
            most=min(wanted.runs, len(asked)), going=going,
        )  # fmt: skip
        silent = Counter(check.cannot_say) + Counter(left_out)
        found[arm] = replace(check, cannot_say=dict(silent))
    return found


def _latest(
    journal: JournalReader, wanted: Rehearsal, going: Callable[[], bool]
) -> tuple[list[Work], int]:  # fmt: skip
    """The version's completed runs, oldest first, and how many of the latest are left out."""
    rows = journal.runs(state="completed", playbook=wanted.path, system=None, limit=4 * HISTORY)
    works: list[Work] = []
    room, left_out = REHEARSED, 0
    for i, row in enumerate([r for r in rows if r.version == wanted.version][:HISTORY]):
        if row.length <= room and going():
            room -= row.length
            works.insert(0, work_of(journal, row.run))
        else:
            left_out += i < wanted.runs
    return works, left_out


def _ran_on(work: Work, step: str, base: Mapping[str, Json]) -> bool:
    """Whether all that the run did outside a candidate's arm had these values."""
    cuts = [c for f in work.of(step) for c in f.cuts if c.arm in ("", "control")]
    return all(
        known.get(knob) in (None, value)
        for cut in cuts
        for known in [{
            "each.batch": cut.size, "each.in_flight": cut.in_flight,
            "retry.attempts": cut.attempts,
        }]
        for knob, value in base.items()
    )  # fmt: skip


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
        history=[work for work in others if not work.forked],
        playbook=_playbook(journal, row), slots=slots,
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

"""The index of runs: what an event changes in a run's line.

Kept beside the journal so that lists, recovery and idempotent submission need not fold
every run. It can always be made again from the events.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from runtime.journal.port import RunRow
from runtime.run.events import TYPES, Recorded, RunStarted, RunSubmitted
from runtime.run.life import LEADS_TO

ENDED: Final = ("completed", "failed", "cancelled")
_STATES: Final = {TYPES[move.value]: state for move, state in LEADS_TO.items()}
INDEXED: Final = frozenset(_STATES)
"""Events that change more of a run's line than its length."""


def updated(row: RunRow | None, recorded: Recorded) -> RunRow | None:
    """Return the run's line after an event of its stream; None when it is not a run's."""
    event = recorded.event
    if isinstance(event, RunSubmitted):
        return RunRow(
            recorded.stream.removeprefix("run/"), event.playbook, event.version, event.number,
            "submitted", recorded.at, None, None, event.actor, event.key, event.system,
            recorded.stream_seq,
        )  # fmt: skip
    if row is None:
        return None
    if type(event) not in INDEXED:
        return replace(row, length=recorded.stream_seq)
    state, started, ended = moved(recorded)
    return replace(
        row, state=state, started_at=row.started_at if started is None else started,
        ended_at=ended, length=recorded.stream_seq,
    )  # fmt: skip


def moved(recorded: Recorded) -> tuple[str, float | None, float | None]:
    """Return a run's state after one of `INDEXED`, and when it started or ended by it, if so."""
    kind = type(recorded.event)
    state = _STATES[kind]
    started = recorded.at if kind is RunStarted else None
    return state, started, recorded.at if state in ENDED else None

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
    row = replace(row, length=recorded.stream_seq)
    state = _STATES.get(type(event))
    if state is None:
        return row
    started = recorded.at if isinstance(event, RunStarted) else row.started_at
    ended = recorded.at if state in ENDED else None
    return replace(row, state=state, started_at=started, ended_at=ended)

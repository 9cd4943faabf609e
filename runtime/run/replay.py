"""Replay: the fold again. What a run was at any event, and proof that it is what it was.

Whenever tokens move, a run's state takes the marking into a running hash, its *trace*; the
event that ends the run carries it. Folding the journal again must come to the same trace:
then every marking, in every order, was the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runtime.net.net import Net
from runtime.run.events import Recorded, RunCancelled, RunCompleted, RunEvent, RunFailed
from runtime.run.evolve import evolve
from runtime.run.state import RunState, new_run


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of folding a run again. ``recorded`` is the trace its last event carries."""

    state: RunState
    events: int
    trace: str
    recorded: str | None

    @property
    def equal(self) -> bool | None:
        """Whether it came out the same; None while the run has not ended."""
        return None if self.recorded is None else self.recorded == self.trace


def replay(run: str, net: Net, events: Iterable[Recorded], until: int | None = None) -> Replayed:
    """Fold a run's events, up to and with sequence ``until``.

    Raises:
        NetError: the events are not a history this net can have.
    """
    state, count, recorded, trace = new_run(run, net), 0, None, ""
    for event in events:
        if until is not None and event.stream_seq > until:
            break
        known: RunEvent = event.event  # type: ignore[assignment]
        if isinstance(known, RunCompleted | RunFailed | RunCancelled):
            recorded, trace = known.trace or None, state.trace
        evolve(state, known, event.at)
        count += 1
    return Replayed(state, count, trace or state.trace, recorded)

"""History: how often each step of a run began, and how each of those firings ended.

Read from the events alone; nothing is decided here. `runtime.run.rewind` asks it what
followed from what.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from runtime.net.net import Net
from runtime.run.events import (
    AttemptFinished,
    AttemptLeased,
    AttemptScheduled,
    EachCut,
    Recorded,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunFailed,
    RunFailing,
    StepHeld,
    StepRouted,
)
from runtime.run.tokens import LATE_JOIN, LOSER

_CLEAR: Final = ("failed",)
"""Outcomes after which a tool is known not to have taken effect, if it says so itself."""
_UNCLEAR: Final = ("unknown", "timeout")


@dataclass(slots=True)
class Firing:
    """One time that a step began. ``failed`` are batches that finally failed."""

    seq: int
    mapped: bool = False
    ended_at: int | None = None
    routed: bool = False
    succeeded: bool = False
    acted: bool = False
    """Whether it was allowed to act once, and did or may have."""
    uncertain: bool = False
    """Whether that holds for a try that did not succeed."""
    lost: bool = False
    """Whether it was let go because the join it worked for had fired."""
    failed: set[int] = field(default_factory=set)


@dataclass(slots=True)
class History:
    """The firings of every step, and how the run ended."""

    firings: dict[str, list[Firing]] = field(default_factory=dict)
    compensated: dict[str, str] = field(default_factory=dict)
    """Steps whose compensation began, with how it ended."""
    drained: set[int] = field(default_factory=set)
    """Successes that no token followed, because the run was ending."""
    state: str = ""
    fault_step: str = ""
    ending_at: int | None = None
    attempts: dict[str, str] = field(default_factory=dict)
    """The step of each attempt."""

    def firing_at(self, step: str, seq: int) -> int:
        """Return the sequence of the firing that an event of the step belongs to."""
        seqs = [f.seq for f in self.firings.get(step, ())]
        place = bisect_right(seqs, seq)
        return seqs[place - 1] if place else seq

    def step_of(self, timer: str) -> str:
        """Return the step that a timer is of: its own, its join's, or that of a try."""
        return self.attempts.get(timer, timer.removesuffix(LATE_JOIN))


def read(net: Net, events: Sequence[Recorded]) -> History:
    """Return the history that events tell."""
    reading = _Reading(net)
    for recorded in events:
        reading.take(recorded)
    return reading.history


class _Reading:
    """A history while its events are read."""

    def __init__(self, net: Net) -> None:
        self.net, self.history = net, History()
        self._active: dict[str, Firing] = {}
        self._leased: dict[str, Firing] = {}
        self._not_undone: set[str] = set()

    def take(self, recorded: Recorded) -> None:
        event, seq = recorded.event, recorded.stream_seq
        match event:
            case AttemptScheduled():
                self.history.attempts[event.attempt] = event.step
                if event.step in self.net.transitions and event.step not in self._active:
                    self._begin(event.step, seq)
                elif event.step in self.net.beside:
                    self._compensates(event.step, "")
            case StepHeld():
                self._begin(event.step, seq)
            case EachCut():
                firing = self._active.get(event.step) or self._begin(event.step, seq)
                firing.mapped = True
                firing.failed.discard(-1 if event.rescues is None else event.rescues)
            case AttemptLeased():
                self._leased[event.attempt] = self._active.get(event.step, Firing(seq))
                self._leased[event.attempt].acted = True
            case AttemptFinished():
                self._finished(event, seq)
            case StepRouted():
                self._routed(event, seq)
            case _:
                self._of_the_run(event, seq)

    def _begin(self, step: str, seq: int) -> Firing:
        firing = self._active[step] = Firing(seq)
        self.history.firings.setdefault(step, []).append(firing)
        return firing

    def _finished(self, event: AttemptFinished, seq: int) -> None:
        if event.step in self.net.beside:
            if not event.moot:
                self._compensates(event.step, event.outcome, final=event.retry_at is None)
            return
        firing = self._active.get(event.step)
        if firing is None or event.moot:
            return
        self._took_effect(event)
        if event.retry_at is not None:
            return
        good = event.outcome == "succeeded"
        if good and event.arcs is None and (not firing.mapped or self.history.ending_at):
            self.history.drained.add(seq)
        if firing.mapped and not good:
            firing.failed.add(event.batch)
        if event.arcs is not None or not firing.mapped:
            firing.ended_at, firing.routed = seq, event.arcs is not None
            firing.succeeded = good
            firing.lost = event.no_way == LOSER
            del self._active[event.step]

    def _took_effect(self, event: AttemptFinished) -> None:
        """A try that says itself that it failed did nothing; one that was cut off may have."""
        firing = self._leased.pop(event.attempt, None)
        if firing is None or event.outcome == "succeeded":
            return
        unclear = event.outcome not in _CLEAR or (event.fault and event.fault.cls in _UNCLEAR)
        firing.uncertain = firing.uncertain or bool(unclear)
        firing.acted = firing.uncertain or firing.mapped

    def _routed(self, event: StepRouted, seq: int) -> None:
        if event.step not in self.net.transitions:
            self._compensates(event.step, "failed", final=True)
            return
        firing = self._active.get(event.step) or self._begin(event.step, seq)
        firing.ended_at, firing.lost = seq, event.fault == LOSER
        firing.routed = event.fault is None or bool(event.arcs) or firing.lost
        firing.succeeded = event.fault is None
        del self._active[event.step]

    def _compensates(self, step: str, outcome: str, *, final: bool = False) -> None:
        """What runs at the end of a run; of it compensations matter, and whether each round's."""
        of, _, kind = step.rpartition(".")
        if kind != "compensate" or of in self._not_undone:
            return
        self.history.compensated[of] = outcome
        if final and outcome != "succeeded":
            self._not_undone.add(of)

    def _of_the_run(self, event: object, seq: int) -> None:
        history = self.history
        match event:
            case RunFailing():
                history.fault_step = event.step
                history.ending_at = history.ending_at or seq
            case RunCancelRequested():
                history.ending_at = history.ending_at or seq
            case RunCompleted():
                history.state = "completed"
            case RunFailed():
                history.state, history.fault_step = "failed", event.step
            case RunCancelled():
                history.state = "cancelled"
            case _:
                pass

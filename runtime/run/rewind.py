"""Rewind: what of an ended run's history still holds when one of its steps begins again.

A step's firing and all that followed from it is taken out; what other branches did stays,
whenever it happened. So does every finished batch of an ``each`` step of which the failed
batches alone are tried again. A step whose compensation ran is undone and begins again too;
what had ended well while the run was ending is kept, to be taken in anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from runtime.net.net import Net
from runtime.playbook.model import Playbook, Reduce
from runtime.run.decide import DEADLINE
from runtime.run.ending import APPROVAL
from runtime.run.events import (
    AttemptFinished,
    AttemptLeased,
    AttemptScheduled,
    CheckFailed,
    ContextSet,
    EachCut,
    ProductPublished,
    Recorded,
    RunStarted,
    RunSubmitted,
    SignalReceived,
    StepHeld,
    StepRouted,
    TimerFired,
    TimerSet,
)
from runtime.run.history import Firing, History, read
from runtime.run.tokens import LATE_JOIN

_OF_THE_RUN: Final = (RunSubmitted, RunStarted, ContextSet)
_OF_A_STEP: Final = (
    AttemptScheduled, AttemptLeased, AttemptFinished, EachCut, StepHeld, StepRouted,
    ProductPublished, CheckFailed,
)  # fmt: skip


class RewindFault(Exception):
    """A run cannot go on from there; the message says from where it could."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """From where a run is to go on: ``round`` counts a step's firings from 1, None is the last.

    Without a step it is where the run stopped. ``once`` lets steps act again that may act
    only once and have.
    """

    step: str | None = None
    round: int | None = None
    failed_only: bool = False
    once: bool = False


@dataclass(frozen=True, slots=True)
class Rewound:
    """What still holds of a history, and what has to follow it.

    ``steps`` begin again, ``undone`` ones of them because they were compensated. ``drained``
    are ends that no token followed from; ``batches`` are failed ones, to be cut again.
    """

    events: list[Recorded]
    steps: list[str]
    undone: list[str]
    drained: list[AttemptFinished]
    batches: list[tuple[str, int]]
    seq: int


def rewind(playbook: Playbook, net: Net, events: Sequence[Recorded], wanted: Wanted) -> Rewound:
    """Return what still holds when a step begins again.

    Raises:
        RewindFault: the run cannot go on from there.
    """
    return _Rewinding(playbook, net, events, wanted).done()


class _Rewinding:
    """One history, while it is found out how much of it still holds."""

    def __init__(
        self, playbook: Playbook, net: Net, events: Sequence[Recorded], wanted: Wanted
    ) -> None:
        self.playbook, self.net, self.wanted = playbook, net, wanted
        self.events = events
        self.history: History = read(net, events)
        self.roots: dict[str, int] = {}
        """Steps that begin again, with the sequence of the firing that is taken out."""
        self.partly: dict[str, Firing] = {}
        """Steps of which some batches are tried again."""
        self.undone: list[str] = []
        self.cut: dict[str, float] = {}
        self.below = {name: _below(net, name) for name in net.transitions}

    def done(self) -> Rewound:
        self._named()
        self._cut_off()
        while self._spread() | self._undo() | self._reduced() | self._race_again():
            pass
        self._refuse_twice()
        drained = self.history.drained
        kept = [r for r in map(self._kept, self.events) if r is not None]
        # a batch that was folded away gave nothing else: it is in flight again, and done again
        ends = [r.event for r in kept if r.stream_seq in drained and not _folded(r)]
        return Rewound(
            [r for r in kept if r.stream_seq not in drained],
            [s.name for s in self.playbook.steps if s.name in (*self.roots, *self.partly)],
            self.undone, [end for end in ends if isinstance(end, AttemptFinished)],
            [(name, b) for name, f in self.partly.items() for b in sorted(f.failed)],
            self._last_before(),
        )  # fmt: skip

    def _last_before(self) -> int:
        """The last event before anything begins again."""
        again = [*self.roots.values(), *(f.ended_at or f.seq for f in self.partly.values())]
        return max(1, min(again, default=self.history.ending_at or len(self.events)) - 1)

    # ---- where it begins again ----------------------------------------------------------

    def _named(self) -> None:
        """The step that was asked for, or the one that the run stopped at."""
        name = self.wanted.step or self._stopped_at()
        if name is None:
            return
        firing = self._firing(name)
        if not self.wanted.failed_only:
            self.roots[name] = firing.seq
            return
        if not firing.mapped:
            raise RewindFault(f"{name} has no batches: leave out failed_only to begin it again")
        if not firing.failed and firing.routed:
            raise RewindFault(f"no batch of {name} failed: leave out failed_only to do all again")
        self.partly[name] = firing

    def _stopped_at(self) -> str | None:
        history = self.history
        if history.state == "completed":
            raise RewindFault(f"nothing of it failed: name a step, of {self._fired()}")
        if history.fault_step in self.net.transitions:
            return history.fault_step
        if self.wanted.failed_only:
            raise RewindFault(f"it stopped at no step: name one, of {self._fired()}")
        return None

    def _firing(self, name: str) -> Firing:
        begun = self._fired()
        if name in self.net.beside:
            raise RewindFault(f"{name} runs by itself when the run ends: name one of {begun}")
        if name not in self.net.transitions:
            names = ", ".join(self.net.transitions)
            raise RewindFault(f"there is no step {name}: there are {names}")
        firings, nth = self.history.firings.get(name, []), self.wanted.round
        if not firings:
            raise RewindFault(f"{name} never began in it: these did: {begun}")
        if nth is not None and not 1 <= nth <= len(firings):
            raise RewindFault(f"{name} began {len(firings)} times: there is no round {nth}")
        return firings[-1 if nth is None else nth - 1]

    def _fired(self) -> str:
        return ", ".join(s.name for s in self.playbook.steps if s.name in self.history.firings)

    def _cut_off(self) -> None:
        """Steps whose tokens went nowhere because the run was ending."""
        for name, firings in self.history.firings.items():
            last = firings[-1]
            if last.routed or name in self.roots or name in self.partly:
                continue
            if last.mapped:
                self.partly[name] = last
            elif not last.succeeded:
                self.roots[name] = last.seq

    # ---- what follows from that ---------------------------------------------------------

    def _spread(self) -> bool:
        """Take out what followed: all that tokens could reach from there."""
        cut: dict[str, float] = {}
        for name, seq in self.roots.items():
            for step in {name} | self.below[name]:
                cut[step] = min(cut.get(step, math.inf), seq)
        for name, firing in list(self.partly.items()):
            if firing.seq >= cut.get(name, math.inf):
                del self.partly[name]
            elif firing.ended_at is not None:
                for step in self.below[name]:
                    cut[step] = min(cut.get(step, math.inf), firing.ended_at)
        changed, self.cut = cut != self.cut, cut
        return changed

    def _undo(self) -> bool:
        """A step that was compensated is undone, so it has to begin again."""
        before = len(self.undone)
        for name, outcome in self.history.compensated.items():
            firings = self.history.firings.get(name)
            if not firings or firings[0].seq >= self.cut.get(name, math.inf):
                continue
            if outcome != "succeeded":
                raise RewindFault(
                    f"{name}.compensate {outcome or 'did not end'}: nobody knows whether {name} "
                    f"is undone; go on from {name} itself, or fork the run at an event"
                )
            self.roots[name] = firings[0].seq
            self.partly.pop(name, None)
            self.undone.append(name)
        return len(self.undone) > before

    def _race_again(self) -> bool:
        """What was let go for the sake of a join begins again with the join."""
        before = len(self.roots)
        for join, losers in self.net.losers.items():
            for name in losers if join in self.cut else ():
                firings = self.history.firings.get(name)
                if not firings or not firings[-1].lost or not self._holds(name, firings[-1].seq):
                    continue
                self.roots.setdefault(name, firings[-1].seq)
        return len(self.roots) > before

    def _reduced(self) -> bool:
        """A value that was combined with one which is taken out has to be combined anew."""
        gone: set[str] = set()
        found = False
        for r in self.events:
            event = r.event
            if not isinstance(event, AttemptFinished | StepRouted) or not event.sets:
                continue
            if event.step not in self.net.transitions:
                continue
            if not self._holds(event.step, r.stream_seq):
                gone |= event.sets.keys()
                continue
            sets = self.playbook.step(event.step).sets
            if any(isinstance(sets.get(key), Reduce) for key in event.sets.keys() & gone):
                self.roots[event.step] = self.history.firing_at(event.step, r.stream_seq)
                self.partly.pop(event.step, None)
                found = True
        return found

    def _holds(self, step: str, seq: int) -> bool:
        """Whether what a step did at an event still holds."""
        return self.history.firing_at(step, seq) < self.cut.get(step, math.inf)

    def _refuse_twice(self) -> None:
        """Refuse to let a step act again that may act once, unless that was asked for."""
        if self.wanted.once:
            return
        acted = [
            name for name, firings in self.history.firings.items()
            if self.playbook.step(name).effect == "once" and self._acts_again(name, firings)
        ]  # fmt: skip
        if acted:
            names = ", ".join(acted)
            raise RewindFault(
                f"{names} may act once, and has or may have: go on from a later step, "
                "or say `once` to let it act again"
            )

    def _acts_again(self, name: str, firings: list[Firing]) -> bool:
        if self.history.compensated.get(name) == "succeeded":
            return False
        out = [f for f in firings if f.seq >= self.cut.get(name, math.inf)]
        some = self.partly.get(name)
        return any(f.acted for f in out) or (some is not None and some.uncertain)

    # ---- what is kept -------------------------------------------------------------------

    def _kept(self, recorded: Recorded) -> Recorded | None:
        event, seq = recorded.event, recorded.stream_seq
        match event:
            case SignalReceived():
                return recorded if self._still_said(event) else None
            case TimerSet() | TimerFired():
                return recorded if self._still_due(event, seq) else None
            case _ if isinstance(event, _OF_THE_RUN):
                return recorded
        if not isinstance(event, _OF_A_STEP) or event.step not in self.net.transitions:
            return None
        return self._opened(recorded, event.step) if self._holds(event.step, seq) else None

    def _opened(self, recorded: Recorded, step: str) -> Recorded | None:
        """An event of a step that is not over yet after all says nothing of its end."""
        event = recorded.event
        firing = self.partly.get(step)
        if firing is None or recorded.stream_seq < firing.seq:
            return recorded
        if isinstance(event, StepRouted):
            return None
        if isinstance(event, AttemptFinished):
            bare = event.but(fatal=False, arcs=None, sets=None, value=None)
            r = recorded
            return Recorded(r.writer, r.pos, r.stream, r.stream_seq, r.at, bare)
        return recorded

    def _still_said(self, event: SignalReceived) -> bool:
        """Answers are asked for again; a signal stays, unless it is what was named."""
        if event.name.startswith(APPROVAL):
            return event.name.removeprefix(APPROVAL) not in self.cut
        named = self.wanted.step
        tool = self.playbook.step(named).tool if named in self.roots and named else None
        return tool is None or tool.get("kind") != "signal" or tool.get("name") != event.name

    def _still_due(self, event: TimerSet | TimerFired, seq: int) -> bool:
        name = event.name
        if name == DEADLINE:
            return isinstance(event, TimerSet)
        step = self.history.step_of(name)
        if step not in self.net.transitions:
            return False
        if name.endswith(LATE_JOIN):
            return seq < self.cut.get(step, math.inf)
        if isinstance(event, TimerFired) and step in self.partly:
            return False
        return self._holds(step, seq)


def _folded(recorded: Recorded) -> bool:
    return isinstance(recorded.event, AttemptFinished) and recorded.event.folds is not None


def _below(net: Net, name: str) -> set[str]:
    """The steps that tokens of a step can reach."""
    found: set[str] = set()
    open_ = [name]
    while open_:
        for target in net.transitions[open_.pop()].outputs:
            if target not in found:
                found.add(target)
                open_.append(target)
    return found

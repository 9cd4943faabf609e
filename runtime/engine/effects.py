"""Effects: what follows once events are durable, and never before.

Tasks wait for workers, child runs begin, those who wait are answered, subscribers hear.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from runtime.engine import children
from runtime.engine.actor import Actor
from runtime.engine.family import Family
from runtime.engine.poison import Entry, Step
from runtime.engine.queue import Ready
from runtime.run.decide import LET_RUN, Decision
from runtime.run.events import (
    AttemptFinished,
    AttemptLeased,
    AttemptScheduled,
    ConfigStored,
    ExperimentEnded,
    ExperimentPaused,
    ExperimentRamped,
    ExperimentResumed,
    ExperimentStarted,
    KillSet,
    OverlayAppended,
    PlaybookRegistered,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    StepCleared,
    StepPoisoned,
)
from runtime.run.state import RunState

_LOG: Final = logging.getLogger("trimtab.engine")
_LAYER_EVENTS: Final = (
    OverlayAppended, ExperimentStarted, ExperimentRamped, ExperimentPaused,
    ExperimentResumed, ExperimentEnded, KillSet,
)  # fmt: skip

_ENDS: Final = (RunCompleted, RunFailed, RunCancelled)


class Effects(Family):
    """Sets in motion what durable events ask for."""

    def _committed(self, recorded: Sequence[Recorded]) -> None:
        """The effects of what is now durable."""
        for r in recorded:
            event = r.event
            if type(event) is AttemptScheduled:
                self._queue(r.stream[4:], event.attempt)
            elif type(event) is AttemptLeased:
                self._queue(r.stream[4:], event.attempt, first=True)
            elif type(event) is AttemptFinished:
                self._end_beaten(r.stream[4:])
            elif isinstance(event, _ENDS):
                self._ended(r.stream[4:])
            else:
                self._fold_one(r)
        self._tell(recorded)
        for r in recorded:
            if type(r.event) is ExperimentEnded and r.event.reason not in LET_RUN:
                self._rescue(r.event.experiment)

    def _fold_one(self, recorded: Recorded) -> None:
        event = recorded.event
        if isinstance(event, PlaybookRegistered):
            self.catalogue.add(event)
        elif isinstance(event, ConfigStored):
            self._configs.known[event.config] = event.effective
        elif isinstance(event, _LAYER_EVENTS):
            self.layers.evolve(event)
            if isinstance(event, ExperimentEnded):
                self._budgets.ended(event.experiment)
                if event.reason not in LET_RUN:
                    self._taken_back.add(event.experiment)
        elif isinstance(event, StepPoisoned):
            step = Step(event.playbook, event.version, event.step)
            self.poison.enters(step, Entry(event.deaths, event.told, recorded.at))
        elif isinstance(event, StepCleared):
            self.poison.cleared(Step(event.playbook, event.version, event.step))

    def _queue(self, run: str, attempt: str, *, first: bool = False) -> None:
        """Let a durable attempt wait for a worker, unless it waits for something else."""
        actor = self._actors.get(run)
        tried = actor.state.attempts.get(attempt) if actor is not None else None
        if actor is None or tried is None:
            return
        if tried.waits_here:
            if tried.kind == "playbook" and not self._withholds(actor, tried):
                self._begin_child(actor, tried)
            return
        uses = self._dispatch.uses(actor.version, actor.edge, tried)
        hedge = tried.is_hedge
        pace = None if hedge else self._dispatch.pace(actor.version, tried.step)
        ready = Ready(run, attempt, actor.state.priority, uses, pace, hedge)
        self._dispatch.ready.put(ready, first=first)

    def _tell(self, recorded: Sequence[Recorded]) -> None:
        for listener in list(self._listeners):
            try:
                listener(recorded)
            except Exception:
                _LOG.exception("a listener failed on %s", recorded[0].stream)

    def _rescues(self, actor: Actor) -> list[Callable[[Decision], object]]:
        """What a run still has to hear of experiments that were taken back: it was away then."""
        taken_back = sorted(_tried_in(actor.state) & self._taken_back)
        return [partial(Decision.rescue, experiment=name) for name in taken_back]

    def _rescue(self, experiment: str) -> None:
        for actor in list(self._actors.values()):
            self._act(actor, lambda d: d.rescue(experiment))

    def _ended(self, run: str) -> None:
        actor, parked = self._actors.pop(run, None), self.parked.pop(run, None)
        if actor is not None:
            self._child_ended(actor.state)
        elif parked is not None and parked.parent is not None:
            self._tell_parent(children.cancelled(parked.parent))
        for future in self._waiters.pop(run, []):
            if not future.done():
                future.set_result(self._row(run))


def _tried_in(state: RunState) -> set[str]:
    """The experiments that a run's unfinished steps, or blocks of them, were drawn for."""
    blocks = (block.experiment for _, each in state.active_each() for block in each.blocks)
    held = (pause.experiment for pause in state.pauses.values() if pause.is_held)
    return {name for name in (*blocks, *held) if name is not None}

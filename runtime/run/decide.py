"""Decide: what follows from what happened. State and command in, events out.

A `Decision` gathers the events of one command and evolves the state by each as it goes,
so that the next thing is decided on what is true by then. It does nothing else: whatever
it must know of the world (time, chance, expressions, configurations) it asks of an
`Edge`, and whatever must be done is read off the events once they are durable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from runtime.net.net import lost
from runtime.playbook.model import Playbook, Step
from runtime.run.deciding import Edge, Ended
from runtime.run.ending import signal_of
from runtime.run.events import (
    Fault,
    Json,
    RunCancelRequested,
    RunFailing,
    RunHurried,
    RunPaused,
    RunResumed,
    RunStarted,
    SignalReceived,
    TimerFired,
    TimerSet,
)
from runtime.run.evolve import OUT_OF_TIME
from runtime.run.firing import Firing
from runtime.run.holding import DEADLINE
from runtime.run.layers import CONTROL
from runtime.run.state import Pause, RunState, Try
from runtime.run.tokens import LATE_JOIN
from runtime.run.trying import may_act

LET_RUN: Final = ("kept", "learned")
"""Reasons for which an experiment's open batches are finished as they were cut."""


class Decision(Firing):
    """The events of one command, in the making."""

    def begin(self) -> None:
        """Start a submitted run."""
        if self.state.status == "submitted":
            self._emit(RunStarted())
            if self.playbook.deadline_s is not None:
                self._emit(TimerSet(DEADLINE, self.at + self.playbook.deadline_s))
            self._advance()

    def ended(self, ended: Ended) -> None:
        """Take in how a try ended. A try that is not known, or known to be over, is ignored."""
        tried = self.state.attempts.get(ended.attempt)
        if tried is None:
            return
        ended = self._as_unknown(tried, ended)
        if ended.attempt in self.state.beaten:
            self._beaten(tried, ended)
            self._advance(tried.step)
            return
        for event in ended.beside:
            self._emit(event)
        if self.state.steps[tried.step].each is None:
            self._step_ended(tried, ended)
        else:
            self._batch_ended(tried, ended)
        self._advance(tried.step)

    def all_ended(self, ends: Iterable[Ended]) -> None:
        """Take in how several tries ended, in order."""
        for ended in ends:
            self.ended(ended)

    def due(self) -> None:
        """Schedule again what has waited long enough, and end what has no time left."""
        for name in sorted(self.state.timers):
            # one that is due may end what the next is of, or begin it anew: look again
            if self.state.timers.get(name, math.inf) <= self.at and not self.state.ended:
                self._out_of_time(name)
        for (name, batch), pause in sorted(self.state.pauses.items()):
            if pause.at <= self.at and (self.state.status == "running" or self.is_beside(name)):
                self._try_again(self.playbook.step(name), batch, pause)
        self._advance()

    def cancel(self, actor: str, reason: str, *, now: bool = False) -> None:
        """Ask the run to end. One that is ending already ends as it was going to, but sooner."""
        status = self.state.status
        if self.state.ended or (status == "cancelling" and not now):
            return
        ending = status in ("failing", "cancelling")
        self._emit((RunHurried if ending else RunCancelRequested)(actor, reason, now))
        self._advance()

    def pause(self, actor: str, reason: str = "") -> None:
        """Let nothing new fire."""
        if self.state.status == "running":
            self._emit(RunPaused(actor, reason))

    def resume(self, actor: str, reason: str = "") -> None:
        """Go on after a pause."""
        if self.state.status == "paused":
            self._emit(RunResumed(actor, reason))
            self._advance()

    def signal(self, name: str, value: Json, actor: str, reason: str = "") -> None:
        """A signal came; the step that waits for it ends, or the next that will."""
        if self.state.ended:
            return
        self._emit(SignalReceived(name, value, actor, reason))
        for tried in list(self.state.attempts.values()):
            if signal_of(tried) == name:
                self._answer(tried)
                return

    def _schedule(self, step: Step, pause: Pause | None = None) -> Try | None:
        """Schedule a try; one that waits here for a time or a signal begins to wait."""
        tried = super()._schedule(step, pause)
        if tried is not None and tried.waits_here:
            self._await(step, tried)
        return tried

    def _await(self, step: Step, tried: Try) -> None:
        tool = (tried.args or {}).get("tool", {})
        if tool.get("kind") == "wait":
            self._emit(TimerSet(tried.attempt, float(tool["due"]), step.name))
        elif tool.get("kind") == "playbook" and step.timeout_s is not None:
            self._emit(TimerSet(tried.attempt, self.at + step.timeout_s, step.name))
        elif signal_of(tried) is not None:
            if step.timeout_s is not None:
                self._emit(TimerSet(tried.attempt, self.at + step.timeout_s, step.name))
            self._answer(tried)

    def _answer(self, tried: Try) -> None:
        """End a try that waits for a signal, if the signal is there."""
        waiting = self.state.signals.get(signal_of(tried) or "")
        if not waiting:
            return
        value = waiting[0]
        rejected = isinstance(value, dict) and value.get("approved") is False
        if rejected:
            fault = Fault("permanent", f"rejected by {value.get('by', 'somebody')}")
            self.ended(Ended(tried.attempt, "failed", fault, value))
        else:
            self.ended(Ended(tried.attempt, "succeeded", result=value))

    def rescue(self, experiment: str) -> None:
        """The experiment was taken back: cut its candidates' unfinished batches again.

        What waits for hours of the day because of it begins.
        """
        self._release(experiment)
        for name, each in list(self.state.active_each()):
            step = self.playbook.step(name)
            for block in [b for b in each.blocks if b.experiment == experiment]:
                if block.arm != CONTROL and step.effect != "once":
                    self._rescue_block(step, each, block)
        self._advance()

    def recut(self, name: str, batch: int) -> None:
        """Cut the items of a batch that finally failed again: it is to be tried anew."""
        each = self.state.steps[name].each
        if each is None:
            raise ValueError(name)
        block = each.block_of(batch)
        start, count = block.range(batch)
        self._recut(self.playbook.step(name), each, block, batch, start + count)

    # ---- time ---------------------------------------------------------------------------

    def _try_again(self, step: Step, batch: int, pause: Pause) -> None:
        each = self.state.steps[step.name].each
        if each is None and pause.is_held:
            self._begin(step, pause)
        elif each is None:
            self._schedule(step, pause)
        else:
            self._schedule_batch(step, each, batch, pause.number)

    def _out_of_time(self, name: str) -> None:
        """The run's deadline, a join's patience or a step's total timeout has come."""
        if name == DEADLINE:
            self._emit(TimerFired(name))
            if self.going_on:
                self._emit(RunFailing("", Fault("timeout", "the run's deadline has passed")))
        elif name.endswith(LATE_JOIN):
            self._late_join(self.playbook.step(name.removesuffix(LATE_JOIN)))
        elif name not in self.state.steps:
            self._emit(TimerFired(name))
            self._waited(name)
        else:
            self._emit(TimerFired(name))
            self._no_more_tries(self.playbook.step(name))

    def _waited(self, attempt: str) -> None:
        """A try that waits here has waited long enough."""
        tried = self.state.attempts.get(attempt)
        if tried is None:
            return
        if tried.kind == "wait":
            self.ended(Ended(attempt, "succeeded"))
            return
        what = "the run it began did not end" if tried.kind == "playbook" \
            else f"no {signal_of(tried)} came"  # fmt: skip
        self.ended(Ended(attempt, "timed_out", Fault("timeout", f"{what} in time")))

    def _no_more_tries(self, step: Step) -> None:
        """A step's total timeout has passed: what runs is ended, and then so is the step."""
        known = self.state.steps[step.name]
        beaten = self.state.beaten
        flying = any(t.step == step.name and t.attempt not in beaten
                     for t in self.state.attempts.values())  # fmt: skip
        if known.status != "active" or flying:
            return
        each = known.each
        value = self.edge.gather(self.state, step, each) if each is not None else None
        self._end_untried(step, Fault("timeout", OUT_OF_TIME), value)


def losers(state: RunState, playbook: Playbook) -> list[Try]:
    """Return the tries to end because the join that they work for has fired without them.

    One that may already take effect, and whose effect happens once, is let finish.
    """
    if not state.marking.lost:
        return []
    names = lost(state.net, state.marking)
    tries = [t for t in state.attempts.values() if t.step in names]
    return [t for t in tries if not may_act(t, playbook.step(t.step))]


__all__ = ["DEADLINE", "LET_RUN", "OUT_OF_TIME", "Decision", "Edge", "Ended", "losers"]

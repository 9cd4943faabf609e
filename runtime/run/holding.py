"""Holding: a step that could begin may wait for hours of the day, and then begins.

When it may and for which hours is resolved once, as it could begin; the wait is an event, so
that it outlives the server and a replay asks no clock. It takes no slot and none of the step's
own time, and never lasts longer than the author allows or than what the run waits for: hours
that open too late are not waited for at all.
"""

from __future__ import annotations

import math

from runtime.ids import STEP_BATCH
from runtime.playbook.hours import ANY, moment
from runtime.playbook.model import Start, Step
from runtime.run.batches import Batches
from runtime.run.events import StepHeld, TimerSet
from runtime.run.layers import draw
from runtime.run.state import Pause
from runtime.run.tokens import LATE_JOIN
from runtime.run.trying import Drawn

DEADLINE = "@deadline"
"""The name of the timer of a run's deadline; no step can have it."""


class Holding(Batches):
    """Begins steps, at once or in their hours."""

    def _hold(self, step: Step) -> bool:
        """Whether a step that could begin is to wait for its hours; it then does.

        A run waits once: a later round of a loop begins at once.
        """
        if step.start is None or self.is_beside(step.name) or self._rounds_before(step):
            return False
        drawn = self._held_as(step)
        hours = str(self.edge.effective(drawn.config).get("start.hours", ANY))
        due, latest = self.edge.opens(step, hours, self.at), self._latest(step, step.start)
        if due <= self.at or due > latest:
            return False
        due += self._spread_s(step, step.start, hours, due, latest)
        self._emit(
            StepHeld(
                step.name, due, hours, drawn.config, drawn.experiment, drawn.arm, drawn.share,
                step.start.zone,
            )
        )  # fmt: skip
        return True

    def _held_as(self, step: Step) -> Drawn:
        """What decides for which hours a step waits; an ``each`` is drawn to no other arm here."""
        if step.each is None:
            return self._configured(step, None)
        live = self._enrols(step)
        if live is None or live.started.knob_class != "schedule":
            return Drawn(self.edge.configure(self.state, step, None, None).config)
        arm, share = draw(live, self._key(step, STEP_BATCH))
        return Drawn(self.edge.configure(self.state, step, live, arm).config, live.id, arm, share)

    def _spread_s(
        self, step: Step, start: Start, hours: str, opens: float, latest: float
    ) -> float:  # fmt: skip
        """How long after its hours open this run's step begins: whole seconds, the same always.

        Runs that wait for the same hours do not all begin as they open. No more than fits into
        the hours, or than may be waited.
        """
        if not start.spread_s:
            return 0.0
        room_s = min(start.spread_s, latest - opens, self.edge.closes(step, hours, opens) - opens)
        return float(int(room_s * moment(self.state.run, step.name)))

    def _latest(self, step: Step, start: Start) -> float:
        """By when a step is to begin: it leaves itself its time before what the run waits for."""
        due = [t for n, t in self.state.timers.items() if n == DEADLINE or n.endswith(LATE_JOIN)]
        due += [self.state.due] if self.state.due is not None else []
        own_s = step.total_timeout_s or step.timeout_s or 0.0
        return min(self.at + start.at_most_s, min(due, default=math.inf) - own_s)

    def _begin(self, step: Step, held: Pause | None = None) -> None:
        """Begin a step that has its tokens; ``held`` is how it has waited."""
        if step.each is None:
            self._schedule(step, held)
        else:
            self._open(step, held)
        self._watch(step)

    def _watch(self, step: Step) -> None:
        """Set the timers of a step that has begun."""
        if self.state.steps[step.name].status != "active":
            return
        if step.total_timeout_s is not None:
            self._emit(TimerSet(step.name, self.at + step.total_timeout_s, step.name))

    def _release(self, experiment: str) -> None:
        """What waits on account of an experiment that was taken back begins now."""
        for (name, _), pause in sorted(self.state.pauses.items()):
            if pause.is_held and pause.experiment == experiment and self.state.status == "running":
                self._begin(self.playbook.step(name), pause)

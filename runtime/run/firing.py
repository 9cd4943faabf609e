"""Firing and concluding: what can begin now, and whether the run is over.

When nothing of the flow is left, compensations of a failing run go backwards over what was
done, then the steps of ``finally`` run in order, and only then the run ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runtime.net.net import lost
from runtime.playbook.model import Playbook, Step, compensation
from runtime.run.deciding import Ended
from runtime.run.events import (
    Fault,
    Json,
    RunCancelled,
    RunCompleted,
    RunFailed,
    StepRouted,
    TimerFired,
    TimerSet,
)
from runtime.run.holding import Holding
from runtime.run.state import RunState
from runtime.run.tokens import LATE_JOIN, LOSER


class Firing(Holding):
    """Fires steps and ends runs."""

    def _advance(self, touched: str | None = None) -> None:
        """Fire and refill until nothing more can, then see whether the run is over."""
        state = self.state
        for name in [touched] if touched else [name for name, _ in state.active_each()]:
            self._refill(name)
        while state.status == "running" and (state.marking.ready or state.marking.starved):
            if state.marking.starved:
                self._starve(self.playbook.step(state.marking.starved[0]))
            else:
                self._fire(self.playbook.step(state.marking.ready[0]))
            if state.marking.lost:
                self._let_losers_go()
        if state.status == "running":
            self._wait_for_joins()
        self._conclude()

    def _fire(self, step: Step) -> None:
        if step.tool is None:
            self._pass_on(step)
            return
        if not self._hold(step):
            self._begin(step)

    def _starve(self, step: Step) -> None:
        """A join can no longer have the tokens it needs."""
        join = step.join
        text = f"{step.name} needs {join.quorum} live inputs and fewer can still come"
        self._end_untried(step, Fault("no_quorum", text))

    def _wait_for_joins(self) -> None:
        """Begin to count the time of joins that have their first live token."""
        for name in list(self.state.marking.waiting):
            limit = self.playbook.step(name).join.within_s
            timer = name + LATE_JOIN
            if limit is None or timer in self.state.timers or not self.state.marking.begun(name):
                continue
            self._emit(TimerSet(timer, self.at + limit, name))

    def _late_join(self, step: Step) -> None:
        """A join has waited long enough: it fires, fails, or another step takes over."""
        waits = self.state.marking.begun(step.name)
        self._emit(TimerFired(step.name + LATE_JOIN))
        if not waits or step.join.at_deadline == "fire":
            return
        text = f"{step.name} waited {step.join.within_s:g} s for its inputs"
        fault = Fault("timeout", text)
        if step.join.at_deadline == "fail":
            self._end_untried(step, fault)
        else:
            self._emit(StepRouted(step.name, [step.join.at_deadline], fault=fault))

    def _let_losers_go(self) -> None:
        """End the losers of joins that wait for no worker; the others are killed, and report."""
        for name in sorted(lost(self.state.net, self.state.marking)):
            tries, beaten = self.state.attempts.values(), self.state.beaten
            flying = [t for t in tries if t.step == name and t.attempt not in beaten]
            for tried in flying:
                if tried.waits_here:
                    gone = Ended(tried.attempt, "cancelled", LOSER)
                    self._emit(self._finished(tried, gone, None).but(no_way=LOSER, arcs=[]))
            if not flying:
                step, each = self.playbook.step(name), self.state.steps[name].each
                value = self.edge.gather(self.state, step, each) if each is not None else None
                self._emit(StepRouted(name, [], value=value, fault=LOSER))

    # ---- the end of a run ---------------------------------------------------------------

    def _conclude(self) -> None:
        """End the run when nothing of it is left to happen."""
        state = self.state
        if state.status in ("failing", "cancelling"):
            self._let_go()
        if state.attempts or state.ended or state.pauses or state.status == "paused":
            return
        if state.status == "running" and not self._quiet():
            return
        for step in self._beside():
            self._schedule(step)
            if state.attempts:
                return
        self._end()

    def _let_go(self) -> None:
        """Nothing of a run that is ending waits for a time or a signal any more."""
        for tried in list(self.state.attempts.values()):
            if tried.waits_here and tried.kind != "playbook" and not self.is_beside(tried.step):
                fault = Fault("cancelled", "the run was ending")
                ended = Ended(tried.attempt, "cancelled", fault)
                self._emit(self._finished(tried, ended, None))

    def _end(self) -> None:
        state = self.state
        if state.status == "failing":
            fault = state.fault or Fault("unknown", "")
            self._emit(RunFailed(state.fault_step, fault, state.trace))
        elif state.status == "cancelling":
            self._emit(RunCancelled(state.trace))
        elif state.status == "running":
            self._emit(RunCompleted(_result(state, self.playbook), state.trace))

    def _beside(self) -> Iterator[Step]:
        """The compensations and ``finally`` steps that are still to run, in order."""
        finals = {s.name for s in self.playbook.finally_}
        if self.state.status == "failing" and self.state.fault_step not in finals:
            while self.state.undo:
                yield compensation(self.playbook.step(self.state.undo[-1].step))
        if self.state.status in ("running", "failing", "cancelling"):
            yield from (s for s in self.playbook.finally_ if self._untouched(s.name))

    def _untouched(self, name: str) -> bool:
        return self.state.steps[name].status == "waiting"

    def _quiet(self) -> bool:
        active = any(s.status == "active" for s in self.state.steps.values())
        return not active and not self.state.marking.waiting


def _result(state: RunState, playbook: Playbook) -> Json:
    """A run's result: the value of the step that ended last, or of all that ended, by name."""
    ends: Sequence[str] = [s.name for s in playbook.steps if not s.arcs]
    values = {n: state.steps[n].value for n in ends if state.steps[n].status == "done"}
    return next(iter(values.values())) if len(values) == 1 else values

"""A run with its steps, folded from its events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from control_plane.run_views import RunView, StepView, wall_s
from runtime.journal.port import RunRow
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    EachCut,
    Event,
    Fault,
    ProductPublished,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunFailing,
    RunSubmitted,
    StepHeld,
    StepRouted,
)
from runtime.run.state import WAITS_HERE
from runtime.run.tokens import LOSER


def fold(row: RunRow, events: Iterable[Recorded]) -> RunView:
    """Return a run with its steps, from its line and all its events."""
    folding = _Folding(RunView(
        row.run, row.playbook, row.version, row.number, row.state, row.submitted_at,
        row.started_at, row.ended_at, wall_s(row), row.actor, row.key, row.system, row.length,
        workload={}, overrides={}, labels={}, steps=[], products=[], cost_usd=None,
    ))  # fmt: skip
    for recorded in events:
        folding.take(recorded)
    steps = list(folding.steps.values())
    costs = [step.cost_usd for step in steps if step.cost_usd is not None]
    return replace(folding.view, steps=steps, cost_usd=sum(costs) if costs else None)


class _Folding:
    """A run while its events are read."""

    def __init__(self, view: RunView) -> None:
        self.view = view
        self.steps: dict[str, StepView] = {}
        self._items: dict[str, int] = {}
        self._held: dict[str, float] = {}

    def take(self, recorded: Recorded) -> None:
        """Take the next event into account."""
        event, at = recorded.event, recorded.at
        match event:
            case RunSubmitted():
                self.view = replace(
                    self.view, workload=event.workload, overrides=event.overrides,
                    labels=event.labels, forked=event.forked, retried=event.retried,
                )  # fmt: skip
            case RunCompleted():
                self.view = replace(self.view, result=event.result)
            case RunFailed() | RunFailing():
                self.view = replace(self.view, fault=event.fault, fault_step=event.step)
                self._stopped(event, at)
            case RunCancelled():
                self._cut_off(at)
            case ProductPublished():
                self.view.products.append(msgspec.to_builtins(event))
            case _:
                self._take_of_step(event, at)

    def _take_of_step(self, event: Event, at: float) -> None:
        match event:
            case StepHeld():
                step = self._under_way(event.step, at)
                step.config = event.config
                step.waits = {
                    "kind": "hours", "hours": event.hours, "zone": event.zone, "due": event.due,
                }  # fmt: skip
                self._held[event.step] = at
            case EachCut():
                self._cut(self._begun(self._under_way(event.step, at), at), event)
            case AttemptScheduled():
                self._scheduled(self._begun(self._under_way(event.step, at), at), event)
            case AttemptFinished():
                self._finished(self._started(event.step, at), event, at)
            case StepRouted():
                step = self._begun(self._started(event.step, at), at)
                step.ended_at, step.fault, step.waits = at, event.fault, None
                step.state = _ended_as(event.fault)
            case _:
                pass  # what moves the run alone stands in its line

    def _stopped(self, event: RunFailed | RunFailing, at: float) -> None:
        """The step that fails the run has failed, and what was under way at the end is over."""
        step = self.steps.get(event.step)
        if step is not None and step.state == "running":
            step.state, step.ended_at, step.fault = "failed", at, event.fault
            self._begun(step, at).waits = None
        if isinstance(event, RunFailed):
            self._cut_off(at)

    def _cut_off(self, at: float) -> None:
        for step in self.steps.values():
            if step.state == "running":
                step.state, step.ended_at = "cancelled", at
                self._begun(step, at).waits = None

    def _started(self, name: str, at: float) -> StepView:
        step = self.steps.setdefault(name, StepView(name))
        if step.started_at is None:
            step.started_at, step.state = at, "running"
        return step

    def _begun(self, step: StepView, at: float) -> StepView:
        """The step waits for its hours no longer, if it did."""
        step.held_s += at - self._held.pop(step.name, at)
        return step

    def _under_way(self, name: str, at: float) -> StepView:
        """The step runs, in a loop perhaps again."""
        step = self._started(name, at)
        step.state, step.ended_at = "running", None
        return step

    def _cut(self, step: StepView, event: EachCut) -> None:
        step.config = event.config
        step.batches += -(-(event.stop - event.start) // event.size)
        if event.items is not None:
            step.items, step.waits = int(event.items["count"]), None
        if event.experiment and event.experiment not in step.experiments:
            step.experiments.append(event.experiment)

    def _scheduled(self, step: StepView, event: AttemptScheduled) -> None:
        step.config = event.config
        self._items[event.attempt] = event.items
        tool = (event.args or {}).get("tool", {})
        step.waits = dict(tool) if tool.get("kind") in WAITS_HERE else None
        if event.batch < 0:
            step.items = step.batches = 1

    def _finished(self, step: StepView, event: AttemptFinished, at: float) -> None:
        items = self._items.pop(event.attempt, 0)
        step.attempts += 1
        step.queue_s += event.queue_s
        step.run_s += event.run_s
        if event.cost_usd is not None and not event.copied:
            step.cost_usd = (step.cost_usd or 0.0) + event.cost_usd
        if event.outcome == "succeeded":
            step.batches_done += 1
            step.items_done += items
        elif event.speaks_against and event.fault != LOSER:
            step.failed_attempts += 1
            step.over_budget += event.over_budget
            step.fault = event.fault
        if not event.moot:
            self._ended(step, event, at)

    def _ended(self, step: StepView, event: AttemptFinished, at: float) -> None:
        single = event.batch < 0 and event.outcome != "succeeded" and event.retry_at is None
        if event.arcs is None and not single:
            return
        step.ended_at, step.waits = at, None
        step.state = _ended_as(event.fault) if single else "completed"
        step.fault = event.fault if single else None


def _ended_as(fault: Fault | None) -> str:
    """How a step ended; what a join cancelled that fired without it has not failed."""
    if fault is None:
        return "completed"
    return "cancelled" if fault == LOSER else "failed"

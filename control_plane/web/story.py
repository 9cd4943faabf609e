"""A run as a person reads it: its events folded into steps, tries, durations and cost.

The fold is pure and goes event by event, so the same code tells a run that ended last
month and one that is going on now.

>>> from runtime.run.events import Recorded, RunCompleted, RunSubmitted
>>> events = [RunSubmitted("etl/load", "v", 1, {}, "ada"), RunCompleted({"rows": 3})]
>>> story = tell("r1", [Recorded(1, i, "run/r1", i, 10.0 + i, e) for i, e in enumerate(events, 1)])
>>> story.state, story.seconds(now=99.0), story.result
('completed', 1.0, {'rows': 3})
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from control_plane.web.step_story import StepStory
from control_plane.web.tries import Try
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    CheckFailed,
    EachCut,
    Fault,
    Json,
    ProductPublished,
    Recorded,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunFailed,
    RunFailing,
    RunPaused,
    RunResumed,
    RunStarted,
    RunSubmitted,
    StepHeld,
    StepRouted,
)
from runtime.run.state import ENDED


@dataclass(slots=True)
class RunStory:
    """A run so far. Feed it each event once, in order, with `take`."""

    run: str
    state: str = "running"
    submitted: RunSubmitted | None = None
    submitted_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    length: int = 0
    steps: dict[str, StepStory] = field(default_factory=dict)
    fault: Fault | None = None
    fault_step: str = ""
    result: Json = None
    reason: str = ""
    products: list[ProductPublished] = field(default_factory=list)
    checks: list[CheckFailed] = field(default_factory=list)
    _open: dict[str, Try] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ENDED

    @property
    def cost_usd(self) -> float | None:
        """What all its attempts cost, or None when no price was known."""
        costs = [s.cost_usd for s in self.steps.values() if s.cost_usd is not None]
        return sum(costs) if costs else None

    @property
    def queue_s(self) -> float:
        """Seconds that attempts waited for a worker, summed."""
        return sum(s.queue_s for s in self.steps.values())

    @property
    def run_s(self) -> float:
        """Seconds that attempts spent in tools, summed."""
        return sum(s.run_s for s in self.steps.values())

    @property
    def attempts(self) -> int:
        """How many attempts were scheduled."""
        return sum(s.scheduled for s in self.steps.values())

    @property
    def retried(self) -> int:
        """How many attempts were followed by another try."""
        return sum(s.retried for s in self.steps.values())

    def seconds(self, now: float) -> float:
        """From submission to the end, or to now."""
        return (now if self.ended_at is None else self.ended_at) - self.submitted_at

    def step(self, name: str) -> StepStory:
        """Return the story of a step, begun when it is new."""
        return self.steps.setdefault(name, StepStory(name))

    def take(self, recorded: Recorded) -> None:
        """Take the next event into account."""
        self.length, at, event = recorded.stream_seq, recorded.at, recorded.event
        match event:
            case AttemptScheduled():
                one = self.step(event.step).schedule(event, at)
                self._open[event.attempt] = one
            case AttemptFinished():
                self.step(event.step).finish(event, at, self._open.pop(event.attempt, None))
            case EachCut():
                self.step(event.step).cut(event, at)
            case StepRouted():
                self.step(event.step).route(event, at)
            case StepHeld():
                self.step(event.step).hold(event, at)
            case ProductPublished():
                self.products.append(event)
            case CheckFailed():
                self.checks.append(event)
            case _:
                self._move(recorded)

    def _move(self, recorded: Recorded) -> None:
        event, at = recorded.event, recorded.at
        match event:
            case RunSubmitted():
                self.submitted, self.submitted_at = event, at
            case RunStarted():
                self.started_at = at
            case RunPaused():
                self.state, self.reason = "paused", event.reason
            case RunResumed():
                self.state = "running"
            case RunCancelRequested():
                self.state, self.reason = "cancelling", event.reason
            case RunFailing():
                self._fail("failing", event.step, event.fault)
            case RunFailed():
                self._fail("failed", event.step, event.fault)
                self._end(at)
            case RunCompleted():
                self.state, self.result = "completed", event.result
                self._end(at)
            case RunCancelled():
                self.state = "cancelled"
                self._end(at)
            case _:
                pass  # timers, signals and context values show in the list of events

    def _fail(self, state: str, step: str, fault: Fault) -> None:
        self.state, self.fault, self.fault_step = state, fault, step
        if step in self.steps:
            self.steps[step].state, self.steps[step].fault = "failed", fault

    def _end(self, at: float) -> None:
        self.ended_at = at
        for step in self.steps.values():
            step.begin(at)
            if step.state == "running":
                step.state = "cancelled"


def tell(run: str, events: Iterable[Recorded]) -> RunStory:
    """Fold a run's events into its story."""
    story = RunStory(run)
    for recorded in events:
        story.take(recorded)
    return story

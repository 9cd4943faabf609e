"""A run as a person reads it: its events folded into steps, tries, durations and cost.

The fold is pure and goes event by event, so the same code tells a run that ended last
month and one that is going on now. Tallies count everything; of the tries themselves only
the latest `KEPT_TRIES` a step stay, so that a run of a million batches can still be shown.

>>> from runtime.run.events import Recorded, RunCompleted, RunSubmitted
>>> events = [RunSubmitted("etl/load", "v", 1, {}, "ada"), RunCompleted({"rows": 3})]
>>> story = tell("r1", [Recorded(1, i, "run/r1", i, 10.0 + i, e) for i, e in enumerate(events, 1)])
>>> story.state, story.seconds(now=99.0), story.result
('completed', 1.0, {'rows': 3})
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from runtime.net.legend import arcs_of
from runtime.playbook.model import Playbook
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
from runtime.run.state import WAITS_HERE
from runtime.run.tokens import LOSER

KEPT_TRIES: Final = 2000
ENDED: Final = frozenset({"completed", "failed", "cancelled"})
CONTROL: Final = "control"


@dataclass(slots=True)
class Try:
    """One attempt: when it waited, when it ran, how it went (``outcome`` None: in flight)."""

    attempt: str
    batch: int
    number: int
    items: int
    scheduled_at: float
    config: str
    arm: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    outcome: str | None = None
    fault: Fault | None = None
    retried: bool = False
    worker: str = ""
    cost_usd: float | None = None
    let_go: bool = False
    """Whether it was ended because another try or a join did without it: no failure."""

    @property
    def is_bad(self) -> bool:
        """Whether it ended and did not succeed when it was meant to."""
        return self.outcome not in (None, "succeeded") and not self.let_go

    def until(self, now: float) -> float:
        """When it ended, or now."""
        return now if self.ended_at is None else self.ended_at


@dataclass(slots=True)
class Arm:
    """What one arm of an experiment did in this step."""

    batches: int = 0
    items: int = 0
    retried: int = 0
    run_s: float = 0.0

    @property
    def seconds_per_item(self) -> float | None:
        """Time in the tool for one item, or None before anything finished."""
        return self.run_s / self.items if self.items else None


@dataclass(slots=True)
class Held:
    """A wait for hours of the day: from when it could have begun until when it does, or did."""

    hours: str
    since: float
    due: float
    zone: str = "UTC"
    begun_at: float | None = None

    def until(self, now: float) -> float:
        """When it was over, or now."""
        return now if self.begun_at is None else self.begun_at


@dataclass(slots=True)
class StepStory:
    """What happened in one step so far."""

    name: str
    state: str = "waiting"
    tries: deque[Try] = field(default_factory=lambda: deque(maxlen=KEPT_TRIES))
    scheduled: int = 0
    finished: int = 0
    retried: int = 0
    over_budget: int = 0
    failed: int = 0
    lost: int = 0
    first_at: float | None = None
    last_at: float | None = None
    queue_s: float = 0.0
    run_s: float = 0.0
    cost_usd: float | None = None
    items: int | None = None
    items_done: int = 0
    batches: int = 0
    batches_done: int = 0
    size: int | None = None
    in_flight: int | None = None
    experiment: str | None = None
    arms: dict[str, Arm] = field(default_factory=dict)
    config: str | None = None
    args: dict[str, Json] | None = None
    arcs: list[str] | None = None
    fault: Fault | None = None
    value: Json = None
    stdout: str = ""
    waits: dict[str, Json] | None = None
    """What it waits for outside a worker: its tool, filled in."""
    held: Held | None = None
    """How it waits, or waited, for its hours of the day."""

    @property
    def is_each(self) -> bool:
        """Whether the step is mapped over items."""
        return self.items is not None

    @property
    def flying(self) -> int:
        """How many attempts are scheduled and not finished."""
        return self.scheduled - self.finished

    @property
    def share_done(self) -> float | None:
        """The share of items done, of an ``each`` step."""
        return self.items_done / self.items if self.items else None

    def seconds(self, now: float) -> float | None:
        """From the first try's schedule to the last end (or now), or None."""
        if self.first_at is None:
            return None
        end = now if self.state == "running" or self.last_at is None else self.last_at
        return end - self.first_at


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
                self._schedule(event, at)
            case AttemptFinished():
                self._finish(event, at)
            case EachCut():
                self._cut(event, at)
            case StepRouted():
                self._route(event, at)
            case StepHeld():
                self._hold(event, at)
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
            _begun(step, at)
            if step.state == "running":
                step.state = "cancelled"

    def _hold(self, event: StepHeld, at: float) -> None:
        step = self.step(event.step)
        step.state, step.config = "running", event.config
        step.first_at = at if step.first_at is None else step.first_at
        step.held = Held(event.hours, at, event.due, event.zone)
        step.experiment = event.experiment or step.experiment

    def _schedule(self, event: AttemptScheduled, at: float) -> None:
        step = self.step(event.step)
        step.state = "running"
        step.scheduled += 1
        _begun(step, at)
        step.first_at = at if step.first_at is None else step.first_at
        step.config, step.args = event.config, event.args
        tool = (event.args or {}).get("tool", {})
        step.waits = dict(tool) if tool.get("kind") in WAITS_HERE else None
        step.experiment = event.experiment or step.experiment
        one = Try(
            event.attempt, event.batch, event.number, event.items, at, event.config, event.arm
        )
        self._open[event.attempt] = one
        step.tries.append(one)

    def _finish(self, event: AttemptFinished, at: float) -> None:
        step, one = self.step(event.step), self._open.pop(event.attempt, None)
        step.finished += 1
        step.last_at, step.waits = at, None
        step.queue_s += event.queue_s
        step.run_s += event.run_s
        step.stdout = event.stdout or step.stdout
        cost = known_cost(event)
        if cost is not None and not event.copied:
            step.cost_usd = (step.cost_usd or 0.0) + cost
        if one is not None:
            _close(one, event, at)
        if event.moot:
            return
        self._count(step, one, event)
        if event.arcs is not None or (event.batch < 0 and event.retry_at is None):
            _conclude(step, event)

    def _count(self, step: StepStory, one: Try | None, event: AttemptFinished) -> None:
        step.lost += event.outcome == "lost"
        step.retried += event.retry_at is not None
        step.over_budget += event.over_budget
        arm = step.arms.setdefault(one.arm, Arm()) if one is not None and one.arm else None
        if arm is not None:
            arm.run_s += event.run_s
            arm.retried += event.retry_at is not None
        if event.outcome == "succeeded":
            items = one.items if one is not None else 0
            step.batches_done += 1
            step.items_done += items
            if arm is not None:
                arm.batches, arm.items = arm.batches + 1, arm.items + items
        elif event.retry_at is None and not is_let_go(event):
            step.failed += 1
            step.fault = event.fault or step.fault

    def _cut(self, event: EachCut, at: float) -> None:
        step = self.step(event.step)
        _begun(step, at)
        step.state = "running"
        step.first_at = at if step.first_at is None else step.first_at
        if event.items is not None:
            step.items = int(event.items["count"])
        step.batches += -(-(event.stop - event.start) // max(1, event.size))
        step.config = event.config
        step.experiment = event.experiment or step.experiment
        if event.arm in (None, CONTROL):
            step.size, step.in_flight = event.size, event.in_flight

    def _route(self, event: StepRouted, at: float) -> None:
        step = self.step(event.step)
        _begun(step, at)
        step.first_at = step.last_at = at
        step.arcs, step.fault = list(event.arcs), event.fault
        if event.fault is None:
            step.state = "succeeded"
        else:
            step.state = "caught" if event.arcs else _ended_badly(event)


def is_let_go(event: AttemptFinished) -> bool:
    """Whether a try was ended because another one or a join did without it."""
    return event.outcome == "cancelled" and (event.moot or event.fault == LOSER)


def known_cost(event: AttemptFinished) -> float | None:
    """What is known to have been paid: without a price of its slot, what its tool spent."""
    return event.cost_usd if event.cost_usd is not None else event.spend_usd or None


def _close(one: Try, event: AttemptFinished, at: float) -> None:
    one.started_at = min(at, one.scheduled_at + event.queue_s)
    one.ended_at, one.outcome, one.fault = at, event.outcome, event.fault
    one.let_go = is_let_go(event)
    one.retried, one.worker, one.cost_usd = (
        event.retry_at is not None,
        event.worker,
        known_cost(event),
    )


def _conclude(step: StepStory, event: AttemptFinished) -> None:
    step.arcs = event.arcs
    step.value = event.value if event.value is not None else event.result
    step.fault = event.no_way or step.fault
    worked = event.outcome == "succeeded" or (step.is_each and event.fault is None)
    if worked and event.no_way is None:
        step.state = "succeeded"
    else:
        step.state = "caught" if event.arcs else _ended_badly(event)


def _begun(step: StepStory, at: float) -> None:
    """A step waits for its hours no longer."""
    if step.held is not None and step.held.begun_at is None:
        step.held.begun_at = at


def _ended_badly(event: AttemptFinished | StepRouted) -> str:
    """``cancelled`` when the step worked for a join that fired without it, else ``failed``."""
    fault = event.no_way if isinstance(event, AttemptFinished) else event.fault
    return "cancelled" if fault == LOSER else "failed"


def tell(run: str, events: Iterable[Recorded]) -> RunStory:
    """Fold a run's events into its story."""
    story = RunStory(run)
    for recorded in events:
        story.take(recorded)
    return story


def step_states(playbook: Playbook, story: RunStory) -> dict[str, str]:
    """Return each step's state: one of the story, ``waiting`` or ``skipped``.

    A step is skipped when no token can reach it any more: the run has ended, or every
    step that leads to it is over and took another way.
    """
    states = {s.name: _state_of(story, s.name) for s in playbook.steps}
    inputs: dict[str, set[str]] = {s.name: set() for s in playbook.steps}
    for step in playbook.steps:
        for arc in arcs_of(step):
            inputs.get(arc.to, set()).add(step.name)
    changed = True
    while changed:
        changed = False
        for name in [n for n, state in states.items() if state == "waiting"]:
            if story.ended or _is_cut_off(name, inputs[name], states, story):
                states[name], changed = "skipped", True
    return states


def _state_of(story: RunStory, name: str) -> str:
    return story.steps[name].state if name in story.steps else "waiting"


def _is_cut_off(name: str, inputs: set[str], states: dict[str, str], story: RunStory) -> bool:
    if not inputs:
        return False
    return all(
        states[source] == "skipped"
        or (
            states[source] in ("succeeded", "caught", "failed", "cancelled")
            and name not in (story.steps[source].arcs or [])
        )
        for source in inputs
    )

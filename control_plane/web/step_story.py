"""A step as a person reads it: its events folded into tallies, tries and a state.

Tallies count everything; of the tries themselves only the latest `KEPT_TRIES` stay, so
that a run of a million batches can still be shown.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from control_plane.web.tries import Try, is_let_go, known_cost
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    EachCut,
    Fault,
    Json,
    StepHeld,
    StepRouted,
)
from runtime.run.layers import CONTROL
from runtime.run.state import WAITS_HERE
from runtime.run.tokens import LOSER

KEPT_TRIES: Final = 2000


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
    def shown(self) -> str:
        """Its state as it is shown: ``held`` while it waits for its hours of the day."""
        waits = self.held is not None and self.held.begun_at is None
        return "held" if waits and self.state == "running" else self.state

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

    def hold(self, event: StepHeld, at: float) -> None:
        """Begin to wait for hours of the day."""
        self.state, self.config = "running", event.config
        self.first_at = at if self.first_at is None else self.first_at
        self.held = Held(event.hours, at, event.due, event.zone)
        self.experiment = event.experiment or self.experiment

    def begin(self, at: float) -> None:
        """Wait for its hours no longer."""
        if self.held is not None and self.held.begun_at is None:
            self.held.begun_at = at

    def schedule(self, event: AttemptScheduled, at: float) -> Try:
        """Begin a try, and return it."""
        self.state = "running"
        self.scheduled += 1
        self.begin(at)
        self.first_at = at if self.first_at is None else self.first_at
        self.config, self.args = event.config, event.args
        tool = (event.args or {}).get("tool", {})
        self.waits = dict(tool) if tool.get("kind") in WAITS_HERE else None
        self.experiment = event.experiment or self.experiment
        one = Try(
            event.attempt, event.batch, event.number, event.items, at, event.config, event.arm
        )
        self.tries.append(one)
        return one

    def finish(self, event: AttemptFinished, at: float, one: Try | None) -> None:
        """End a try; ``one`` is None where it is no longer known."""
        self.finished += 1
        self.last_at, self.waits = at, None
        self.queue_s += event.queue_s
        self.run_s += event.run_s
        self.stdout = event.stdout or self.stdout
        cost = known_cost(event)
        if cost is not None and not event.copied:
            self.cost_usd = (self.cost_usd or 0.0) + cost
        if one is not None:
            one.close(event, at)
        if event.moot:
            return
        self._count(one, event)
        if event.arcs is not None or (event.batch < 0 and event.retry_at is None):
            self._conclude(event)

    def _count(self, one: Try | None, event: AttemptFinished) -> None:
        self.lost += event.outcome == "lost"
        self.retried += event.retry_at is not None
        self.over_budget += event.over_budget
        arm = self.arms.setdefault(one.arm, Arm()) if one is not None and one.arm else None
        if arm is not None:
            arm.run_s += event.run_s
            arm.retried += event.retry_at is not None
        if event.outcome == "succeeded":
            items = one.items if one is not None else 0
            self.batches_done += 1
            self.items_done += items
            if arm is not None:
                arm.batches, arm.items = arm.batches + 1, arm.items + items
        elif event.retry_at is None and not is_let_go(event):
            self.failed += 1
            self.fault = event.fault or self.fault

    def _conclude(self, event: AttemptFinished) -> None:
        self.arcs = event.arcs
        self.value = event.value if event.value is not None else event.result
        self.fault = event.no_way or self.fault
        worked = event.outcome == "succeeded" or (self.is_each and event.fault is None)
        if worked and event.no_way is None:
            self.state = "succeeded"
        else:
            self.state = "caught" if event.arcs else _ended_badly(event)

    def cut(self, event: EachCut, at: float) -> None:
        """Go on to the next batches of its items."""
        self.begin(at)
        self.state = "running"
        self.first_at = at if self.first_at is None else self.first_at
        if event.items is not None:
            self.items = int(event.items["count"])
        self.batches += -(-(event.stop - event.start) // max(1, event.size))
        self.config = event.config
        self.experiment = event.experiment or self.experiment
        if event.arm in (None, CONTROL):
            self.size, self.in_flight = event.size, event.in_flight

    def route(self, event: StepRouted, at: float) -> None:
        """Go its ways without a try."""
        self.begin(at)
        self.first_at = self.last_at = at
        self.arcs, self.fault = list(event.arcs), event.fault
        if event.fault is None:
            self.state = "succeeded"
        else:
            self.state = "caught" if event.arcs else _ended_badly(event)


def _ended_badly(event: AttemptFinished | StepRouted) -> str:
    """``cancelled`` when the step worked for a join that fired without it, else ``failed``."""
    fault = event.no_way if isinstance(event, AttemptFinished) else event.fault
    return "cancelled" if fault == LOSER else "failed"

"""What is shown of a run: a line in a list, the run with its steps, its events, its progress."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from control_plane.waits import Waits
from runtime.journal.port import RunRow
from runtime.journal.wire import encode
from runtime.run.events import Fault, Json, Recorded

if TYPE_CHECKING:
    from runtime.engine.engine import Engine


@dataclass(slots=True)
class StepView:
    """How one step of a run went so far. Seconds and dollars are sums over its attempts."""

    name: str
    state: str = "waiting"
    started_at: float | None = None
    ended_at: float | None = None
    attempts: int = 0
    failed_attempts: int = 0
    over_budget: int = 0
    """Tries that the retry budget of the step refused."""
    held_s: float = 0.0
    """How long it has waited for its hours of the day, once it waits no longer."""
    batches: int = 0
    batches_done: int = 0
    items: int = 0
    items_done: int = 0
    queue_s: float = 0.0
    run_s: float = 0.0
    cost_usd: float | None = None
    config: str = ""
    knobs: dict[str, Json] = field(default_factory=dict)
    experiments: list[str] = field(default_factory=list)
    fault: Fault | None = None
    waits: dict[str, Json] | None = None
    """What a running step waits for outside a worker: its tool, filled in.

    For hours of the day ``{kind: hours, hours, zone, due}``.
    """


@dataclass(frozen=True, slots=True)
class ProgressView:
    """How far a running attempt said it is: ``done`` of ``total``, and a few words."""

    step: str
    attempt: str
    done: float | None
    total: float | None
    note: str
    at: float

    @property
    def share(self) -> float | None:
        """The share that is done, between 0 and 1, where that can be told."""
        if self.done is None or not self.total:
            return None
        return min(max(self.done / self.total, 0.0), 1.0)


def progress_of(engine: Engine, run: str) -> list[ProgressView]:
    """Return what the running attempts of a run told last. Only on the engine's own loop."""
    every = sorted(engine.said(run).items())
    return [
        ProgressView(_step_of(attempt), attempt, said.done, said.total, said.note, said.at)
        for attempt, said in every
    ]


def _step_of(attempt: str) -> str:
    """Return the step of an attempt's id; in a loop that carries its round."""
    return attempt.split("/")[1].partition("~")[0]


@dataclass(frozen=True, slots=True)
class RunView:
    """A run with its steps. Times are seconds since the epoch."""

    run: str
    playbook: str
    version: str
    number: int
    state: str
    submitted_at: float
    started_at: float | None
    ended_at: float | None
    wall_s: float | None
    actor: str
    key: str | None
    system: bool
    events: int
    workload: dict[str, Json]
    overrides: dict[str, dict[str, Json]]
    labels: dict[str, str]
    steps: list[StepView]
    products: list[Json]
    cost_usd: float | None
    result: Json = None
    fault: Fault | None = None
    fault_step: str = ""
    forked: dict[str, Json] | None = None
    retried: dict[str, Json] | None = None
    forks: list[str] = field(default_factory=list)
    """Runs that go on from this one."""
    progress: list[ProgressView] = field(default_factory=list)
    """What running attempts told of how far they are. The journal does not know of it."""
    waits: Waits | None = None
    """What it waits for while nothing of it is at work: hours of the day."""


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in a list."""

    run: str
    playbook: str
    number: int
    state: str
    submitted_at: float
    started_at: float | None
    ended_at: float | None
    wall_s: float | None
    actor: str
    system: bool
    events: int
    version: str
    key: str | None
    waits: Waits | None = None
    """What it waits for while nothing of it is at work: hours of the day."""


@dataclass(frozen=True, slots=True)
class EventView:
    """An event as it stands in the journal; ``seq`` counts within its stream."""

    seq: int
    at: float
    type: str
    version: int
    stream: str
    writer: int
    pos: int
    body: dict[str, Json]


def line(row: RunRow, why: Waits | None = None) -> RunLine:
    """Return a run's line of the index as it is shown, with what it waits for."""
    return RunLine(
        row.run, row.playbook, row.number, row.state, row.submitted_at, row.started_at,
        row.ended_at, wall_s(row), row.actor, row.system, row.length, row.version, row.key,
        why,
    )  # fmt: skip


def shown(recorded: Recorded) -> EventView:
    """Return an event as it is shown: its body is what the journal holds."""
    e = recorded.event
    return EventView(
        recorded.stream_seq, recorded.at, e.TYPE, e.VERSION, recorded.stream, recorded.writer,
        recorded.pos, msgspec.json.decode(encode(e)),
    )  # fmt: skip


def wall_s(row: RunRow) -> float | None:
    """Return how long a run took that has ended, from its start where it began."""
    if row.ended_at is None:
        return None
    return row.ended_at - (row.started_at or row.submitted_at)

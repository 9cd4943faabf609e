"""Runs as they are read: one line each, one run with its steps, its events.

Each view is a fold over the run's stream and needs the journal alone, so the API, the
pages and a command line without a server tell the same story. Following a live run is
reading again after each commit: a client that comes back says the last sequence it saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from control_plane import waits
from control_plane.errors import Invalid, NotFound
from control_plane.waits import WAITING, Waits
from runtime.journal.port import JournalReader, RunRow
from runtime.journal.sqlite import SqliteReader
from runtime.journal.wire import encode
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    ConfigStored,
    EachCut,
    Fault,
    Json,
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

if TYPE_CHECKING:
    from runtime.engine.engine import Engine

ENDED = frozenset({"completed", "failed", "cancelled"})
STATES = ("live", "running", WAITING, "paused", "failing", "cancelling", *sorted(ENDED))
"""What runs may be asked for by; ``live`` is every state that is not the end.

``waiting`` are those that are running and wait for hours of the day.
"""


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


class Runs:
    """Reads runs out of a journal. ``file`` is where it stands, when it is a file."""

    def __init__(self, journal: JournalReader, file: Path | None = None) -> None:
        self._journal, self._file = journal, file

    @contextmanager
    def apart(self) -> Iterator[Runs]:
        """Read over a connection of one's own, so that a long fold may use another thread."""
        if self._file is None:
            yield self
            return
        reader = SqliteReader.open(self._file)
        try:
            yield Runs(reader)
        finally:
            reader.close()

    def page(
        self, *, state: str | None = None, playbook: str | None = None,
        system: bool | None = False, limit: int = 100, before: str | None = None,
    ) -> list[RunLine]:  # fmt: skip
        """Return runs, the newest first. ``before`` is a run id.

        Raises:
            Invalid: a run is never in such a state.
        """
        if state is not None and state not in STATES:
            raise Invalid([f"no run is ever {state!r}: a state is {', '.join(STATES)}"])
        if state == WAITING:
            found = waits.rows(self._journal, playbook=playbook, system=system, before=before)
            return [line(row, why) for row, why in islice(found, limit)]
        rows = self._journal.runs(
            state=state, playbook=playbook, system=system, limit=limit, before=before
        )
        return [line(row, waits.of_row(self._journal, row)) for row in rows]

    def row(self, run: str) -> RunRow:
        """Return a run's line of the index.

        Raises:
            NotFound: there is no such run.
        """
        row = self._journal.run(run)
        if row is None:
            raise NotFound("run", run)
        return row

    def line(self, run: str) -> RunLine:
        """Return a run as it stands in a list.

        Raises:
            NotFound: there is no such run.
        """
        row = self.row(run)
        return line(row, waits.of_row(self._journal, row))

    def get(self, run: str) -> RunView:
        """Return a run with its steps.

        Raises:
            NotFound: there is no such run.
        """
        row = self.row(run)
        view = fold(row, self._journal.read(f"run/{run}"))
        for step in view.steps:
            step.knobs = self.knobs(step.config)
        why = waits.of_row(self._journal, row)
        return replace(view, forks=self._journal.forks(run), waits=why)

    def knobs(self, config: str) -> dict[str, Json]:
        """Return the effective values that a configuration's hash stands for."""
        stored = self._journal.event(f"config/{config}", 1) if config else None
        if stored is None or not isinstance(stored.event, ConfigStored):
            return {}
        return stored.event.effective

    def events(self, run: str, after: int = 0, limit: int | None = None) -> list[EventView]:
        """Return the events of a run past a sequence, in order.

        Raises:
            NotFound: there is no such run.
        """
        self.row(run)
        return self.stream(f"run/{run}", after, limit)

    def stream(self, stream: str, after: int = 0, limit: int | None = None) -> list[EventView]:
        """Return the events of any stream past a sequence, in order."""
        return [shown(r) for r in islice(self._journal.read(stream, after), limit)]


def line(row: RunRow, why: Waits | None = None) -> RunLine:
    """Return a run's line of the index as it is shown, with what it waits for."""
    return RunLine(
        row.run, row.playbook, row.number, row.state, row.submitted_at, row.started_at,
        row.ended_at, _wall(row), row.actor, row.system, row.length, row.version, row.key,
        why,
    )  # fmt: skip


def shown(recorded: Recorded) -> EventView:
    """Return an event as it is shown: its body is what the journal holds."""
    e = recorded.event
    return EventView(
        recorded.stream_seq, recorded.at, e.TYPE, e.VERSION, recorded.stream, recorded.writer,
        recorded.pos, msgspec.json.decode(encode(e)),
    )  # fmt: skip


def fold(row: RunRow, events: Iterable[Recorded]) -> RunView:
    """Return a run with its steps, from its line and all its events."""
    folding = _Folding(RunView(
        row.run, row.playbook, row.version, row.number, row.state, row.submitted_at,
        row.started_at, row.ended_at, _wall(row), row.actor, row.key, row.system, row.length,
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
        event, at = recorded.event, recorded.at
        match event:
            case RunSubmitted():
                self.view = replace(
                    self.view,
                    workload=event.workload,
                    overrides=event.overrides,
                    labels=event.labels,
                    forked=event.forked,
                    retried=event.retried,
                )
            case RunCompleted():
                self.view = replace(self.view, result=event.result)
            case RunFailed() | RunFailing():
                self.view = replace(self.view, fault=event.fault, fault_step=event.step)
                self._stopped(event, at)
            case RunCancelled():
                self._cut_off(at)
            case ProductPublished():
                self.view.products.append(msgspec.to_builtins(event))
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
                pass

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


def _wall(row: RunRow) -> float | None:
    if row.ended_at is None:
        return None
    return row.ended_at - (row.started_at or row.submitted_at)

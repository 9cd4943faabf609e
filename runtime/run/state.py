"""The state of a run: what the fold of its events keeps.

It is changed in place by `evolve` alone. Copying its maps for every event would halve
the speed of the engine; nobody else holds a reference while it changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from runtime.net.net import Marking, Net
from runtime.run.events import Fault, Json
from runtime.run.folding import Folded
from runtime.run.life import Status, StepStatus
from runtime.run.results import Results

Work: TypeAlias = tuple[str, int]
"""A step and a batch (-1 when the step is not an ``each``): one piece of work, over all tries."""

WAITS_HERE = frozenset({"wait", "signal", "approval", "playbook"})
"""Kinds of tools that the engine answers itself."""
ENDED: frozenset[str] = frozenset({"completed", "failed", "cancelled"})


@dataclass(slots=True)
class Try:
    """An attempt that is scheduled and not finished."""

    attempt: str
    step: str
    batch: int
    number: int
    seq: int
    at: float
    config: str
    start: int
    items: int
    block: int
    args: dict[str, Json] | None
    experiment: str | None
    key: str
    is_hedge: bool = False
    arm: str | None = None
    share: float | None = None
    leased: bool = False

    @property
    def kind(self) -> str:
        """The kind of its tool, where its inputs are known."""
        args = self.args
        return str(args.get("tool", {}).get("kind", "")) if args else ""

    @property
    def waits_here(self) -> bool:
        """Whether no worker runs it: it waits for a time, a signal or another run."""
        return self.kind in WAITS_HERE


@dataclass(slots=True)
class Race:
    """Tries of one piece of work that are open at once: a first one and its hedges."""

    open: list[str]
    """In the order in which they began."""
    hedges: int = 0
    """How many began beside the first, whether they are open or not."""


@dataclass(slots=True)
class Pause:
    """A piece of work that waits for its next try, in the configuration of the last one.

    ``config`` is empty when the next is to run with the stable one.
    """

    number: int
    at: float
    config: str = ""
    experiment: str | None = None
    arm: str | None = None
    share: float | None = None

    @property
    def is_held(self) -> bool:
        """Whether nothing was tried yet: the step waits for its hours of the day."""
        return self.number == 1


@dataclass(slots=True)
class Round:
    """How often a repeated step has run, and the try that ended its last round."""

    done: int
    number: int
    value: Json


@dataclass(slots=True)
class Block:
    """A range of items of an ``each`` step, cut in batches of one size."""

    index: int
    kind: str
    start: int
    stop: int
    size: int
    first: int
    in_flight: int
    config: str
    experiment: str | None
    arm: str | None
    share: float | None
    drained: bool
    next: int
    last: int
    """Batches ``first``…``last - 1`` are its own; ``next`` is the first not yet scheduled."""

    @property
    def open(self) -> bool:
        """Whether some of its batches were never scheduled."""
        return self.next < self.last

    def range(self, batch: int) -> tuple[int, int]:
        """Return the batch's items as start and count."""
        start = self.start + (batch - self.first) * self.size
        return start, min(self.size, self.stop - start)


@dataclass(slots=True)
class Each:
    """How far an ``each`` step is."""

    total: int
    source: Json
    blocks: list[Block] = field(default_factory=list)
    open_from: int = 0
    """Blocks before this one are scheduled whole, and stay so."""
    cut_to: int = 0
    next_batch: int = 0
    active: int = 0
    done_items: int = 0
    failed_items: int = 0
    failed_batches: int = 0
    batches_done: int = 0
    results: Results = field(default_factory=Results)
    folded: Folded = field(default_factory=Folded)
    """What the results come to, of a step that reduces them instead."""
    fault: Fault | None = None

    def next_open(self) -> Block | None:
        """Return the first block with batches that were never scheduled, or None."""
        while self.open_from < len(self.blocks):
            if self.blocks[self.open_from].open:
                return self.blocks[self.open_from]
            self.open_from += 1
        return None

    def block_of(self, batch: int) -> Block:
        """Return the block that a batch belongs to."""
        for block in reversed(self.blocks):
            if block.first <= batch < block.last:
                return block
        raise KeyError(batch)

    @property
    def settled(self) -> bool:
        """Whether nothing is left to cut, schedule or wait for."""
        if self.active:
            return False
        return self.fault is not None or (self.cut_to >= self.total and self.next_open() is None)


@dataclass(slots=True)
class Past:
    """What was known at the end of a round: the values of the loop's steps, and the context."""

    values: dict[str, StepState]
    ctx: dict[str, Json]


@dataclass(slots=True)
class Done:
    """A step that can be compensated and was done; ``past`` once its round is over."""

    step: str
    past: Past | None = None


@dataclass(slots=True)
class StepState:
    """One step of a run."""

    status: StepStatus = "waiting"
    times: int = 0
    """How often it has begun: more than once in a loop."""
    value: Json = None
    each: Each | None = None
    fault: Fault | None = None


@dataclass(slots=True)
class RunState:
    """One run: its marking, its steps, and what is in flight."""

    run: str
    net: Net
    status: Status = "new"
    seq: int = 0
    marking: Marking = field(default_factory=Marking)
    steps: dict[str, StepState] = field(default_factory=dict)
    workload: dict[str, Json] = field(default_factory=dict)
    overrides: dict[str, dict[str, Json]] = field(default_factory=dict)
    ctx: dict[str, Json] = field(default_factory=dict)
    attempts: dict[str, Try] = field(default_factory=dict)
    pauses: dict[Work, Pause] = field(default_factory=dict)
    races: dict[Work, Race] = field(default_factory=dict)
    """Work of which more than one try was begun at once, until it is decided."""
    beaten: set[str] = field(default_factory=set)
    """Tries that are open though another of the same work was first: they are to end."""
    losses: dict[Work, int] = field(default_factory=dict)
    """How many tries of a piece of work were lost."""
    deaths: dict[Work, int] = field(default_factory=dict)
    """How many of them with a worker that died at it."""
    timers: dict[str, float] = field(default_factory=dict)
    """What is due when, by name; a step's total timeout has the step's name."""
    expired: set[str] = field(default_factory=set)
    """Steps whose total timeout has passed."""
    rounds: dict[str, Round] = field(default_factory=dict)
    loops: dict[str, int] = field(default_factory=dict)
    """How often each loop under way has begun again, by its head."""
    order: list[str] = field(default_factory=list)
    """Steps in the order in which they were done."""
    undo: list[Done] = field(default_factory=list)
    """What is to be compensated if the run fails, once a round, the last one first."""
    signals: dict[str, list[Json]] = field(default_factory=dict)
    """Signals that came and that no step has taken yet."""
    fault: Fault | None = None
    fault_step: str = ""
    result: Json = None
    system: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    priority: int = 0
    parent: str | None = None
    due: float | None = None
    """By when the run that waits for it has to know its end."""
    depth: int = 0
    children: dict[str, str] = field(default_factory=dict)
    submitted_at: float = 0.0
    trace: str = ""
    """A running hash of every marking the run has had."""

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to the run any more."""
        return self.status in ENDED

    def past_for(self, step: str) -> Past | None:
        """What a compensation is to see of the round it undoes; None when that is the last."""
        last = self.undo[-1] if self.undo else None
        return last.past if last is not None and compensation_of(last.step) == step else None

    def active_each(self) -> Iterator[tuple[str, Each]]:
        """Yield the ``each`` steps that are under way."""
        for name, step in self.steps.items():
            if step.status == "active" and step.each is not None:
                yield name, step.each

    def note_marking(self) -> None:
        """Take the marking, which has just changed, into the trace."""
        text = f"{self.trace}|{self.seq}|{self.marking.text()}"
        self.trace = hashlib.sha256(text.encode()).hexdigest()[:32]

    def hash(self) -> str:
        """A digest of marking and step states: equal after every event of an exact replay."""
        steps = {n: [s.status, s.value] for n, s in sorted(self.steps.items())}
        whole = [self.status, self.seq, self.marking.tokens(), steps, self.ctx]
        text = json.dumps([*whole, sorted(self.attempts)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def compensation_of(step: str) -> str:
    """The name of the step that undoes another."""
    return f"{step}.compensate"


def new_run(run: str, net: Net) -> RunState:
    """Return the state of a run of which nothing is known yet."""
    names = [*net.transitions, *sorted(net.beside)]
    return RunState(run, net, steps={name: StepState() for name in names})

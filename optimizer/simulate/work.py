"""Work: what a run had to do, apart from how it was arranged in time.

A run's events are folded into firings of steps, each with the firings it waited for, its
cuts, and for every piece of work (a batch, or a step that is no ``each``) its tries: how
long each waited to be handed out, how long it held its slot, how it ended, how long it
was before the next. What is left out is when anything began: that follows from the knobs,
and is what `flow.replay` works out again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    EachCut,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunPaused,
    RunSubmitted,
    StepHeld,
    StepRouted,
)

Json: TypeAlias = Any

WAITED: Final = 0.2
"""From this share of waiting in holding on, a pool is held to have been full."""


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt: seconds until it was handed out, in its slot, and until the next try.

    ``cold``: it was the first of the run that its worker did, and may have had to load.
    ``over_budget``: another would have followed, but for the retry budget of its step.
    ``price`` is that of an hour of its slot, as it was when it began (``begun_at``, seconds since
    the epoch; 0 where that is not known), and ``spend_usd`` what its tool spent beside.
    """

    outcome: str
    cls: str
    queue_s: float
    hold_s: float
    wait_s: float | None
    cost_usd: float | None
    cold: bool = False
    over_budget: bool = False
    begun_at: float = 0.0
    hardware: str = ""
    price: float | None = None
    spend_usd: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.outcome == "succeeded"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of work over all its tries. Failed and ``rescued``: its items were cut again."""

    items: int
    tries: tuple[Try, ...]
    rescued: bool = False

    @property
    def ok(self) -> bool:
        """Whether its last try succeeded."""
        return self.tries[-1].ok

    @property
    def cold(self) -> bool:
        """Whether one of its tries found a cold worker."""
        return any(t.cold for t in self.tries)


@dataclass(frozen=True, slots=True)
class Cut:
    """A range of items as it was cut. ``attempts`` is the limit of tries in force, if known."""

    kind: str
    size: int
    in_flight: int
    drained: bool
    arm: str
    attempts: int | None
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Firing:
    """A step that fired: ``lag_s`` after the last of the firings in ``after`` had ended.

    ``held_s`` of that it waited for its hours of the day.
    """

    step: str
    each: bool
    after: tuple[int, ...]
    lag_s: float
    span_s: float
    cuts: tuple[Cut, ...]
    held_s: float = 0.0

    @property
    def items(self) -> int:
        """How many items it had, each counted once."""
        return sum(p.items for c in self.cuts for p in c.pieces if not p.rescued)

    @property
    def items_failed(self) -> int:
        """How many items failed for good."""
        return sum(p.items for c in self.cuts for p in c.pieces if not p.ok and not p.rescued)


@dataclass(frozen=True, slots=True)
class Work:
    """A recorded run. ``slots`` is how many attempts the pool ran at once, where it was full.

    ``begun_at`` is when it began, in seconds since the epoch; 0 where that is not known.
    """

    run: str
    playbook: str
    version: str
    state: str
    paused: bool
    makespan_s: float
    tail_s: float
    slots: int | None
    demand: int
    firings: tuple[Firing, ...]
    forked: bool = False
    """Whether it goes on from another run, whose work it has without its times."""
    begun_at: float = 0.0

    def of(self, step: str) -> list[Firing]:
        """Return the firings of a step."""
        return [f for f in self.firings if f.step == step]

    @property
    def pieces(self) -> int:
        """How many pieces of work it had."""
        return sum(len(c.pieces) for f in self.firings for c in f.cuts)


@dataclass(slots=True)
class _Tried:
    scheduled_at: float
    at: float
    told: AttemptFinished
    cold: bool


@dataclass(slots=True)
class _Range:
    """A cut while it is read."""

    cut: Cut
    first: int


@dataclass(slots=True)
class _Fired:
    """A firing while it is read."""

    step: str
    each: bool
    started_at: float
    after: tuple[int, ...] = ()
    lag_s: float = 0.0
    held_s: float = 0.0
    ended_at: float | None = None
    arcs: tuple[str, ...] = ()
    fed: set[str] = field(default_factory=set)
    ranges: list[_Range] = field(default_factory=list)
    tries: dict[int, list[_Tried]] = field(default_factory=dict)
    items: dict[int, int] = field(default_factory=dict)
    rescued: set[int] = field(default_factory=set)


def from_events(
    run: str, events: Iterable[Recorded], configs: Mapping[str, Mapping[str, Json]] | None = None
) -> Work:
    """Fold a run's events. ``configs`` are effective values by configuration hash."""
    reading = Reading(run, configs or {})
    for recorded in events:
        reading.take(recorded)
    return reading.work()


class Reading:
    """A run while its events are read; feed each once, in order."""

    def __init__(self, run: str, configs: Mapping[str, Mapping[str, Json]]) -> None:
        self._run, self._configs = run, configs
        self._fired: list[_Fired] = []
        self._open: dict[str, _Fired] = {}
        self._scheduled: dict[str, float] = {}
        self._held: dict[str, float] = {}
        self._warm: set[str] = set()
        self._about = ("", "")
        self._state, self._paused, self._forked = "running", False, False
        self._from: float | None = None
        self._until = 0.0

    def take(self, recorded: Recorded) -> None:
        """Take the next event into account."""
        at, event = recorded.at, recorded.event
        self._from = at if self._from is None else self._from
        self._until = at
        match event:
            case AttemptScheduled():
                self._schedule(event, at)
            case AttemptFinished():
                self._finish(event, at)
            case EachCut():
                self._cut(event, at)
            case StepHeld():
                self._held[event.step] = at
            case StepRouted():
                fired = self._open.get(event.step) or self._fire(event.step, at, each=False)
                self._end(fired, at, event.arcs)
            case RunSubmitted():
                self._about = (event.playbook, event.version)
                self._forked = event.forked is not None
            case RunPaused():
                self._paused = True
            case RunCompleted() | RunFailed() | RunCancelled():
                self._state = event.TYPE.removeprefix("run.")
            case _:
                pass

    def _fire(self, step: str, at: float, *, each: bool) -> _Fired:
        """A step begins: it waited for those that sent it a token, or that ended just now."""
        over = [(f.ended_at, i) for i, f in enumerate(self._fired) if f.ended_at is not None]
        fed = [
            i for _, i in over if step in self._fired[i].arcs and step not in self._fired[i].fed
        ]
        for i in fed:
            self._fired[i].fed.add(step)
        last = max(over, default=None)
        if last is not None and (not fed or last[0] == at):
            fed.append(last[1])
        began = max((e for e, i in over if i in fed), default=self._from or at)
        held_s = at - self._held.pop(step, at)
        fired = _Fired(step, each, at, tuple(sorted(set(fed))), max(0.0, at - began), held_s)
        self._fired.append(fired)
        self._open[step] = fired
        return fired

    def _end(self, fired: _Fired, at: float, arcs: Iterable[str]) -> None:
        fired.ended_at, fired.arcs = at, tuple(arcs)
        self._open.pop(fired.step, None)

    def _cut(self, event: EachCut, at: float) -> None:
        if event.items is not None:
            self._fire(event.step, at, each=True)
        fired = self._open[event.step]
        if event.rescues is not None:
            fired.rescued.add(event.rescues)
        cut = Cut(
            event.kind, event.size, event.in_flight, event.drained, event.arm or "",
            self._attempts(event.config), (),
        )  # fmt: skip
        fired.ranges.append(_Range(cut, event.first_batch))

    def _attempts(self, config: str) -> int | None:
        value = self._configs.get(config, {}).get("retry.attempts")
        return None if value is None else int(value)

    def _schedule(self, event: AttemptScheduled, at: float) -> None:
        if event.batch < 0 and event.step not in self._open:
            fired = self._fire(event.step, at, each=False)
            limit = self._attempts(event.config)
            fired.ranges.append(_Range(Cut("step", 1, 1, False, "", limit, ()), -1))
        self._open[event.step].items[event.batch] = event.items
        self._scheduled[event.attempt] = at

    def _finish(self, event: AttemptFinished, at: float) -> None:
        fired = self._open.get(event.step)
        scheduled_at = self._scheduled.pop(event.attempt, None)
        if fired is None or scheduled_at is None:
            return
        cold = event.worker not in self._warm and event.worker != ""
        self._warm.add(event.worker)
        if event.moot:  # what is estimated is the try that counted, without what ran beside it
            return
        fired.tries.setdefault(event.batch, []).append(_Tried(scheduled_at, at, event, cold))
        if event.arcs is not None or (event.batch < 0 and event.retry_at is None):
            self._end(fired, at, event.arcs or ())

    def work(self) -> Work:
        """Return the work read so far."""
        ends = [f.ended_at for f in self._fired if f.ended_at is not None]
        tries = [t for f in self._fired for ts in f.tries.values() for t in ts]
        demand = _peak([(t.scheduled_at, t.at) for t in tries])
        begun = self._from or 0.0
        return Work(
            self._run, *self._about, self._state, self._paused, self._until - begun,
            self._until - max(ends, default=self._until), _slots(tries, demand), demand,
            tuple(_firing(f) for f in self._fired), self._forked, begun,
        )  # fmt: skip


def _firing(fired: _Fired) -> Firing:
    firsts = [r.first for r in fired.ranges]
    held: list[list[Piece]] = [[] for _ in firsts]
    for batch, tries in sorted(fired.tries.items()):
        held[bisect_right(firsts, batch) - 1].append(
            Piece(fired.items[batch], _tries(tries), batch in fired.rescued)
        )
    cuts = tuple(
        replace(r.cut, pieces=tuple(p)) for r, p in zip(fired.ranges, held, strict=True) if p
    )
    span = (fired.ended_at or fired.started_at) - fired.started_at
    return Firing(fired.step, fired.each, fired.after, fired.lag_s, span, cuts, fired.held_s)


def _tries(tried: list[_Tried]) -> tuple[Try, ...]:
    found = []
    for i, one in enumerate(tried):
        told = one.told
        wait = tried[i + 1].scheduled_at - one.at if i + 1 < len(tried) else None
        queue = min(max(0.0, told.queue_s), one.at - one.scheduled_at)
        hold = one.at - one.scheduled_at - queue
        cls = told.fault.cls if told.fault is not None else ""
        found.append(Try(
            told.outcome, cls, queue, hold, wait, told.cost_usd, one.cold, told.over_budget,
            one.scheduled_at + queue, told.hardware, told.price_usd_hour, told.spend_usd,
        ))  # fmt: skip
    return tuple(found)


def _slots(tries: list[_Tried], demand: int) -> int | None:
    """How many ran at once, if more wanted to for a good part of the time; else unknown."""
    ran = _peak([(min(t.at, t.scheduled_at + t.told.queue_s), t.at) for t in tries])
    waited = sum(t.told.queue_s for t in tries)
    held = sum(t.at - t.scheduled_at - t.told.queue_s for t in tries)
    return ran if demand > ran and waited > WAITED * held else None


def _peak(spans: list[tuple[float, float]]) -> int:
    """The most spans that hold at once; one that ends makes room for one that begins."""
    edges = sorted([(a, 1) for a, _ in spans] + [(b, -1) for _, b in spans])
    most = now = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most

"""Flow: work put in time again, event by event, under its cuts and a pool's slots.

The rules are the engine's: a step fires when all it waits for has ended; a cut keeps so
many of its pieces in flight, one that waits for its next try among them; a drained cut
begins when nothing of its step is in flight; a try holds a slot from when it is handed
out until it ends, and who finds no slot waits in line. Under a retry budget a try is not
made again once the bucket, which begins empty, has no token left: the piece has failed then.
Nothing is left to chance: the same work gives the same times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final, Protocol

from optimizer.simulate.work import Firing, Piece, Try, Work
from runtime.run.budget import Budget

OPEN: Final = 0
ASK: Final = 1
END: Final = 2


@dataclass(frozen=True, slots=True)
class Spent:
    """What one step took: seconds from its first firing to its last end, dollars, items lost."""

    span_s: float
    cost_usd: float | None
    items_failed: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a replay went. ``failed`` names the step that would have ended the run."""

    makespan_s: float
    steps: Mapping[str, Spent]
    failed: str = ""


class Clock(Protocol):
    """What depends on the hour of the day. Times are seconds since the run began."""

    def lag_s(self, firing: Firing, at: float) -> float:
        """How long after ``at`` a firing begins, once all that it waits for has ended."""
        ...

    def cost(self, one: Try, at: float) -> float | None:
        """What a try costs that begins in its slot then."""
        ...


@dataclass(slots=True)
class _Job:
    """A piece in flight, at one of its tries."""

    firing: int
    piece: Piece
    number: int = 0


@dataclass(slots=True)
class _Step:
    """A firing in progress."""

    pending: int
    began: float = 0.0
    ended: float | None = None
    cut: int = 0
    next: int = 0
    active: int = 0
    failed: int = 0
    cost: float = 0.0
    priced: bool = True


@dataclass(slots=True)
class _Replay:
    work: Work
    slots: int | None
    allowed: Mapping[str, int | None]
    steps: list[_Step]
    feeds: list[list[int]]
    shares: Mapping[str, float]
    clock: Clock | None = None
    buckets: dict[str, Budget] = field(default_factory=dict)
    heap: list[tuple[float, int, int, _Job | int]] = field(default_factory=list)
    line: deque[_Job] = field(default_factory=deque)
    busy: int = 0
    order: int = 0
    failed: str = ""
    now: float = 0.0

    def go(self) -> None:
        for i, firing in enumerate(self.work.firings):
            if not firing.after:
                self._open(i)
        while self.heap and not self.failed:
            self.now, _, kind, what = heappop(self.heap)
            if isinstance(what, int):
                self.steps[what].began = self.now
                self._refill(what)
            elif kind == ASK:
                self._ask(what)
            else:
                self._end(what)

    def _push(self, at: float, kind: int, what: _Job | int) -> None:
        self.order += 1
        heappush(self.heap, (at, self.order, kind, what))

    def _open(self, i: int) -> None:
        firing = self.work.firings[i]
        lag_s = firing.lag_s if self.clock is None else self.clock.lag_s(firing, self.now)
        self._push(self.now + lag_s, OPEN, i)

    def _ask(self, job: _Job) -> None:
        if self.slots is not None and self.busy >= self.slots:
            self.line.append(job)
            return
        self.busy += 1
        one = job.piece.tries[job.number]
        self._push(self.now + one.queue_s + one.hold_s, END, job)

    def _end(self, job: _Job) -> None:
        self.busy -= 1
        if self.line:
            self._ask(self.line.popleft())
        step, one = self.steps[job.firing], job.piece.tries[job.number]
        cost = one.cost_usd if self.clock is None else self.clock.cost(one, self.now - one.hold_s)
        step.priced &= cost is not None
        step.cost += cost or 0.0
        job.number += 1
        again = job.number < len(job.piece.tries)
        allowed = self._is_allowed(job, one, again=again)
        if again and allowed:
            self._push(self.now + (one.wait_s or 0.0), ASK, job)
            return
        step.active -= 1
        if (again or not job.piece.ok) and not job.piece.rescued:
            self._count(job, step)
        self._refill(job.firing)

    def _is_allowed(self, job: _Job, one: Try, *, again: bool) -> bool:
        """Whether the step's budget lets a try be made again; one that was lost costs nothing."""
        name = self.work.firings[job.firing].step
        share = self.shares.get(name)
        if share is None or one.outcome == "lost":
            return True
        first = sum(t.outcome != "lost" for t in job.piece.tries[: job.number]) == 1
        budget = self.buckets.setdefault(name, Budget())
        return budget.ended(share, first=first, wants=again)

    def _count(self, job: _Job, step: _Step) -> None:
        step.failed += job.piece.items
        name = self.work.firings[job.firing].step
        allowed = self.allowed.get(name)
        if allowed is not None and step.failed > allowed:
            self.failed = name

    def _refill(self, i: int) -> None:
        step, firing = self.steps[i], self.work.firings[i]
        while step.cut < len(firing.cuts):
            cut = firing.cuts[step.cut]
            if step.next == 0 and step.active and self._drains(firing, step.cut):
                return
            if step.next >= len(cut.pieces):
                step.cut, step.next = step.cut + 1, 0
            elif step.active >= cut.in_flight:
                return
            else:
                step.active, step.next = step.active + 1, step.next + 1
                self._ask(_Job(i, cut.pieces[step.next - 1]))
        if not step.active and step.ended is None:
            step.ended = self.now
            for j in self.feeds[i]:
                self.steps[j].pending -= 1
                if not self.steps[j].pending:
                    self._open(j)

    def _drains(self, firing: Firing, number: int) -> bool:
        cut = firing.cuts[number]
        after = number > 0 and firing.cuts[number - 1].drained
        return cut.kind != "rescue" and (cut.drained or after)


def replay(
    work: Work, slots: int | None = None, allowed: Mapping[str, int | None] | None = None,
    budgets: Mapping[str, float] | None = None, clock: Clock | None = None,
) -> Outcome:  # fmt: skip
    """Return how the work goes. ``allowed`` is how many items may fail, by step.

    ``budgets`` are the shares of first tries that may be tried again, by step. ``clock`` says
    when steps begin, and what tries cost, at other hours of the day than they did.
    """
    feeds: list[list[int]] = [[] for _ in work.firings]
    for i, firing in enumerate(work.firings):
        for source in firing.after:
            feeds[source].append(i)
    steps = [_Step(len(f.after)) for f in work.firings]
    replaying = _Replay(work, slots, allowed or {}, steps, feeds, budgets or {}, clock)
    replaying.go()
    names = dict.fromkeys(f.step for f in work.firings)
    spent = {n: _spent([s for f, s in zip(work.firings, steps, strict=True) if f.step == n])
             for n in names}  # fmt: skip
    return Outcome(replaying.now + work.tail_s, spent, replaying.failed)


def _spent(steps: list[_Step]) -> Spent:
    span = sum((s.ended if s.ended is not None else s.began) - s.began for s in steps)
    cost = sum(s.cost for s in steps) if all(s.priced for s in steps) else None
    return Spent(span, cost, sum(s.failed for s in steps))

"""The queue before the workers: by priority, then in order; and limits that hold some back.

A limit is shared by all steps that use it: so many in flight at once, so many begun per
second. What a limit holds back waits beside the queue, so that it is looked at again when
the limit gives way and not before.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from msgspec import Struct

from runtime.engine.pace import Pace
from runtime.playbook.model import Limit


class Ready(Struct, frozen=True, gc=False):
    """An attempt that may be sent.

    ``uses`` names the limits it is under; ``pace`` tells whether its step's tries are short.
    A ``hedge`` goes after all others.
    """

    run: str
    attempt: str
    priority: int = 0
    uses: tuple[str, ...] = ()
    pace: Pace | None = None
    hedge: bool = False


@dataclass(slots=True)
class _Gate:
    """How much of a limit is used: in flight, and the allowance of begun per second."""

    limit: Limit
    in_flight: int = 0
    allowance: float = 1.0
    seen_at: float = -math.inf
    held: deque[_Place] = field(default_factory=deque)

    def opens_at(self, at: float) -> float:
        """When one more may begin: ``at``, later, or never before one ends."""
        if self.limit.in_flight is not None and self.in_flight >= self.limit.in_flight:
            return math.inf
        rate = self.limit.per_second
        if rate is None:
            return at
        self.allowance = min(max(rate, 1.0), self.allowance + (at - self.seen_at) * rate)
        self.seen_at = at
        return at if self.allowance >= 1.0 else at + (1.0 - self.allowance) / rate

    def next_held(self) -> _Place:
        """Take the one held back longest; a hedge only when nothing else is."""
        place = next((p for p in self.held if not p[2].hedge), self.held[0])
        self.held.remove(place)
        return place

    def take(self) -> None:
        self.in_flight += 1
        if self.limit.per_second is not None:
            self.allowance -= 1.0


_Place: TypeAlias = tuple[int, int, Ready]
"""An attempt with what it is sorted by: priority, then order. It is kept while held back."""

_LAST: Final = 1 << 40
"""The rank of hedges: higher than any priority, so that they are taken last."""


class WorkQueue:
    """Attempts that wait for a worker."""

    def __init__(self) -> None:
        self._heap: list[_Place] = []
        self._gates: dict[str, _Gate] = {}
        self._holding: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap) + sum(len(g.held) for g in self._gates.values())

    def limit(self, limits: Mapping[str, Limit]) -> None:
        """Make limits known; one that is known keeps what it counts.

        What a limit that is another now held back is looked at again.
        """
        for name, limit in limits.items():
            gate = self._gates.setdefault(name, _Gate(limit))
            if gate.limit != limit:
                gate.limit = limit
                for place in gate.held:
                    heapq.heappush(self._heap, place)
                gate.held.clear()

    def knows(self, name: str) -> bool:
        """Whether a limit of this name was declared."""
        return name in self._gates

    def put(self, ready: Ready, *, first: bool = False) -> None:
        """Let an attempt wait; ``first`` puts it before its equals."""
        self._count += 1
        order = -self._count if first else self._count
        rank = _LAST if ready.hedge else -ready.priority
        heapq.heappush(self._heap, (rank, order, ready))

    def next(
        self, at: float, fits: Callable[[Ready], bool] = lambda _: True
    ) -> tuple[Ready | None, float]:
        """Take the next attempt that may be sent, or say when to look again (maybe never).

        One that does not fit stays, and so do those behind it.
        """
        again = math.inf
        while self._heap and fits(self._heap[0][2]):
            place = heapq.heappop(self._heap)
            ready = place[2]
            closed = self._closed(ready, at)
            if closed is None:
                for name in ready.uses:
                    self._gate(name).take()
                self._holding[ready.attempt] = ready.uses
                return ready, at
            name, opens = closed
            self._gates[name].held.append(place)
            for other in ready.uses:
                if other != name:
                    self._release(other)
            again = min(again, opens)
        return None, again

    def spare_at(self, uses: tuple[str, ...], at: float) -> float:
        """When a hedge under these limits may pass: ``at``, later, or never as things are.

        Never while anything waits for a slot, or is held back by one of these limits.
        """
        gates = [self._gate(name) for name in uses]
        if self._heap or any(gate.held for gate in gates):
            return math.inf
        return max((gate.opens_at(at) for gate in gates), default=at)

    def done(self, attempt: str) -> None:
        """An attempt that was taken has ended, or was never sent: its limits give way."""
        for name in self._holding.pop(attempt, ()):
            self._gates[name].in_flight -= 1
            self._release(name)

    def retry(self) -> None:
        """Look again at what a rate holds back."""
        for name, gate in self._gates.items():
            if gate.limit.per_second is not None:
                self._release(name)

    def _release(self, name: str) -> None:
        """Let the one that has been held back longest be looked at again."""
        gate = self._gate(name)
        if gate.held:
            heapq.heappush(self._heap, gate.next_held())

    def _gate(self, name: str) -> _Gate:
        """The gate of a limit; one that is no longer declared stands open."""
        return self._gates.setdefault(name, _Gate(Limit()))

    def _closed(self, ready: Ready, at: float) -> tuple[str, float] | None:
        """The first limit that does not let an attempt pass, and when it may."""
        for name in ready.uses:
            opens = self._gate(name).opens_at(at)
            if opens > at:
                return name, opens
        return None


def scoped(path: str, uses: Iterable[str], own: Mapping[str, Limit]) -> tuple[str, ...]:
    """Return the full names of limits: a playbook's own carry its path."""
    return tuple(f"{path}:{name}" if name in own else name for name in uses)

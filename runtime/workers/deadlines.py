"""One timer for all deadlines of a pool: of tasks that run, and of seats that are silent.

The timer is set to the earliest moment at which anything could be due. That moment moves
with every report, mostly away; so the timer is left where it is and looks again when it
fires, which is cheaper than to set it anew for every task.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Final

from runtime.workers.seat import Seat

STALLED_S: Final = 0.1
"""How long a worker with more than one task may be silent before the others are taken back."""


class Deadlines:
    """Tells of seats that are over time or silent; ``looked`` is called after each look."""

    def __init__(
        self, seats: Sequence[Seat], *, over: Callable[[Seat], None],
        stalled: Callable[[Seat, float], None], looked: Callable[[], None],
    ) -> None:  # fmt: skip
        self._seats, self._over, self._stalled, self._looked = seats, over, stalled, looked
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use this loop's clock."""
        self._loop = loop

    def set(self, seat: Seat) -> None:
        """Its first task began when the one before it was heard of, or was just given."""
        limit = seat.queue[0].timeout_s if seat.queue else None
        seat.deadline = None if limit is None else self._loop.time() + limit
        if seat.queue:
            self.watch(seat)

    def watch(self, seat: Seat) -> None:
        """See that the timer fires no later than this seat needs it."""
        due = math.inf if seat.deadline is None else seat.deadline
        if len(seat.queue) > 1:
            due = min(due, seat.heard_at + STALLED_S)
        if due == math.inf:
            return
        if self._timer is not None:
            if self._timer.when() <= due:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def stop(self) -> None:
        """Fire no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Tell what is due; fire again for the next that could be."""
        self._timer = None
        now = self._loop.time()
        for seat in self._seats:
            if not seat.queue or not seat.pid:
                continue
            if len(seat.queue) > 1 and seat.heard_at + STALLED_S <= now:
                self._stalled(seat, now)
            if seat.deadline is not None and seat.deadline <= now:
                self._over(seat)
            if seat.queue and not seat.queue[0].verdict:
                self.watch(seat)
        self._looked()

"""Timers: when which run has something due. One wake-up of the loop for all of them.

The loop's clock stands still while a machine sleeps, and the engine's may be set. A long wait
is therefore looked at again now and then: what has come due meanwhile is soon noticed.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections.abc import Callable
from typing import Final

_LOG: Final = logging.getLogger("trimtab.engine")
LOOK_S: Final = 60.0
"""The longest time for which the two clocks are trusted to go alike."""


class Timers:
    """Calls ``due(run)`` at or soon after the times asked for (in the engine's clock)."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float],
        due: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._loop, self._clock, self._due = loop, clock, due
        self._heap: list[tuple[float, str]] = []
        self._next: dict[str, float] = {}
        self._handle: asyncio.TimerHandle | None = None

    def at(self, when: float, run: str) -> None:
        """Wake ``run`` at ``when``, unless it will be woken before; it then asks again."""
        if self._next.get(run, math.inf) <= when:
            return
        self._next[run] = when
        heapq.heappush(self._heap, (when, run))
        if self._heap[0][0] == when:
            self._arm()

    def close(self) -> None:
        """Wake nobody any more."""
        if self._handle is not None:
            self._handle.cancel()
        self._heap.clear()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        wait = min(max(self._heap[0][0] - self._clock(), 0.0), LOOK_S)
        self._handle = self._loop.call_later(wait, self._fire)

    def _fire(self) -> None:
        now, runs = self._clock(), dict[str, None]()
        while self._heap and self._heap[0][0] <= now:
            when, run = heapq.heappop(self._heap)
            if self._next.get(run) == when:
                del self._next[run]
                runs[run] = None
        if self._heap:
            self._arm()
        for run in runs:
            try:
                self._due(run)
            except Exception:  # it keeps no other run from its time
                _LOG.exception("what was due of run %s could not be done", run)

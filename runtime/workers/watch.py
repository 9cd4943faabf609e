"""The watch: looks a few times a second at attempts that take long, and ends those over a limit.

It counts the processes below a worker and the memory that all of them hold, and notices
a worker that stopped itself or gave no sign of life. Attempts shorter than a look cost
nothing at all, and a pool with nothing to do is not looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from runtime.workers import usage
from runtime.workers.seat import Given, Seat, Verdict

LOOK_S: Final = 0.1
STOPPED_S: Final = 10.0
"""A worker that is stopped for so long is not waited for any more."""

OnOver = Callable[[Given, Verdict, str], None]
"""Called with a task that is to be ended, what to call it, and why."""


class Watch:
    """Looks at the seats of one pool while any of them is busy."""

    def __init__(self, seats: Sequence[Seat], over: OnOver) -> None:
        self._seats, self._over = seats, over
        self._timer: asyncio.TimerHandle | None = None
        self._stopped: dict[int, float] = {}
        self._loop: asyncio.AbstractEventLoop

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use this loop's clock."""
        self._loop = loop

    @property
    def awake(self) -> bool:
        """Whether a look is due."""
        return self._timer is not None

    def wake(self) -> None:
        """A seat has something to do: look soon."""
        self._timer = self._loop.call_later(LOOK_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        busy = [seat for seat in self._seats if seat.queue]
        for seat in busy:
            given = seat.queue[0]
            if seat.pid and not given.verdict and seat.heard_at + LOOK_S <= now:
                self._judge(seat, given, now)
        if busy and not self.awake:
            self.wake()

    def _judge(self, seat: Seat, given: Given, now: float) -> None:
        told = self._limits(seat.pid, given)
        if told:
            self._over(given, "stopped", told)
        elif (
            given.heartbeat_s is not None and self._silent_s(seat, given, now) > given.heartbeat_s
        ):
            told = f"it gave no sign of life for {given.heartbeat_s:g} s (heartbeat) and was ended"
            self._over(given, "timed_out", told)
        elif self._stopped_s(seat, now) > STOPPED_S:
            told = f"its process was stopped (SIGSTOP) for {STOPPED_S:g} s and was ended"
            self._over(given, "timed_out", told)

    def _limits(self, pid: int, given: Given) -> str:
        """Over which limit the processes of an attempt are, in words; nothing when over none."""
        others = usage.below(pid, given.processes)
        if len(others) > given.processes:
            return (
                f"it had more than {given.processes} processes at once and was ended; "
                "a step that needs more says so with `processes`"
            )
        if given.memory_bytes is None:
            return ""
        held = usage.memory_bytes([pid, *others], given.memory_bytes)
        if held <= given.memory_bytes:
            return ""
        whose = "it and its processes" if others else "it"
        return (
            f"{whose} held {held >> 20} MB of memory, where {given.memory_bytes >> 20} MB are "
            "allowed, and was ended; a step that needs more says so with `memory`"
        )

    def _silent_s(self, seat: Seat, given: Given, now: float) -> float:
        return now - max(seat.heard_at, given.said_at)

    def _stopped_s(self, seat: Seat, now: float) -> float:
        """For how long its process has been stopped."""
        if not usage.is_stopped(seat.pid):
            self._stopped.pop(seat.number, None)
            return 0.0
        return now - self._stopped.setdefault(seat.number, now)

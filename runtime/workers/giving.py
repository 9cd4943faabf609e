"""Giving: which worker a task goes to, and where it goes when that one cannot begin it.

A task is given to an idle seat, or behind tasks as short as itself. What was not begun
can be taken back, and then goes before all others. Here a pool keeps where every task is;
hearing of them, and of processes, is `runtime.workers.local`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from runtime.data.folder import DataFolder
from runtime.tools import faults
from runtime.workers.deadlines import Deadlines
from runtime.workers.port import OnReport
from runtime.workers.protocol import Report, Task
from runtime.workers.seat import Given, Seat, Verdict
from runtime.workers.watch import Watch

_ENCODE: Final = msgspec.msgpack.Encoder().encode
_TRIES: Final = 5
"""How often a task is handed to a new process when the old ones died before reading it."""


class Giving(ABC):
    """The seats of a pool, and the tasks they were given."""

    def __init__(self, slots: int, folder: DataFolder, name: str, system: bool) -> None:
        if slots < 1:
            raise ValueError(f"a pool needs at least one slot, not {slots}")
        self.name = name
        self.slots = slots
        self.folder = folder
        self.system = system
        self.bytes_sent = 0
        self.bytes_received = 0
        self._seats = [Seat(f"{name}-{number}") for number in range(slots)]
        self._by_slot: dict[int, Seat | None] = {}
        """Where each task is; None for one that waits in ``_returned``."""
        self._idle: list[Seat] = []
        self._open: dict[Seat, None] = {}
        """Busy seats that may have room for a short task, in turn."""
        self._unsaid: dict[Seat, None] = {}
        """Seats that were given tasks since the last flush."""
        self._returned: deque[Given] = deque()
        """Tasks that were given to a process and not begun: they go before all others."""
        self._deadlines = Deadlines(
            self._seats, over=self._over_time, stalled=self._relieve, looked=self._give_returned
        )
        self._watch = Watch(self._seats, self._over_limit)
        self._quiet = asyncio.Event()
        self._shut = self._stopping = self._silent = False
        self._loop: asyncio.AbstractEventLoop
        self._on_report: OnReport
        self._on_room: Callable[[], None]

    @abstractmethod
    def _over_time(self, seat: Seat) -> None:
        """The task that runs in a seat has no time left."""

    @abstractmethod
    def _over_limit(self, given: Given, verdict: Verdict, told: str) -> None:
        """A task that runs is over a limit."""

    def free(self) -> int:
        """How many tasks may be sent now."""
        return 0 if self._shut else len(self._idle)

    def room(self, expect_s: float) -> bool:
        """Whether a task that should take so long may be sent, if need be behind others."""
        if self._idle or self._shut:
            return not self._shut
        while self._open:
            seat = next(iter(self._open))
            if seat.has_room(expect_s):
                return True
            del self._open[seat]
        return False

    def send(self, task: Task, expect_s: float | None = None) -> str:
        """Give a task to a worker and return the worker's name. Needs ``free() > 0``.

        With ``expect_s`` it needs ``room(expect_s)``, may wait behind others that are as
        short, and goes with the next `flush`.
        """
        if not (self.free() if expect_s is None else self.room(expect_s)):
            raise RuntimeError(f"pool {self.name} has no free worker; ask free() first")
        if self.system and not task.system:
            raise ValueError(f"pool {self.name} takes system runs only, not {task.attempt}")
        if task.slot in self._by_slot:
            raise ValueError(f"slot {task.slot} was given before and is not reported")
        try:
            data = _ENCODE(task)
        except (OverflowError, TypeError, ValueError) as error:
            return self._unsayable(task, error)
        seat = self._idle.pop() if self._idle else next(iter(self._open))
        self._give(seat, Given(task, data, expect_s))
        if expect_s is None:
            self.flush()
        return seat.name

    def _unsayable(self, task: Task, error: Exception) -> str:
        """Fail a task that no worker can be told, soon: who sends hears nothing before."""
        why = faults.fault("permanent", f"the step's inputs cannot be given to a worker: {error}")
        report = Report(task.slot, task.attempt, "failed", fault=why)
        worker = (self._idle or list(self._open))[-1].name
        self._loop.call_soon(self._deliver, worker, report)
        return worker

    def flush(self) -> None:
        """Let go what was sent, one message a worker."""
        for seat in self._unsaid:
            self._write(seat)
        self._unsaid.clear()

    # ---- giving -------------------------------------------------------------------------

    def _give(self, seat: Seat, given: Given) -> None:
        given.tries += 1
        self._by_slot[given.slot] = seat
        seat.take(given, self._loop.time())
        self.bytes_sent += len(given.data)
        self._unsaid[seat] = None
        self._open.pop(seat, None)
        if not seat.closed:
            self._open[seat] = None
        if seat.pid and len(seat.queue) == 1:
            self._deadlines.set(seat)
        elif len(seat.queue) == 2:
            self._deadlines.watch(seat)
        if not self._watch.awake:
            self._watch.wake()

    def _write(self, seat: Seat) -> None:
        if seat.sock is None:
            return
        fd = seat.sock.fileno()
        whole = seat.push()
        if whole and seat.writing:
            self._loop.remove_writer(fd)
        elif not whole and not seat.writing:
            self._loop.add_writer(fd, self._write, seat)
        seat.writing = not whole

    def _take_back(self, seat: Seat) -> None:
        """Take the tasks that a worker has not begun; who calls this gives them again."""
        back = seat.take_back()
        for given in back:
            self._by_slot[given.slot] = None
        self._returned.extendleft(reversed(back))
        if back and not seat.queue and seat.state == "busy":
            self._make_idle(seat)

    def _give_returned(self) -> None:
        """Give what was taken back to workers that have nothing to do."""
        while self._returned and self._idle and not self._silent:
            self._give(self._idle.pop(), self._returned.popleft())
        self.flush()

    def _make_idle(self, seat: Seat) -> None:
        seat.state = "idle"
        self._open.pop(seat, None)
        self._idle.append(seat)

    def _relieve(self, seat: Seat, now: float) -> None:
        """A task takes long after all, or the machine is slow: let nothing wait behind it."""
        self._take_back(seat)
        seat.heard_at = now
        seat.closed = bool(seat.queue)
        self._open.pop(seat, None)

    def _hand_over(self, seat: Seat, told: str) -> None:
        """What a dead process had not begun goes to others, but not for ever."""
        self._take_back(seat)
        worn = [g for g in self._returned if g.tries >= _TRIES]
        for given in worn:
            self._returned.remove(given)
            self._loop.call_soon(self._speak_for, given, seat.name, 0.0, told)

    def _retire(self, seat: Seat) -> None:
        """Give it nothing more; the word of its end is on its way."""
        seat.state = "ending"
        self._open.pop(seat, None)
        if seat in self._idle:
            self._idle.remove(seat)

    # ---- reporting -------------------------------------------------------------------------

    def _speak_for(self, given: Given, worker: str, run_s: float, told: str) -> None:
        """Report a task whose process cannot."""
        if given.slot in self._by_slot:
            self._settle(given, worker, given.last_word(run_s, told))

    def _settle(self, given: Given, worker: str, report: Report) -> None:
        """A task is over: forget it, and tell."""
        del self._by_slot[given.slot]
        if not self._by_slot:
            self._quiet.set()
        self._deliver(worker, report)

    def _deliver(self, worker: str, report: Report) -> None:
        if not self._silent:
            self._on_report(worker, report)

"""A seat of a pool: the process that holds it now, and the tasks that process was given.

The seat reads and writes the process's socket and turns bytes into reports; what is to
happen then is the pool's to decide. Beside the socket goes a pipe of *tickets*, one for
each task, and a worker takes one before it begins a task: what still lies in the pipe
was never begun, and who reads a ticket back has taken that task back for certain. When
a process dies that owes reports, the seat has the last word.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from runtime.tools import faults
from runtime.workers.protocol import (
    ASIDE,
    FRAME,
    HEADER,
    LONGEST_ASIDE,
    MOST_TICKETS,
    Progress,
    Report,
    Task,
)

State = Literal["starting", "idle", "busy", "ending", "down"]
Verdict = Literal["timed_out", "cancelled", "stopped"]
"""Why a task was ended from outside; ``stopped``: it was over a limit."""

WINDOW_S: Final = 0.006
"""How much expected work may lie before a worker, so that nothing waits behind it for long."""
_LONGEST_REPORT: Final = 64 << 20
_CHUNK: Final = 1 << 18
_GENERATIONS: Final = 256
"""They are told by one byte."""
_DECODE: Final = msgspec.msgpack.Decoder(Report).decode
_DECODE_ASIDE: Final = msgspec.msgpack.Decoder(Progress).decode


class Given:
    """A task as it was given to a process: kept until it is reported.

    ``expect_s`` is how long it should take, when that is known to be short: only then may
    it wait behind another, or another behind it. ``verdict`` is what it is to be called
    that was ended from outside, ``told`` why. ``said`` is the progress it told last, and
    ``said_at`` the loop's time then.
    """

    __slots__ = (
        "attempt", "data", "expect_s", "heartbeat_s", "memory_bytes", "processes", "said",
        "said_at", "slot", "timeout_s", "told", "tries", "verdict", "work",
    )  # fmt: skip

    def __init__(self, task: Task, data: bytes, expect_s: float | None = None) -> None:
        self.slot, self.attempt, self.timeout_s = task.slot, task.attempt, task.timeout_s
        self.memory_bytes, self.processes = task.memory_bytes, task.processes
        self.heartbeat_s, self.work = task.heartbeat_s, f"{task.version}/{task.step}"
        self.data, self.expect_s = data, expect_s
        self.tries, self.told = 0, ""
        self.verdict: Verdict | None = None
        self.said: Progress | None = None
        self.said_at = 0.0

    def last_word(self, run_s: float, told: str) -> Report:
        """The report that nobody else will give."""
        outcome = self.verdict or "lost"
        if outcome == "timed_out":
            why = self.told or f"it ran longer than {self.timeout_s} s and was ended"
            fault = faults.fault("timeout", why)
        elif outcome == "stopped":
            fault = faults.fault("resource", self.told)
        elif outcome == "cancelled":
            fault = faults.fault("cancelled", "it was ended because its run was cancelled")
        else:
            fault = faults.fault("lost", f"the worker process ended while it ran: {told}")
        return Report(self.slot, self.attempt, outcome, run_s=max(run_s, 0.0), fault=fault)


class Seat:
    """A place in the pool: the process that holds it now, and the tasks it was given."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.restarts = self.deaths = 0
        self.number = self.pid = self.frame = 0
        self.sock: socket.socket | None = None
        self.tickets = (-1, -1)
        self.state: State = "down"
        self.since = time.time()
        self.out, self.buffer = bytearray(), bytearray()
        self.ended = self.orphaned = self.writing = False
        self.waits = False
        """Whether its task waits for room on the disk, and its time is to begin anew."""
        self.why = ""
        self.queue: deque[Given] = deque()
        self.load_s = 0.0
        self.closed = False
        """Whether something in the queue may take long: nothing is put behind it."""
        self.generation = self._owed = 0
        self.deadline: float | None = None
        self.heard_at = 0.0

    def sit(self, number: int, sock: socket.socket, tickets: tuple[int, int]) -> None:
        """A new process takes the seat."""
        self.number, self.sock, self.tickets = number, sock, tickets
        self.state, self.since = "starting", time.time()

    def stand_up(self) -> None:
        """The seat is empty."""
        if self.sock is not None:
            self.sock.close()
            for fd in self.tickets:
                os.close(fd)
        self.sock, self.tickets, self.number, self.pid = None, (-1, -1), 0, 0
        self.out.clear()
        self.buffer.clear()
        self.queue.clear()
        self.ended = self.orphaned = self.writing = self.closed = False
        self.why, self.load_s, self._owed = "", 0.0, 0
        self.state, self.since, self.deadline = "down", time.time(), None

    # ---- what it was given --------------------------------------------------------------

    def take(self, given: Given, now: float) -> None:
        """The process gets a task; it goes with the next `push`."""
        if not self.queue:
            self.heard_at, self.since = now, time.time()
        self.queue.append(given)
        self.load_s += given.expect_s or 0.0
        self.closed = self.closed or given.expect_s is None
        self.state = "busy"
        self._owed += 1
        self.out += FRAME.pack(len(given.data), self.generation)
        self.out += given.data

    def has_room(self, expect_s: float) -> bool:
        """Whether one more short task may wait here."""
        fits = self.load_s + expect_s <= WINDOW_S and len(self.queue) < MOST_TICKETS
        return fits and not self.closed and self.state == "busy"

    def head(self, slot: int) -> Given | None:
        """The task that is reported next, if it is this one."""
        return self.queue[0] if self.queue and self.queue[0].slot == slot else None

    def done(self, now: float) -> None:
        """The first task is over."""
        given = self.queue.popleft()
        self.load_s -= given.expect_s or 0.0
        self.heard_at = now
        if not self.queue:
            self.closed, self.load_s, self.deadline, self.since = False, 0.0, None, time.time()

    def take_back(self) -> list[Given]:
        """Take back what the process has not begun; it will not begin it any more."""
        self._pay()
        try:
            count = len(os.read(self.tickets[0], 2 * MOST_TICKETS)) if self.queue else 0
        except BlockingIOError:
            return []
        back = [self.queue.pop() for _ in range(count)]
        self.generation = (self.generation + 1) % _GENERATIONS
        self.load_s = sum(g.expect_s or 0.0 for g in self.queue)
        return back[::-1]

    def _pay(self) -> None:
        """Write the tickets of the tasks it was given."""
        if self._owed:
            os.write(self.tickets[1], bytes((self.generation,)) * self._owed)
            self._owed = 0

    # ---- the socket ---------------------------------------------------------------------

    def mute(self, why: str) -> None:
        """Nothing more is heard from this process, and its task ends for this reason."""
        self.buffer.clear()
        self.ended, self.why = True, why

    def push(self) -> bool:
        """Write what is due; whether all of it went."""
        if self.sock is None:
            return True
        self._pay()
        try:
            while self.out:
                del self.out[: self.sock.send(self.out)]
        except BlockingIOError:
            return False
        except OSError:  # it died before it had all of its tasks
            self.out.clear()
        return True

    def receive(self, to_the_end: bool) -> Iterator[Report]:
        """Read what there is, and yield the whole reports in it."""
        while self.sock is not None and not self.ended:
            try:
                data = self.sock.recv(_CHUNK)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data = b""  # it died before it had read all of its tasks
            self.ended = not data
            self.buffer += data
            yield from self._reports()
            if len(data) < _CHUNK and not to_the_end:
                break

    def _reports(self) -> Iterator[Report]:
        """The whole reports that came. What is yielded is off the buffer, whatever follows."""
        buffer, at = bytes(self.buffer), 0
        self.buffer.clear()
        try:
            while len(buffer) - at >= HEADER:
                size = int.from_bytes(buffer[at : at + HEADER], "little")
                aside = size > _LONGEST_REPORT
                if aside:
                    size = _aside(size)
                end = at + HEADER + size
                if len(buffer) < end:
                    return
                self.frame, start, at = HEADER + size, at + HEADER, end
                if aside:
                    self._hear_aside(_DECODE_ASIDE(memoryview(buffer)[start:end]))
                    continue
                yield _DECODE(memoryview(buffer)[start:end])
        finally:
            self.buffer += buffer[at:]

    def _hear_aside(self, said: Progress) -> None:
        """Remember what the running task told of itself."""
        given = self.head(said.slot)
        if given is not None:
            given.said, given.said_at = said, time.monotonic()
            self.waits = self.waits or said.waits

    def death(self, code: int) -> str:
        """How the process ended, in words."""
        told = faults.how_it_ended(code)
        if code == -9:
            return f"{told}; the kernel does that too when memory runs out"
        return told

    def line(self) -> dict[str, object]:
        """What an operator is shown of it."""
        return {
            "name": self.name,
            "pid": self.pid or None,
            "state": self.state,
            "attempt": self.queue[0].attempt if self.queue else None,
            "since": self.since,
            "restarts": self.restarts,
        }


def _aside(size: int) -> int:
    """The length of a message that is no report.

    Raises:
        msgspec.DecodeError: it is nothing that a worker says.
    """
    if not ASIDE <= size <= ASIDE + LONGEST_ASIDE:
        raise msgspec.DecodeError(f"it would have {size} bytes")
    return size - ASIDE

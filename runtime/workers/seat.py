"""A seat of a pool: the process that holds it now, and the task that process runs.

The seat reads and writes the process's socket and turns bytes into reports; what is to
happen then is the pool's to decide. When a process dies that owes a report, the seat has
the last word.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from runtime.tools import faults
from runtime.workers.protocol import Report, Task

State = Literal["starting", "idle", "busy", "ending", "down"]

HEADER: Final = 4
"""Bytes of the length before a frame."""
_LONGEST_REPORT: Final = 64 << 20
_CHUNK: Final = 1 << 18
_DECODE: Final = msgspec.msgpack.Decoder(Report).decode


class Given:
    """A task as it was given to a process: kept until it is reported."""

    __slots__ = ("attempt", "frame", "slot", "timeout_s")

    def __init__(self, task: Task, frame: bytes) -> None:
        self.slot, self.attempt, self.timeout_s = task.slot, task.attempt, task.timeout_s
        self.frame = frame


class Seat:
    """A place in the pool: the process that holds it now, and the task it runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.restarts = self.deaths = 0
        self.number = self.pid = self.frame = 0
        self.sock: socket.socket | None = None
        self.state: State = "down"
        self.since = time.time()
        self.out, self.buffer = bytearray(), bytearray()
        self.ended = self.unread = self.orphaned = self.writing = False
        self.verdict = self.why = ""
        self.given: Given | None = None
        self.deadline: float | None = None
        self.sent_at = 0.0

    def sit(self, number: int, sock: socket.socket) -> None:
        """A new process takes the seat."""
        self.number, self.sock = number, sock
        self.state, self.since = "starting", time.time()

    def stand_up(self) -> None:
        """The seat is empty."""
        if self.sock is not None:
            self.sock.close()
        self.sock, self.number, self.pid = None, 0, 0
        self.out.clear()
        self.buffer.clear()
        self.ended = self.unread = self.orphaned = self.writing = False
        self.why = ""
        self.state, self.since, self.deadline = "down", time.time(), None

    def take(self, given: Given, now: float) -> None:
        """The process gets a task."""
        self.given, self.sent_at = given, now
        self.state, self.since = "busy", time.time()
        self.out += given.frame

    def mute(self, why: str) -> None:
        """Nothing more is heard from this process, and its task ends for this reason."""
        self.buffer.clear()
        self.ended, self.why = True, why

    def clear(self) -> None:
        """The task is over."""
        self.given, self.deadline, self.since = None, None, time.time()

    def push(self) -> bool:
        """Write what is due; whether all of it went."""
        if self.sock is None:
            return True
        try:
            while self.out:
                del self.out[: self.sock.send(self.out)]
        except BlockingIOError:
            return False
        except OSError:  # it died before it had all of its task
            self.out.clear()
            self.unread = True
        return True

    def receive(self, to_the_end: bool) -> Iterator[Report]:
        """Read what there is, and yield the whole reports in it."""
        while self.sock is not None and not self.ended:
            try:
                data = self.sock.recv(_CHUNK)
            except BlockingIOError:
                break
            except ConnectionResetError:
                data, self.unread = b"", True  # it died before it had read all of its task
            self.ended = not data
            self.buffer += data
            yield from self._reports()
            if len(data) < _CHUNK and not to_the_end:
                break

    def _reports(self) -> Iterator[Report]:
        while len(self.buffer) >= HEADER:
            size = int.from_bytes(self.buffer[:HEADER], "little")
            if size > _LONGEST_REPORT:
                raise msgspec.DecodeError(f"it would have {size} bytes")
            if len(self.buffer) < HEADER + size:
                return
            frame = bytes(self.buffer[HEADER : HEADER + size])
            del self.buffer[: HEADER + size]
            self.frame = HEADER + size
            yield _DECODE(frame)

    def last_word(self, code: int, why: str, now: float) -> Report | None:
        """The report that the dead process owes, if it owes one."""
        given = self.given
        if given is None:
            return None
        outcome = self.verdict or "lost"
        if outcome == "timed_out":
            fault = faults.fault(
                "timeout", f"it ran longer than {given.timeout_s} s and was ended"
            )
        elif outcome == "cancelled":
            fault = faults.fault("cancelled", "it was ended because its run was cancelled")
        else:
            told = why or _death(code)
            fault = faults.fault("lost", f"the worker process ended while it ran: {told}")
        run_s = max(now - self.sent_at, 0.0)
        return Report(given.slot, given.attempt, outcome, run_s=run_s, fault=fault)

    def line(self) -> dict[str, object]:
        """What an operator is shown of it."""
        return {
            "name": self.name,
            "pid": self.pid or None,
            "state": self.state,
            "attempt": self.given.attempt if self.given else None,
            "since": self.since,
            "restarts": self.restarts,
        }


def _death(code: int) -> str:
    told = faults.how_it_ended(code)
    if code == -9:
        return f"{told}; the kernel does that too when memory runs out"
    return told

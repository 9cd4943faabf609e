"""The worker's own loop: take a task, run its tool, answer with one report.

Around the tool it does what no tool should have to: it measures, catches what is
printed, holds the memory limit, stores large results, publishes products, ends the
processes that a tool left behind, and turns every failure into a fault. It always
answers exactly once; when it cannot (the process dies) the pool answers in its place.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

from runtime import kernel
from runtime.data import reference
from runtime.data.objects import Objects
from runtime.tools import faults, progress, spending
from runtime.tools.port import Call
from runtime.tools.registry import tool
from runtime.workers import secrets, usage
from runtime.workers.cage import Cage
from runtime.workers.capture import Capture
from runtime.workers.outbox import Outbox
from runtime.workers.protocol import FRAME, HEADER, Report, Task
from runtime.workers.room import Room
from runtime.workers.settle import Settled, settle
from runtime.workers.teller import THREAD, Teller

_LARGE: Final = 64 << 20
"""A worker that held less at its peak is not asked how much it still holds."""
_OWN_THREADS: Final = frozenset({"capture", "outbox", THREAD})
_SELF: Final = resource.RUSAGE_SELF
_CHILDREN: Final = resource.RUSAGE_CHILDREN
_REF: Final = b"$ref"
"""Stands in every task that refers to an object."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a worker is told once."""

    environment: str


def serve(sock: socket.socket, tickets: int, setting: Setting, own: Cage) -> None:
    """Answer every task that was not taken back, until the server is gone."""
    inbox = _Inbox(sock)
    worker = Worker(setting, Teller(inbox.outbox), own)
    decode = msgspec.msgpack.Decoder(Task).decode
    pid, ticket = os.getpid(), b""
    for generation, frame in inbox.frames():
        if worker.held and worker.is_large_for(decode(frame).memory_bytes):
            return  # it was not begun, and goes to a smaller one
        ticket = ticket or _ticket(tickets)
        if not ticket or ticket[0] != generation:
            continue
        ticket = b""
        report = worker.attempt(decode(frame), len(frame), may_refer=_REF in frame)
        if os.getpid() != pid:
            os._exit(0)  # a child that the tool forked and let come back to us
        data = _encoded(report)
        inbox.outbox.put(len(data).to_bytes(HEADER, "little") + data, more=inbox.has_more)
        if worker.is_spent:
            inbox.outbox.flush()
            return


def _ticket(tickets: int) -> bytes:
    """The right to begin a task, or nothing when it was taken back."""
    try:
        return os.read(tickets, 1)
    except BlockingIOError:
        return b""


_ENCODE: Final = msgspec.msgpack.Encoder().encode


def _encoded(report: Report) -> bytes:
    """The report as msgpack; when a value of it cannot be said, a report that says so."""
    try:
        return _ENCODE(report)
    except (OverflowError, TypeError, ValueError) as error:
        why = faults.fault("permanent", f"the result cannot be reported: {error}")
        return _ENCODE(
            Report(report.slot, report.attempt, "failed", report.run_s, report.cpu_s, fault=why)
        )


class _Inbox:
    """The tasks that came, and the reports that wait for a pause to go."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self.outbox = sock, Outbox(sock)
        self._buffer, self._at = bytearray(), 0

    @property
    def has_more(self) -> bool:
        """Whether a whole task is here already."""
        have = len(self._buffer) - self._at
        return have >= FRAME.size and have >= FRAME.size + self._length()

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Every task with its generation, until the server is gone."""
        while True:
            while not self.has_more:
                self.outbox.flush()
                data = self._sock.recv(1 << 18)
                if not data:
                    return
                del self._buffer[: self._at]
                self._buffer += data
                self._at = 0
            size, generation = FRAME.unpack_from(self._buffer, self._at)
            start, self._at = self._at + FRAME.size, self._at + FRAME.size + size
            yield generation, bytes(self._buffer[start : self._at])

    def _length(self) -> int:
        return int(FRAME.unpack_from(self._buffer, self._at)[0])


class Worker:
    """Runs attempts, one after another.

    ``held`` is what it still had in memory after a large one; ``is_spent`` says that an
    attempt left something in the process that the next shall not meet.
    """

    def __init__(self, setting: Setting, teller: Teller, own: Cage) -> None:
        self._setting, self._teller, self._cage = setting, teller, own
        self._room = Room(lambda note: teller(None, None, note, waits=True))
        self._limits: tuple[int | None, int] = (None, 0)
        self._threads = 0
        """How many there were when none was a stranger."""
        self.held, self.is_spent = 0, False
        progress.told_to(teller)
        self._capture = Capture()
        self._stores: dict[str, Objects] = {}
        self._home = os.open(".", os.O_RDONLY)
        self._meter = _Meter()

    def attempt(self, task: Task, size: int, *, may_refer: bool = True) -> Report:
        """Run one task; whatever happens becomes a report."""
        known = secrets.values(task.secrets) if task.secrets else {}
        os.fchdir(self._home)
        self._capture.begin()
        if may_refer:
            _prepare(task)
        self._meter.begin()
        call = Call(task, self._objects(task.objects))
        call.bytes_in = size
        mask = secrets.Mask(known.values()) if known else secrets.NOTHING
        if (task.memory_bytes, task.processes) != self._limits:
            self._limit(task)
        self._teller.begin(task.slot, mask)
        spending.told_to(call.log.spend)
        ended = self._run(call, known, mask)
        self._teller.end()
        if kernel.has_children():
            kernel.end_children()
        report = self._report(call, ended)
        self._look_back(task, report)
        return mask.report(report) if mask else report

    def _run(self, call: Call, known: dict[str, str], mask: secrets.Mask) -> _Ended:
        try:
            if call.task.secrets:
                call.task = secrets.reveal(call.task, known)
                call.tool = call.task.tool
            value = tool(str(call.tool.get("kind"))).run(call).value
            return _finish(call, value, mask, self._room)
        except BaseException as error:  # a tool may raise anything at all
            return _Ended(fault=_fault(error, call), checks=getattr(error, "checks", None))

    def _limit(self, task: Task) -> None:
        """Have the kernel hold this attempt's limits, and those after it with the same."""
        kernel.limit_memory(task.memory_bytes)
        self._cage.allow(task.processes)
        self._limits = (task.memory_bytes, task.processes)

    def is_large_for(self, limit: int | None) -> bool:
        """Whether what it holds would leave an attempt less than half of its memory."""
        return limit is not None and 2 * self.held > limit

    def _look_back(self, task: Task, report: Report) -> None:
        """See what the attempt left in the process: memory, or threads that go on."""
        large = report.rss_peak > _LARGE
        self.held = usage.memory_bytes([os.getpid()], sys.maxsize) if large else 0
        self.is_spent = self.is_large_for(task.memory_bytes)
        threads = threading.active_count()
        if threads != self._threads:
            self._threads = threads
            self.is_spent = self.is_spent or _strangers()

    def _report(self, call: Call, ended: _Ended) -> Report:
        run_s, cpu_s, peak = self._meter.read()
        settled = ended.settled
        return Report(
            slot=call.task.slot,
            attempt=call.task.attempt,
            outcome="succeeded" if ended.fault is None else "failed",
            run_s=run_s,
            cpu_s=cpu_s,
            rss_peak=peak,
            rows_in=call.rows_in,
            rows_out=settled.rows,
            bytes_in=call.bytes_in,
            bytes_out=settled.bytes,
            result=settled.result,
            fault=ended.fault,
            stdout=self._capture.take(),
            spend_usd=call.log.spend_usd,
            environment=self._setting.environment,
            published=ended.published,
            checks=ended.checks,
            tokens=call.log.tokens,
            calls=call.log.calls,
        )

    def _objects(self, root: str) -> Objects:
        if root not in self._stores:
            self._stores[root] = Objects(Path(root))
        return self._stores[root]


def _prepare(task: Task) -> None:
    """Load Arrow before the clock starts: a young worker is no reason for a slow attempt."""
    if "pyarrow" in sys.modules:
        return
    inputs = [task.args, task.items.source if task.items else None]
    if any(reference.is_table(ref) for ref in reference.references(inputs)):
        import_module("pyarrow")


_NOTHING: Final = Settled(None, 0, 0)


@dataclass(frozen=True, slots=True)
class _Ended:
    settled: Settled = _NOTHING
    fault: dict[str, Any] | None = None
    published: dict[str, Any] | None = None
    checks: list[Any] | None = None


def _strangers() -> bool:
    """Whether a thread runs that is not ours."""
    others = (t for t in threading.enumerate() if t is not threading.main_thread())
    return any(thread.name not in _OWN_THREADS for thread in others)


def _finish(call: Call, value: Any, mask: secrets.Mask, room: Room) -> _Ended:
    """Publish what was made, when the step publishes, and settle it."""
    publish = call.task.publish
    if publish is None:
        return _Ended(settle(value, call.objects, call.task.output_bytes, mask, room.keep))
    from runtime.data.product import publish_table
    from runtime.tools.port import table_of

    opened = call.objects.read(value) if reference.is_table(value) else value
    table = table_of(opened)
    settled = settle(table, call.objects, call.task.output_bytes, mask, room.keep)
    bundle = Path(call.task.bundle)
    published = room.keep(lambda: publish_table(table, publish, bundle, call.inputs))
    return _Ended(settled, published=published)


def _fault(error: BaseException, call: Call) -> faults.FaultFields:
    """The fault, given the class that the tool's ``errors:`` map wants for it."""
    found = faults.from_exception(error, call.origin)
    allowed = call.task.memory_bytes
    if allowed is not None and found["message"] == MemoryError.__name__:
        found = {
            **found,
            "message": f"it wanted more than the {allowed >> 20} MB of memory allowed",
        }
    names = [*getattr(error, "names", ()), *faults.names_of(error)]
    return faults.refine(found, call.tool.get("errors"), *names)


class _Meter:
    """Wall time, CPU time (children too) and peak memory of one attempt after another."""

    def __init__(self) -> None:
        self._peak = _peak_meter()
        self._theirs = _children_s()
        self._at = self._cpu = 0.0

    def begin(self) -> None:
        """Count from now. What children used is known from the attempt before."""
        if self._peak is not None:
            os.pwrite(self._peak, b"5", 0)
        self._cpu = time.process_time()
        self._at = time.perf_counter()

    def read(self) -> tuple[float, float, int]:
        run_s = time.perf_counter() - self._at
        before, self._theirs = self._theirs, _children_s()
        cpu_s = time.process_time() - self._cpu + self._theirs - before
        return run_s, max(cpu_s, 0.0), resource.getrusage(_SELF).ru_maxrss * 1024


def _children_s() -> float:
    theirs = resource.getrusage(_CHILDREN)
    return theirs.ru_utime + theirs.ru_stime


def _peak_meter() -> int | None:
    """A descriptor that sets the process's peak memory back, where the kernel has one."""
    try:
        return os.open("/proc/self/clear_refs", os.O_WRONLY)
    except OSError:
        return None

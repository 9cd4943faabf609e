"""A pool of worker processes on this machine, forked from a template.

Each *seat* of the pool has one process at a time and one task at a time. What a process
said before it died still counts: its socket is read to the end before the pool speaks
for it. A task therefore has exactly one report: the worker's own, or the pool's when the
worker is gone. Nothing here polls, and there is one timer for all deadlines.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from runtime.data.folder import DataFolder
from runtime.tools import faults
from runtime.workers.port import OnReport
from runtime.workers.process import TemplateProcess
from runtime.workers.protocol import Report, Task
from runtime.workers.seat import HEADER, Given, Seat
from runtime.workers.template import DOWN, KILL, SPAWN, UP_RUNS

LONGEST_PAUSE_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.05
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_TRIES: Final = 5
"""How often a task is handed to a new process when the old ones died before reading it."""
_WITH_TEMPLATE: Final = "the process that started it died, and it died with it"


class LocalPool:
    """Worker processes on this machine. All methods belong to the loop's thread.

    A pool made with ``system`` keeps its processes for system runs alone.
    """

    def __init__(
        self, slots: int, folder: DataFolder, *, name: str = "local", system: bool = False
    ) -> None:
        if slots < 1:
            raise ValueError(f"a pool needs at least one slot, not {slots}")
        self.name = name
        self.slots = slots
        self.folder = folder
        self.system = system
        self.bytes_sent = 0
        self.bytes_received = 0
        self._seats = [Seat(f"{name}-{number}") for number in range(slots)]
        self._by_number: dict[int, Seat] = {}
        self._by_slot: dict[int, Seat] = {}
        self._idle: list[Seat] = []
        self._numbers = 0
        self._template: TemplateProcess | None = None
        self._template_deaths = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._respawns: set[asyncio.TimerHandle] = set()
        self._quiet = asyncio.Event()
        self._stopping = self._silent = False
        self._loop: asyncio.AbstractEventLoop
        self._on_report: OnReport

    def start(self, loop: asyncio.AbstractEventLoop, on_report: OnReport) -> None:
        """Start the template and one worker a slot. Tasks may be sent at once."""
        self._loop, self._on_report = loop, on_report
        self._start_template()

    def free(self) -> int:
        """How many tasks may be sent now."""
        return 0 if self._stopping else len(self._idle)

    def send(self, task: Task) -> str:
        """Give a task to a free worker and return the worker's name. Needs ``free() > 0``."""
        if not self.free():
            raise RuntimeError(f"pool {self.name} has no free worker; ask free() first")
        if self.system and not task.system:
            raise ValueError(f"pool {self.name} takes system runs only, not {task.attempt}")
        if task.slot in self._by_slot:
            raise ValueError(f"slot {task.slot} already runs on {self._by_slot[task.slot].name}")
        try:
            data = _ENCODE(task)
        except (OverflowError, TypeError, ValueError) as error:
            return self._unsayable(task, error)
        seat = self._idle.pop()
        self._by_slot[task.slot] = seat
        self._give(seat, Given(task, len(data).to_bytes(HEADER, "little") + data))
        return seat.name

    def _unsayable(self, task: Task, error: Exception) -> str:
        """Fail a task that no worker can be told, soon: who sends hears nothing before."""
        why = faults.fault("permanent", f"the step's inputs cannot be given to a worker: {error}")
        report = Report(task.slot, task.attempt, "failed", fault=why)
        worker = self._idle[-1].name
        self._loop.call_soon(self._deliver, worker, report)
        return worker

    def kill(self, slot: int, outcome: str) -> None:
        """End that task's process; its report will carry ``outcome``.

        A report that the worker had already sent wins: what happened, happened. A slot
        that runs nothing is left alone, since its report was given.
        """
        seat = self._by_slot.get(slot)
        if seat is None or seat.verdict:
            return
        seat.verdict = outcome
        if seat.state == "down":  # it waits for a process that will now not be needed
            self._loop.call_soon(self._end_waiting, seat, seat.given)
            return
        self._end(seat)

    def _end(self, seat: Seat) -> None:
        seat.state = "ending"
        self._tell_template(KILL, seat.number)

    def _end_waiting(self, seat: Seat, given: Given | None) -> None:
        """Speak for a task that no process has, unless one just came for it."""
        if seat.given is given and seat.state == "down":
            self._speak_for(seat, 0, "")
        elif seat.given is given:
            self._end(seat)

    def workers(self) -> list[dict[str, object]]:
        """One line a process: name, pid, state, attempt, since, restarts."""
        return [seat.line() for seat in self._seats]

    async def stop(self, grace_s: float = 2.0) -> None:
        """Let running tasks end within the grace, then end every process. Reports none after."""
        self._stopping = True
        if self._by_slot and grace_s > 0:
            self._quiet.clear()
            with suppress(TimeoutError):  # what still runs is ended below, unreported
                await asyncio.wait_for(self._quiet.wait(), grace_s)
        self._silent = True
        self._cancel_timers()
        for seat in self._seats:
            self._leave(seat)
        if self._template is not None:
            template, self._template = self._template, None
            self._loop.remove_reader(template.control.fileno())
            await template.end()

    # ---- the template -------------------------------------------------------------------

    def _start_template(self) -> None:
        self._template = template = TemplateProcess()
        self._loop.add_reader(template.control.fileno(), self._hear_template, template)
        for seat in self._seats:
            if seat.state == "down":
                self._spawn(seat)

    def _restart_template(self) -> None:
        try:
            self._start_template()
        except OSError:  # no process or descriptor to be had now
            self._template_deaths += 1
            self._later(self._template_deaths, self._restart_template)

    def _hear_template(self, template: TemplateProcess) -> None:
        messages = template.receive()
        if messages is None:
            self._template_died(template)
            return
        for what, number, value in messages:
            seat = self._by_number.get(number)
            if seat is None:
                continue
            if what == UP_RUNS:
                self._runs(seat, value)
            else:
                self._buried(seat, os.waitstatus_to_exitcode(value))

    def _tell_template(self, what: bytes, number: int, *fds: int) -> None:
        if self._template is not None:
            self._template.send(DOWN.pack(what, number), *fds)

    def _template_died(self, template: TemplateProcess) -> None:
        """Its workers die with it; each is buried when its socket ends. Start another."""
        self._loop.remove_reader(template.control.fileno())
        template.bury()
        self._template = None
        self._template_deaths += 1
        for seat in self._seats:
            if seat.state == "down":
                continue
            seat.orphaned = True
            self._retire(seat)
            self._loop.call_soon(self._read, seat, seat.number)
            self._loop.call_later(1.0, self._give_up_on, seat, seat.number)
        self._later(self._template_deaths, self._restart_template)

    def _give_up_on(self, seat: Seat, number: int) -> None:
        """Bury a worker whose socket somebody still holds open."""
        if seat.number == number:
            self._buried(seat, -9, _WITH_TEMPLATE)

    # ---- a seat's process ---------------------------------------------------------------

    def _spawn(self, seat: Seat) -> None:
        """Have a process forked for this seat; it can be given a task at once."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._numbers += 1
        seat.sit(self._numbers, ours)
        self._by_number[seat.number] = seat
        self._tell_template(SPAWN, seat.number, theirs.fileno())
        theirs.close()
        self._loop.add_reader(ours.fileno(), self._read, seat, seat.number)
        if seat.given is None:
            self._idle.insert(0, seat)
        else:
            self._give(seat, seat.given)

    def _runs(self, seat: Seat, pid: int) -> None:
        seat.pid = pid
        if seat.state == "starting":
            seat.state = "idle"
        if seat.given is not None:
            self._set_deadline(seat, seat.given)  # starting up is not its time

    def _give(self, seat: Seat, given: Given) -> None:
        seat.take(given, self._loop.time())
        self.bytes_sent += len(given.frame)
        self._write(seat)
        if seat.pid:
            self._set_deadline(seat, given)

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

    def _read(self, seat: Seat, number: int, to_the_end: bool = False) -> None:
        if seat.number != number or seat.sock is None or seat.ended:
            return
        try:
            for report in seat.receive(to_the_end):
                self.bytes_received += seat.frame
                self._report(seat, report)
        except msgspec.MsgspecError as error:
            seat.mute(f"what it said was no report ({error})")
            self._tell_template(KILL, number)
        if seat.ended:
            self._retire(seat)
            self._loop.remove_reader(seat.sock.fileno())
            if seat.orphaned:
                self._buried(seat, -9, _WITH_TEMPLATE)

    def _retire(self, seat: Seat) -> None:
        """Give it nothing more; the word of its end is on its way."""
        seat.state = "ending"
        if seat in self._idle:
            self._idle.remove(seat)

    def _report(self, seat: Seat, report: Report) -> None:
        """A worker's own word on its task."""
        given = seat.given
        if given is None or report.slot != given.slot:
            return
        if seat.verdict == "timed_out" and report.run_s > (given.timeout_s or 0.0):
            return  # it came too late; the burial will say so
        seat.deaths = self._template_deaths = 0
        self._release(seat)
        if seat.state == "busy":
            seat.state = "idle"
            self._idle.append(seat)
        self._deliver(seat.name, report)

    def _buried(self, seat: Seat, code: int, why: str = "") -> None:
        """The process is gone: hear what it still said, speak for it, and start another."""
        number = seat.number
        self._retire(seat)
        seat.orphaned = False
        self._read(seat, number, to_the_end=True)
        why = why or seat.why
        never_began = seat.unread and not seat.verdict and seat.deaths < _TRIES
        if not seat.verdict:
            seat.deaths += 1
        self._leave(seat)
        if not self._stopping and self._template is not None:
            self._later(seat.deaths, lambda: self._again(seat))
        if not never_began:
            self._speak_for(seat, code, why)

    def _speak_for(self, seat: Seat, code: int, why: str) -> None:
        """Report the task of a process that cannot, if it owes a report."""
        report = seat.last_word(code, why, self._loop.time())
        seat.verdict = ""
        if report is not None:
            self._release(seat)
            self._deliver(seat.name, report)

    def _again(self, seat: Seat) -> None:
        if self._template is not None and seat.state == "down":
            seat.restarts += 1
            self._spawn(seat)

    def _release(self, seat: Seat) -> None:
        if seat.given is not None:
            del self._by_slot[seat.given.slot]
        seat.clear()
        if not self._by_slot:
            self._quiet.set()

    def _leave(self, seat: Seat) -> None:
        """Close the seat's socket and forget its process."""
        self._by_number.pop(seat.number, None)
        if seat in self._idle:
            self._idle.remove(seat)
        if seat.sock is not None:
            self._loop.remove_reader(seat.sock.fileno())
            self._loop.remove_writer(seat.sock.fileno())
        seat.stand_up()

    def _deliver(self, worker: str, report: Report) -> None:
        if not self._silent:
            self._on_report(worker, report)

    # ---- time ---------------------------------------------------------------------------

    def _later(self, deaths: int, act: Callable[[], None]) -> None:
        """Do it now after a first death, later the more of them came in a row."""
        pause = min(_FIRST_PAUSE_S * 2 ** (deaths - 2), LONGEST_PAUSE_S) if deaths > 1 else 0.0

        def fire() -> None:
            self._respawns.discard(handle)
            if not self._stopping:
                act()

        handle = self._loop.call_later(pause, fire)
        self._respawns.add(handle)

    def _set_deadline(self, seat: Seat, given: Given) -> None:
        if given.timeout_s is not None:
            seat.deadline = self._loop.time() + given.timeout_s
            self._watch(seat)

    def _watch(self, seat: Seat) -> None:
        """See that the pool's one timer fires no later than this seat's deadline."""
        if seat.deadline is None:
            return
        if self._deadline is not None:
            if self._deadline.when() <= seat.deadline:
                return
            self._deadline.cancel()
        self._deadline = self._loop.call_at(seat.deadline, self._scan)

    def _scan(self) -> None:
        """End what is over its time; wake again for the next that could be."""
        self._deadline = None
        now = self._loop.time()
        for seat in self._seats:
            if seat.given is None or seat.deadline is None or seat.verdict:
                continue
            if seat.deadline <= now:
                self.kill(seat.given.slot, "timed_out")
            else:
                self._watch(seat)

    def _cancel_timers(self) -> None:
        for handle in (*self._respawns, *filter(None, [self._deadline])):
            handle.cancel()
        self._respawns.clear()
        self._deadline = None

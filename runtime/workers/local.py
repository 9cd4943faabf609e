"""A pool of worker processes on this machine, forked from a template.

Each *seat* of the pool has one process at a time, which runs one task at a time. Tasks
known to be short may wait behind one another, so that one message carries many; what was
not begun is taken back and given to another when one ahead takes long after all, or its
process dies (`giving`). What a process said before it died still counts: its socket is
read to the end before the pool speaks for it. A task therefore has exactly one report: the
worker's own, or the pool's when the worker is gone. The `nursery` keeps the processes
coming, the `deadlines` and the `watch` say which task is to be ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from runtime.data.folder import DataFolder
from runtime.workers.giving import Giving
from runtime.workers.nursery import WITH_TEMPLATE, Nursery
from runtime.workers.port import OnReport
from runtime.workers.process import TemplateProcess
from runtime.workers.protocol import Progress, Report
from runtime.workers.seat import Given, Seat, Verdict


def _nobody() -> None:
    """Nobody asked to hear of room."""


class LocalPool(Giving):
    """Worker processes on this machine. All methods belong to the loop's thread.

    A pool made with ``system`` keeps its processes for system runs alone; ``template`` is
    one that was started ahead.
    """

    def __init__(
        self, slots: int, folder: DataFolder, *, name: str = "local", system: bool = False,
        template: TemplateProcess | None = None,
    ) -> None:  # fmt: skip
        super().__init__(slots, folder, name, system)
        self._nursery = Nursery(self._seats, self, template)

    def start(
        self, loop: asyncio.AbstractEventLoop, on_report: OnReport,
        on_room: Callable[[], None] = _nobody,
    ) -> None:  # fmt: skip
        """Start the template and one worker a slot. Tasks may be sent at once."""
        self._loop, self._on_report, self._on_room = loop, on_report, on_room
        self._deadlines.start(loop)
        self._watch.start(loop)
        self._nursery.start(loop)

    def kill(self, slot: int, outcome: Verdict, told: str = "") -> None:
        """End that task's process; its report will carry ``outcome``, and ``told`` as the reason.

        A report that the worker had already sent wins: what happened, happened. A slot
        that runs nothing is left alone, since its report was given. Tasks that wait behind
        it go to another worker, and one that waits itself harms no other.
        """
        if slot not in self._by_slot:
            return
        seat = self._by_slot[slot]
        if seat is not None:
            self._take_back(seat)
            given = seat.queue[-1] if seat.queue else None
            if given is not None and given.slot == slot and not given.verdict:
                given.verdict, given.told = outcome, told
                self._retire(seat)
                self._nursery.end(seat)
        for given in [g for g in self._returned if g.slot == slot]:
            given.verdict, given.told = outcome, told
            self._returned.remove(given)
            self._loop.call_soon(self._speak_for, given, self.name, 0.0, "")
        self._give_returned()

    def workers(self) -> list[dict[str, object]]:
        """One line a process: name, pid, state, attempt, since, restarts."""
        return [seat.line() for seat in self._seats]

    def said(self) -> dict[str, Progress]:
        """What running tasks told of their progress last, by attempt."""
        running = (seat.queue[0] for seat in self._seats if seat.queue)
        return {given.attempt: given.said for given in running if given.said is not None}

    def health(self) -> dict[str, Any]:
        """Whether the pool works or pauses, after how many deaths, and for how long yet."""
        until, intensity = self._nursery.paused_until, self._nursery.intensity
        return {
            "name": self.name,
            "state": "working" if until is None else "paused",
            "for_s": None if until is None else max(until - self._loop.time(), 0.0),
            "deaths": intensity.deaths,
            "pauses": intensity.pauses,
            "last_death": intensity.told,
        }

    async def stop(self, grace_s: float = 2.0) -> None:
        """Let running tasks end within the grace, then end every process. Reports none after."""
        self._stopping = self._shut = True
        if self._by_slot and grace_s > 0:
            self._quiet.clear()
            with suppress(TimeoutError):  # what still runs is ended below, unreported
                await asyncio.wait_for(self._quiet.wait(), grace_s)
        self._silent = True
        self._deadlines.stop()
        self._watch.stop()
        self._returned.clear()
        for seat in self._seats:
            self._leave(seat)
        await self._nursery.stop()

    # ---- hearing ------------------------------------------------------------------------

    def _read(self, seat: Seat, number: int, to_the_end: bool = False) -> None:
        if seat.number != number or seat.sock is None or seat.ended:
            return
        now, heard = self._loop.time(), False
        try:
            for report in seat.receive(to_the_end):
                self.bytes_received += seat.frame
                self._report(seat, report, now)
                heard = True
        except msgspec.MsgspecError as error:
            seat.mute(f"what it said was no report ({error})")
            self._nursery.end(seat)
        if seat.ended:
            self._retire(seat)
            self._loop.remove_reader(seat.sock.fileno())
            if seat.orphaned:
                self.gone(seat, -9, WITH_TEMPLATE)
        elif (heard or seat.waits) and seat.queue:
            seat.waits = False
            self._deadlines.set(seat)

    def _report(self, seat: Seat, report: Report, now: float) -> None:
        """A worker's own word on its task."""
        given = seat.head(report.slot)
        if given is None:
            return
        if given.verdict == "timed_out" and report.run_s > (given.timeout_s or 0.0):
            return  # it came too late; the burial will say so
        seat.deaths = 0
        self._nursery.well()
        seat.done(now)
        if seat.state == "busy":
            if not seat.queue:
                self._make_idle(seat)
                self._give_returned()
            elif not seat.closed:
                self._open[seat] = None
        self._settle(given, seat.name, report)

    # ---- a seat's process: what the nursery tells ----------------------------------------

    def sat(self, seat: Seat) -> None:
        """A process is on its way to this seat; it can be given a task at once."""
        if seat.sock is not None:
            self._loop.add_reader(seat.sock.fileno(), self._read, seat, seat.number)
        self._idle.insert(0, seat)
        self._give_returned()
        if not self._shut:
            self._on_room()

    def runs(self, seat: Seat) -> None:
        """The seat's process runs: its id is known."""
        if seat.state == "starting":
            seat.state = "idle"
        self._deadlines.set(seat)  # starting up is not its time

    def orphaned(self, seat: Seat) -> None:
        """The seat's process dies, because the template did."""
        seat.orphaned = True
        self._retire(seat)
        self._loop.call_soon(self._read, seat, seat.number)

    def gone(self, seat: Seat, code: int, why: str = "") -> None:
        """The process is gone: hear what it still said, speak for it, and start another."""
        number = seat.number
        self._retire(seat)
        seat.orphaned = False
        self._read(seat, number, to_the_end=True)
        told = why or seat.why or seat.death(code)
        name, run_s = seat.name, self._loop.time() - seat.heard_at
        self._hand_over(seat, told)
        begun = list(seat.queue)
        ended = any(given.verdict for given in begun)
        if not ended:
            seat.deaths += 1
        self._leave(seat)
        if not self._stopping:
            known = ended or why == WITH_TEMPLATE  # the template's death counts once
            self._nursery.replace(seat, begun[0].work if begun else "", "" if known else told)
        for given in begun:
            self._speak_for(given, name, run_s, told)
        self._give_returned()

    def paused(self, on: bool) -> None:
        """The whole pool pauses, or goes on."""
        self._shut = on or self._stopping
        if not self._shut:
            self._on_room()

    def _leave(self, seat: Seat) -> None:
        """Close the seat's socket and forget its process."""
        self._nursery.forget(seat)
        self._open.pop(seat, None)
        self._unsaid.pop(seat, None)
        if seat in self._idle:
            self._idle.remove(seat)
        if seat.sock is not None:
            self._loop.remove_reader(seat.sock.fileno())
            self._loop.remove_writer(seat.sock.fileno())
        seat.stand_up()

    # ---- what takes too long, or too much ------------------------------------------------

    def _over_time(self, seat: Seat) -> None:
        """End the task that runs, unless it is another by now and the report is on its way."""
        first = seat.queue[0]
        self._take_back(seat)
        if len(seat.queue) == 1:
            self.kill(first.slot, "timed_out")
        elif seat.queue:
            self._deadlines.set(seat)

    def _over_limit(self, given: Given, verdict: Verdict, told: str) -> None:
        self.kill(given.slot, verdict, told)

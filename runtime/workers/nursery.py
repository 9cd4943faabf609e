"""The nursery of a pool: where its processes come from, and how fast they are replaced.

It keeps one template alive, has it fork a process for every empty seat, and passes on
which runs and which is gone. A seat whose processes die in a row gets the next one later
each time, and when deaths come from all over the pool it gets none for a while: the pool
pauses (`runtime.workers.intensity`), so that nothing spins.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from runtime.workers.intensity import Intensity
from runtime.workers.orders import DOWN, KILL, SPAWN, UP_RUNS
from runtime.workers.process import TemplateProcess
from runtime.workers.seat import Seat

LONGEST_PAUSE_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.05
WITH_TEMPLATE: Final = "the process that started it died, and it died with it"
_GIVE_UP_S: Final = 1.0
"""How long after a template's death a worker's socket may still be open."""


class House(Protocol):
    """What the nursery tells the pool."""

    def sat(self, seat: Seat) -> None:
        """A process is on its way to this seat; it can be given a task at once."""
        ...

    def runs(self, seat: Seat) -> None:
        """The seat's process runs: its id is known."""
        ...

    def gone(self, seat: Seat, code: int, why: str = "") -> None:
        """The seat's process has ended, and all that it started."""
        ...

    def orphaned(self, seat: Seat) -> None:
        """The seat's process dies, because the template did."""
        ...

    def paused(self, on: bool) -> None:
        """The whole pool pauses, or goes on."""
        ...


class Nursery:
    """One template, and the processes it forks for a pool's seats."""

    def __init__(
        self, seats: Sequence[Seat], house: House, begun: TemplateProcess | None = None
    ) -> None:
        self._seats, self._house = seats, house
        self._by_number: dict[int, Seat] = {}
        self._numbers = 0
        self._begun = begun
        """A template that was started ahead of its pool, for the first."""
        self._template: TemplateProcess | None = None
        self._template_deaths = 0
        self._timers: set[asyncio.TimerHandle] = set()
        self._stopping = False
        self.intensity = Intensity(most=2 * len(seats) + 6)
        self.paused_until: float | None = None
        self._loop: asyncio.AbstractEventLoop

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the template, and a process for every seat."""
        self._loop = loop
        self._start_template()

    def end(self, seat: Seat) -> None:
        """End the seat's process and all that it started; `House.gone` will be called."""
        self._tell(KILL, seat.number)

    def forget(self, seat: Seat) -> None:
        """Nothing more is to be heard of the seat's process."""
        self._by_number.pop(seat.number, None)

    def well(self) -> None:
        """A task was done: what died before is forgiven."""
        self._template_deaths = 0
        if self.intensity.unwell:
            self.intensity.well()

    def replace(self, seat: Seat, work: str, told: str) -> None:
        """Give an empty seat another process; later, when deaths came in a row.

        ``work`` names what the process died at; with neither that nor ``told`` it did not
        die but was ended.
        """
        if told:
            self._died(work, told)
        if self._template is not None:
            self._later(seat.deaths, lambda: self._again(seat))

    async def stop(self) -> None:
        """End the template and every process of it."""
        self._stopping = True
        for handle in self._timers:
            handle.cancel()
        self._timers.clear()
        if self._template is not None:
            template, self._template = self._template, None
            self._loop.remove_reader(template.control.fileno())
            await template.end()

    # ---- the template -------------------------------------------------------------------

    def _start_template(self) -> None:
        self._template = template = self._begun or TemplateProcess()
        self._begun = None
        self._loop.add_reader(template.control.fileno(), self._hear, template)
        for seat in self._seats:
            if seat.state == "down":
                self._spawn(seat)

    def _restart_template(self) -> None:
        try:
            self._start_template()
        except OSError as error:  # no process or descriptor to be had now
            self._template_deaths += 1
            self._died("", f"no process could be started: {error}")
            self._later(self._template_deaths, self._restart_template)

    def _hear(self, template: TemplateProcess) -> None:
        messages = template.receive()
        if messages is None:
            self._template_died(template)
            return
        for what, number, value in messages:
            seat = self._by_number.get(number)
            if seat is None:
                continue
            if what == UP_RUNS:
                seat.pid = value
                self._house.runs(seat)
            else:
                self._house.gone(seat, os.waitstatus_to_exitcode(value))

    def _tell(self, what: bytes, number: int, *fds: int) -> None:
        if self._template is not None:
            self._template.send(DOWN.pack(what, number), *fds)

    def _template_died(self, template: TemplateProcess) -> None:
        """Its workers die with it; each is buried when its socket ends. Start another."""
        self._loop.remove_reader(template.control.fileno())
        template.bury()
        self._template = None
        self._template_deaths += 1
        self._died("", "the process that starts workers died")
        for seat in self._seats:
            if seat.state != "down":
                self._house.orphaned(seat)
                self._loop.call_later(_GIVE_UP_S, self._give_up_on, seat, seat.number)
        self._later(self._template_deaths, self._restart_template)

    def _give_up_on(self, seat: Seat, number: int) -> None:
        """Bury a worker whose socket somebody still holds open."""
        if seat.number == number:
            self._house.gone(seat, -9, WITH_TEMPLATE)

    # ---- processes ----------------------------------------------------------------------

    def _spawn(self, seat: Seat) -> None:
        """Have a process forked for this seat."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        tickets = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._numbers += 1
        seat.sit(self._numbers, ours, tickets)
        self._by_number[seat.number] = seat
        self._tell(SPAWN, seat.number, theirs.fileno(), tickets[0])
        theirs.close()
        self._house.sat(seat)

    def _again(self, seat: Seat) -> None:
        if self._template is not None and seat.state == "down":
            seat.restarts += 1
            self._spawn(seat)

    # ---- pauses -------------------------------------------------------------------------

    def _died(self, work: str, told: str) -> None:
        """Note a death; the pool pauses when there were too many of them."""
        now = self._loop.time()
        pause_s = self.intensity.died(now, work, told)
        if not pause_s or self.paused_until is not None:
            return
        self.paused_until = now + pause_s
        self._house.paused(on=True)
        self._call_later(pause_s, self._go_on)

    def _go_on(self) -> None:
        self.paused_until = None
        self._house.paused(on=False)

    def _later(self, deaths: int, act: Callable[[], None]) -> None:
        """Do it now after a first death, later the more of them came in a row."""
        pause = min(_FIRST_PAUSE_S * 2 ** (deaths - 2), LONGEST_PAUSE_S) if deaths > 1 else 0.0
        if self.paused_until is not None:
            pause = max(pause, self.paused_until - self._loop.time())
        self._call_later(pause, act)

    def _call_later(self, pause_s: float, act: Callable[[], None]) -> None:
        def fire() -> None:
            self._timers.discard(handle)
            if not self._stopping:
                act()

        handle = self._loop.call_later(pause_s, fire)
        self._timers.add(handle)

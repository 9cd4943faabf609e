"""Capacity: writes down now and then which slots this server held, so that idle time has a price.

Busy or not, a slot of a server that is up is paid for. Every quarter of an hour
(``watch.capacity_minutes``) and at the end a `CapacityHeld` is appended for the time since the
last; what a server held between its last and its death is in none. Meanwhile a changed
catalogue is looked for, whether notes are taken or not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from control_plane.appending import append_last
from control_plane.clock import Clock
from control_plane.idle import days, months, reserved
from runtime.engine.engine import Engine
from runtime.engine.prices import BadCatalogue, Prices, load_prices
from runtime.journal.port import JournalReader
from runtime.run.events import CapacityHeld

LOG: Final = logging.getLogger("trimtab.capacity")
MINUTE_S: Final = 60.0
LOOK_S: Final = 5.0
"""How often a changed catalogue is looked for, so that what waits for slots need not wait on."""
CLOSE_S: Final = 2.0
"""How long the end of a server waits for the last of it."""
SHORTEST_S: Final = 1.0
"""Less is not written down."""


class Capacity:
    """Writes down what this server holds."""

    def __init__(self, engine: Engine, workers: int, minutes: float, clock: Clock) -> None:
        self._engine, self._workers, self._clock = engine, workers, clock
        self._pause_s = minutes * MINUTE_S
        self._since, self._prices = clock(), self._read(None)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Count from now on."""
        self._since = self._clock()
        self._task = asyncio.create_task(self._again(), name="capacity")

    async def close(self) -> None:
        """Write down the rest, unless that takes too long: a full disk ends no server later."""
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        if not self._pause_s:
            return
        try:
            await asyncio.wait_for(self._try(), CLOSE_S)
        except TimeoutError:
            LOG.warning("which slots were held last is not written down: the journal is busy")

    async def tell(self) -> list[CapacityHeld]:
        """Write down what was held since the last time, a fact a day."""
        since, until = self._since, self._clock()
        if until - since < SHORTEST_S:
            return []
        self._prices = self._read(self._prices)
        slots, told = reserved(self._prices, self._workers), []
        for begin, end in days(since, until):
            event = CapacityHeld(begin, end, slots, _priced(self._prices, slots, begin))
            await self._append(event)
            told.append(event)
        return told

    async def _append(self, event: CapacityHeld) -> None:
        """Write a fact down; one that is cut off may stand all the same, and is not told again."""
        self._since = event.until
        try:
            await append_last(self._engine, f"capacity/{_month(event.since)}", event, self._clock)
        except Exception:
            self._since = event.since
            raise

    async def _again(self) -> None:
        while True:
            await asyncio.sleep(min(self._pause_s or LOOK_S, LOOK_S))
            self._engine.look_at_hardware()
            if self._pause_s and self._clock() - self._since >= self._pause_s:
                await self._try()

    async def _try(self) -> None:
        try:
            await self.tell()
        except Exception:
            LOG.exception("which slots were held could not be written down")

    def _read(self, before: Prices | None) -> Prices:
        """The prices that are in force; a file with faults leaves them as they were."""
        try:
            return load_prices(self._engine.folder.root)
        except (BadCatalogue, OSError):
            if before is None:
                raise
            return before


def held(journal: JournalReader, since: float, until: float) -> list[CapacityHeld]:
    """Return what servers held between two times, facts that reach into it cut to it."""
    events = [
        r.event for month in months(since, until) for r in journal.read(f"capacity/{month}")
    ]  # fmt: skip
    return _within([e for e in events if isinstance(e, CapacityHeld)], since, until)


def _within(events: Sequence[CapacityHeld], since: float, until: float) -> list[CapacityHeld]:
    cut = (
        CapacityHeld(max(e.since, since), min(e.until, until), e.slots, e.usd_per_hour)
        for e in events
    )  # fmt: skip
    return [e for e in cut if e.since < e.until]


def _priced(prices: Prices, slots: dict[str, int], at: float) -> dict[str, float]:
    found = {name: prices.usd_per_hour(name, at) for name in slots}
    return {name: usd for name, usd in found.items() if usd is not None}


def _month(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")

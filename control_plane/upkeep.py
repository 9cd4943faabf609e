"""Upkeep: the collector, run by the server it belongs to.

A pass goes over a connection of its own in a thread of the lowest priority, a while after
the server started and then every so many hours; a person may ask for one at any time. The
server knows what the collector cannot: which attempts run, and that the journal can be
written.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Final

from control_plane.clock import Clock
from control_plane.errors import Conflict
from control_plane.settings import RetentionSettings
from runtime.data.objects import Objects
from runtime.engine.engine import Engine
from runtime.journal.sqlite import SqliteReader
from runtime.retention.collect import Collected, Collector, Retention

LOG: Final = logging.getLogger("trimtab.upkeep")
FIRST_S: Final = 600.0
"""How long a server has been up before it collects by itself."""
_HOUR_S: Final = 3600.0
_LOWEST: Final = 19


class Upkeep:
    """Collects what retention no longer holds. Use it from the engine's loop."""

    def __init__(
        self, engine: Engine, settings: RetentionSettings, clock: Clock,
        first_s: float = FIRST_S,
    ) -> None:  # fmt: skip
        self._engine, self._clock, self._first_s = engine, clock, first_s
        self._every_s = settings.every_hours * _HOUR_S
        self._retention = Retention(
            settings.values_days, settings.results_days, settings.scratch_days,
            settings.products_days, settings.grace_hours * _HOUR_S,
        )  # fmt: skip
        self._thread = ThreadPoolExecutor(1, "upkeep", _let_others_first)
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.last: Collected | None = None
        """What the last pass that removed anything removed."""

    def start(self) -> None:
        """Collect from now on, again and again."""
        if self._every_s:
            self._task = asyncio.create_task(self._again(), name="upkeep")

    async def close(self) -> None:
        """Collect no more; a pass that runs is waited for."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await asyncio.to_thread(self._thread.shutdown)

    async def collect(self, *, dry_run: bool = False) -> Collected:
        """Make one pass.

        Raises:
            Conflict: the journal cannot be written, so what it will say is not known.
        """
        async with self._turn:
            if self._engine.status["stalled"]:
                raise Conflict(
                    "stalled", "the journal cannot be written now, so nothing is collected",
                    "make room on the disk of the data folder",
                )  # fmt: skip
            held, now = self._engine.held_since, self._clock()
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._thread, self._pass, now, held, dry_run)
        if not dry_run:
            self.last = found
        return found

    def _pass(self, now: float, held_since: float, dry_run: bool) -> Collected:
        folder = self._engine.folder
        with closing(SqliteReader.open(folder.journal)) as journal:
            store = Objects(folder.objects).store
            collector = Collector(folder, store, journal, self._retention)
            return collector.collect(now, held_since=held_since, dry_run=dry_run)

    async def _again(self) -> None:
        pause_s = self._first_s
        while True:
            await asyncio.sleep(pause_s)
            pause_s = self._every_s
            try:
                told = await self.collect()
            except Exception:
                LOG.exception("nothing was collected; the next pass is in %.1f h", pause_s / 3600)
                continue
            LOG.info("collected %d objects, %d bytes", told.objects, told.object_bytes)
            if told.missing:
                LOG.error("missing from the store: %s", ", ".join(told.missing[:10]))


def _let_others_first() -> None:
    """Give this thread, and on Linux no other, the lowest priority; it never gets it back."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)

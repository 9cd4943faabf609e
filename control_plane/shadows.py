"""Shadows: replays of history for proposals, computed beside the loop.

One thread replays, over a reader of its own, so that neither the engine nor a trial that
has to be rolled back waits for it. After `LIMIT_S` no further run is begun, and what is
left cannot say. Nothing is written, and after a restart a proposal in shadow is replayed
again, with the same seed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from control_plane.review.shadow import Replayed
from control_plane.what_if import Rehearsal, rehearse
from optimizer.simulate.shadow import Check
from runtime.journal.port import JournalReader

_LOG: Final = logging.getLogger("trimtab.shadows")
LIMIT_S: Final = 10.0
GRACE_S: Final = 20.0
"""How long the run that is being replayed then may still take; past it the replay failed."""


@dataclass(slots=True)
class _Replay:
    """A replay under way, or done."""

    stop: threading.Event = field(default_factory=threading.Event)
    found: Replayed | None = None


@dataclass(slots=True)
class Shadows:
    """Replays history for proposals in shadow. Use it on one loop.

    ``reader`` opens the journal for the thread; ``slots`` is how many attempts the pool runs.
    """

    reader: Callable[[], AbstractContextManager[JournalReader]]
    slots: int | None = None
    limit_s: float = LIMIT_S
    grace_s: float = GRACE_S
    _replays: dict[str, _Replay] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="shadow")
    )

    def of(self, proposal: str, wanted: Rehearsal, done: Callable[[], None]) -> Replayed | None:
        """Return what was found, or None; asked first, begin, and call ``done`` at the end."""
        if proposal not in self._replays:
            replay = self._replays[proposal] = _Replay()
            work = self._replay(proposal, replay, wanted, done)
            task = asyncio.create_task(work, name=f"shadow {proposal}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return self._replays[proposal].found

    def forget(self, proposal: str) -> None:
        """It is not in shadow any more: end its replay, and keep nothing of it."""
        replay = self._replays.pop(proposal, None)
        if replay is not None:
            replay.stop.set()

    async def finished(self) -> bool:
        """Wait for the replays under way; False when there were none."""
        tasks = list(self._tasks)
        await asyncio.gather(*tasks)
        return bool(tasks)

    async def close(self) -> None:
        """End what is under way; the thread ends after the run that it is replaying."""
        for replay in self._replays.values():
            replay.stop.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _replay(
        self, proposal: str, replay: _Replay, wanted: Rehearsal, done: Callable[[], None]
    ) -> None:
        try:
            async with self._turn:
                replay.found = Replayed(await self._in_time(wanted, replay.stop))
        except Exception as error:
            _LOG.exception("%s: history could not be replayed under it", proposal)
            replay.found = Replayed(error=f"{type(error).__name__}: {error}")
        done()

    async def _in_time(self, wanted: Rehearsal, stop: threading.Event) -> dict[str, Check]:
        loop = asyncio.get_running_loop()
        late = loop.call_later(self.limit_s, stop.set)
        whole = self.limit_s + self.grace_s
        try:
            async with asyncio.timeout(whole):
                return await loop.run_in_executor(self._thread, self._read, wanted, stop)
        except TimeoutError as error:
            raise TimeoutError(f"it was not done after {whole:g} s") from error
        finally:
            late.cancel()

    def _read(self, wanted: Rehearsal, stop: threading.Event) -> dict[str, Check]:
        with self.reader() as journal:
            return rehearse(journal, wanted, self.slots, lambda: not stop.is_set())

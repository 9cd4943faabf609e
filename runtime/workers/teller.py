"""Tells the pool how far the running task is: a few times a second, and the last word always.

What is told too soon after the last is kept, and a thread sends the newest of it a moment
later. Nothing here is touched by a task that tells nothing.
"""

from __future__ import annotations

import math
import os
import threading
import time
from typing import Final

import msgspec

from runtime.workers.outbox import Outbox
from runtime.workers.protocol import ASIDE, HEADER, Progress
from runtime.workers.secrets import Mask

PAUSE_S: Final = 0.2
THREAD: Final = "progress"
_NOTE: Final = 200
_ENCODE: Final = msgspec.msgpack.Encoder().encode


class Teller:
    """What one worker tells of the task it runs."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox, self._pid = outbox, os.getpid()
        self._lock = threading.Lock()
        self._slot: int | None = None
        self._mask = Mask(())
        self._last_at = 0.0
        self._kept: Progress | None = None
        self._is_timed = False

    def begin(self, slot: int, mask: Mask) -> None:
        """From now on it is this task that is told of, less its secrets."""
        self._slot, self._mask = slot, mask

    def end(self) -> None:
        """The task is over: what was kept is of no use any more."""
        self._slot = self._kept = None

    def __call__(
        self, done: float | None, total: float | None, note: str, *, waits: bool = False
    ) -> None:
        """Tell this now, or soon."""
        slot = self._slot
        if slot is None or os.getpid() != self._pid:
            return  # a thread that outlived its task, or a process that the tool forked
        note = str(self._mask.json(str(note)))[:_NOTE]
        said = Progress(slot, _finite(done), _finite(total), note, time.time(), waits)
        with self._lock:
            wait_s = self._last_at + PAUSE_S - time.monotonic()
            if wait_s <= 0:
                self._send(said)
                return
            self._kept = said
            if not self._is_timed:
                self._is_timed = True
                timer = threading.Timer(wait_s, self._late)
                timer.daemon, timer.name = True, THREAD
                timer.start()

    def _late(self) -> None:
        with self._lock:
            self._is_timed = False
            kept, self._kept = self._kept, None
            if kept is not None and kept.slot == self._slot:
                self._send(kept)

    def _send(self, said: Progress) -> None:
        self._last_at = time.monotonic()
        data = _ENCODE(said)
        self._outbox.put((ASIDE + len(data)).to_bytes(HEADER, "little") + data, more=False)


def _finite(number: float | None) -> float | None:
    """A number that JSON has a word for, or None."""
    if number is None or not math.isfinite(float(number)):
        return None
    return float(number)

"""Reports on their way: several short tasks' in one message, and none held up for long.

A report goes at once when no task waits behind it, or when the oldest unsent one is two
milliseconds old. Should the next task take long after all, a thread sends what lies here;
it is made when it is first needed, and sleeps unless something lies here.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Final

_HOLD_S: Final = 0.002
_LATE_S: Final = 0.02


class Outbox:
    """What a worker has to say and has not said yet."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self._since = 0.0
        self._work: threading.Event | None = None

    def put(self, data: bytes, *, more: bool) -> None:
        """Say this, now or soon; ``more`` when another task can begin at once."""
        with self._lock:
            now = time.monotonic()
            if not self._unsent:
                self._since = now
            self._unsent += data
            if not more or now - self._since > _HOLD_S:
                self._send()
                return
        self._watch()

    def flush(self) -> None:
        """Say all of it now."""
        with self._lock:
            self._send()

    def _send(self) -> None:
        """The lock is held."""
        if self._unsent:
            self._sock.sendall(self._unsent)
            self._unsent.clear()

    def _watch(self) -> None:
        """See that somebody looks after what lies here while a task runs."""
        if self._work is None:
            self._work = threading.Event()
            threading.Thread(target=self._help, daemon=True, name="outbox").start()
        if not self._work.is_set():
            self._work.set()

    def _help(self) -> None:
        work = self._work
        while work is not None:
            work.wait()
            work.clear()
            time.sleep(_LATE_S)
            try:
                with self._lock:
                    if self._unsent and time.monotonic() - self._since > _LATE_S:
                        self._send()
                    elif self._unsent:
                        work.set()
            except OSError:  # the server is gone, and so is the worker in a moment
                return

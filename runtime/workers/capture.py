"""Catches what a tool prints: from Python, from C and from its subprocesses.

Standard output and error of the worker lead into a pipe; a thread keeps the last 64 KiB
of what comes out and forgets the rest, so that a tool may print for ever. `take` returns
what was printed since it was last called, whole and in order, and mends what a tool may
have closed or replaced.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from typing import Final

from runtime import kernel

LIMIT: Final = 64 * 1024


class Capture:
    """The worker's standard output and error. One instance a process."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        self._lock = threading.Lock()
        self._tail = bytearray()
        self._missed = 0
        self._stream = _stream()
        threading.Thread(target=self._drain_for_ever, daemon=True, name="capture").start()

    def begin(self) -> None:
        """Lead both outputs into the pipe again, whatever was done to them.

        Both are one stream, so that what Python prints stays in order.
        """
        self._lead()
        if self._stream.closed:
            self._stream = _stream()
        sys.stdout = sys.stderr = self._stream

    def take(self) -> str:
        """What was printed since the last time, or its last 64 KiB."""
        if not self._stream.closed:
            self._flush()
        kernel.flush_c_output()
        with self._lock:
            self._drain()
            tail, missed = self._tail, self._missed
            if not tail:
                return ""
            self._tail, self._missed = bytearray(), 0
        text = tail.decode("utf-8", "replace")
        return f"… {missed} bytes left out …\n{text}" if missed else text

    def _flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:  # the tool closed the descriptor under the stream
            self._lead()
            self._stream.flush()

    def _lead(self) -> None:
        os.dup2(self._write, 1)
        os.dup2(self._write, 2)

    def _drain(self) -> None:
        """Read what is in the pipe. The lock is held."""
        while True:
            try:
                data = os.read(self._read, 1 << 16)
            except BlockingIOError:
                return
            self._tail += data
            over = len(self._tail) - LIMIT
            if over > 0:
                del self._tail[:over]
                self._missed += over

    def _drain_for_ever(self) -> None:
        poll = select.poll()
        poll.register(self._read, select.POLLIN)
        while True:
            poll.poll()
            with self._lock:
                self._drain()


def _stream() -> io.TextIOWrapper:
    buffer = io.BufferedWriter(io.FileIO(1, "w", closefd=False), 1 << 13)
    return io.TextIOWrapper(buffer, "utf-8", "backslashreplace", line_buffering=True)

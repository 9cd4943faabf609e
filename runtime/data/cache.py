"""A cache: this machine's copies of objects that lie elsewhere, bounded, oldest use first out.

All processes of a data folder share it. A copy is whole when it has its name, is used by
mapping it, and may be removed while it is mapped: the map keeps the bytes. What was used in
the last seconds stays, since somebody may be about to open it, so the bound is soft.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

RECENT_S: Final = 10.0
_LOOK: Final = 16
"""A process looks at the whole cache when it has added a part of this size of the bound."""


class Cache:
    """Copies in a folder, ``ab/ab….arrow``; their last use is the file's time."""

    def __init__(self, root: Path, bound: int) -> None:
        self._root, self._bound = root, bound
        self._added = bound  # the first addition looks

    def held(self, name: str) -> Path | None:
        """The copy's file, which counts as used now; None when there is none."""
        path = self._root / name[:2] / name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def take(self, aside: Path, name: str) -> Path:
        """Take a whole file in, and let the oldest go when there are too many bytes."""
        path = self._root / name[:2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        os.utime(aside)
        os.rename(aside, path)
        self._added += path.stat().st_size
        if self._added * _LOOK > self._bound:
            self._added = 0
            self._bring_down(time.time() - RECENT_S)
        return path

    def drop(self, name: str) -> None:
        """Remove a copy, if there is one."""
        (self._root / name[:2] / name).unlink(missing_ok=True)

    @contextmanager
    def fetching(self, name: str) -> Iterator[None]:
        """Let one process at a time fetch what begins like this."""
        self._root.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._root / f".{name[:2]}.lock", os.O_RDONLY | os.O_CREAT, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)

    def _bring_down(self, before: float) -> None:
        copies = sorted(self._copies())
        total = sum(size for _, size, _ in copies)
        for used, size, path in copies:
            if total <= self._bound or used >= before:
                return
            path.unlink(missing_ok=True)
            total -= size

    def _copies(self) -> Iterator[tuple[float, int, Path]]:
        for path in self._root.glob("??/*"):
            with suppress(FileNotFoundError):  # another process was first
                stat = path.stat()
                yield stat.st_mtime, stat.st_size, path

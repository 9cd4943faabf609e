"""A store: where objects lie, whole and under their names, and how they leave.

A port of six verbs, kept by a folder (`FolderStore`) and by an object store behind a URL
(`runtime.data.remote`). What every store owes its callers: `keep` makes a whole file
durable before it returns, or raises and leaves nothing; `path` gives a local file with
the whole bytes; and `release` removes nothing that was kept or freshened since the
moment it is told, however many processes write meanwhile. What fails because the store
cannot be reached is `Unavailable`, and may be tried again.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from runtime.errors import DataError, Transient

ASIDE: Final = ".aside-"
"""How the names of files begin that are being written."""
_LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as a listing tells it. ``at`` is when it was last kept or freshened."""

    name: str
    bytes: int
    at: float


class Missing(DataError):
    """There is no such object: it was released, or its store is another."""

    def __init__(self, name: str, place: str) -> None:
        super().__init__(f"object {name} is not in {place}: it was released, or never written")


class Unavailable(Transient):
    """The store cannot be used now; the same may work later."""


class Store(Protocol):
    """Keeps whole files under names that begin with their hash."""

    place: str
    """What to call it in a message."""

    def keep(self, aside: Path, name: str) -> None:
        """Take the file in under its name, durably; ``aside`` is gone afterwards."""
        ...

    def path(self, name: str) -> Path:
        """Return a local file with the object's bytes.

        Raises:
            Missing: there is no such object.
        """
        ...

    def freshen(self, name: str) -> None:
        """Let the object count as kept now, so that nothing releases it for a while.

        Raises:
            Missing: there is no such object.
        """
        ...

    def list(self) -> Iterator[Stored]:
        """Yield every object, in no order; what comes or goes meanwhile may be missed."""
        ...

    def release(self, name: str, before: float) -> bool:
        """Remove an object unless it was kept or freshened at ``before`` or later."""
        ...

    def sweep(self, before: float) -> int:
        """Remove what was left half written before then; how many files."""
        ...


class FolderStore:
    """Objects in a folder, ``ab/ab….json``; their age is the file's. One a thread.

    The lock is shared by those who keep and freshen and exclusive for the one who
    releases, so that an old file which is written again is never the one removed.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.place = root, str(root)
        self._lock_fd: int | None = None

    def keep(self, aside: Path, name: str) -> None:
        folder = self.root / name[:2]
        fresh = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        with self.locked(fcntl.LOCK_SH):
            os.utime(aside)
            os.rename(aside, folder / name)
        sync_folder(folder)
        if fresh:
            sync_folder(self.root)

    def path(self, name: str) -> Path:
        path = self.root / name[:2] / name
        if not path.exists():
            raise Missing(name, self.place)
        return path

    def freshen(self, name: str) -> None:
        with self.locked(fcntl.LOCK_SH):
            try:
                os.utime(self.root / name[:2] / name)
            except FileNotFoundError:
                raise Missing(name, self.place) from None

    def list(self) -> Iterator[Stored]:
        for folder in _entries(self.root):
            if len(folder.name) == 2 and folder.is_dir():
                yield from _stored(folder.path)

    def release(self, name: str, before: float) -> bool:
        path = self.root / name[:2] / name
        with self.locked(fcntl.LOCK_EX):
            try:
                if path.stat().st_mtime >= before:
                    return False
                path.unlink()
            except FileNotFoundError:
                return False
        return True

    def sweep(self, before: float) -> int:
        left = [e for e in _entries(self.root) if e.name.startswith(ASIDE)]
        old = [e for e in left if _age(e) < before]
        for entry in old:
            Path(entry.path).unlink(missing_ok=True)
        return len(old)

    @contextmanager
    def locked(self, how: int) -> Iterator[None]:
        """Hold the store's lock, shared or exclusive, over all processes."""
        if self._lock_fd is None:
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock_fd = os.open(self.root / _LOCK, os.O_RDONLY | os.O_CREAT, 0o644)
        fcntl.flock(self._lock_fd, how)
        try:
            yield
        finally:
            fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the lock's file."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def __del__(self) -> None:
        self.close()


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _stored(folder: str) -> Iterator[Stored]:
    for entry in _entries(Path(folder)):
        try:
            stat = entry.stat()
        except FileNotFoundError:
            continue  # released since it was listed
        if not entry.name.startswith("."):
            yield Stored(entry.name, stat.st_size, stat.st_mtime)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except FileNotFoundError:
        return []


def _age(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat().st_mtime
    except FileNotFoundError:
        return time.time()

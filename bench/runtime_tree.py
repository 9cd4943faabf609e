"""A process tree as the kernel accounts for it: CPU seconds and memory, recorder apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_APART = b"runtime.record.recorder"


def tree(root: int | None = None) -> list[int]:
    """A process and all below it, less the recorder."""
    pid = root or os.getpid()
    return [pid, *(p for child in _children(pid) for p in tree(child))]


def _children(pid: int) -> Iterator[int]:
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _read(tasks).split():
            if _APART not in _read(Path(f"/proc/{int(child)}/cmdline")):
                yield int(child)


def cpu_s(pids: list[int]) -> float:
    """CPU seconds of these processes so far, to the nanosecond where ticks would be coarse."""
    found = (
        _read(task).split()
        for pid in pids
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )
    return sum(int(words[0]) for words in found if words) / 1e9


def rss_mb(pids: list[int]) -> float:
    """Resident memory, pages that processes share counted in each of them."""
    return _rollup(pids, b"Rss:")


def pss_mb(pids: list[int]) -> float:
    """Resident memory, shared pages counted once."""
    return _rollup(pids, b"Pss:")


def _rollup(pids: list[int], word: bytes) -> float:
    kb = 0
    for pid in pids:
        for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
            if line.startswith(word):
                kb += int(line.split()[1])
    return kb / 1024


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""

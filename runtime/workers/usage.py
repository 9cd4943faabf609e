"""What a worker and everything below it hold now: how many processes, how much memory.

Memory is what a process has for itself. A file that it maps, an Arrow table say, is not
counted: the kernel may drop those pages whenever it likes. Pages that a fork shares with
its parent are counted once, but only when the quick count is over the limit, since the
exact one is slow. On kernels other than Linux nothing is seen, and no limit holds.
"""

from __future__ import annotations

import os
from typing import Final

_KIB: Final = 1024


def below(pid: int, most: int) -> list[int]:
    """The processes below one, nearest first; once there are more than ``most``, not all."""
    found: list[int] = []
    parents = [pid]
    for parent in parents:
        own = _children(parent)
        found += own
        if len(found) > most:
            break
        parents += own
    return found


def memory_bytes(pids: list[int], limit: int) -> int:
    """What these processes hold in memory; exact when it is over ``limit``."""
    quick = sum(_field(f"/proc/{pid}/status", "RssAnon:") for pid in pids)
    if quick <= limit or len(pids) == 1:
        return quick
    return sum(_field(f"/proc/{pid}/smaps_rollup", "Pss_Anon:") for pid in pids)


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped the process, so that it does nothing."""
    return "T (stopped)" in _text(f"/proc/{pid}/status")


def _children(pid: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []  # it ended
    told = (_text(f"/proc/{pid}/task/{thread}/children") for thread in threads)
    return [int(child) for text in told for child in text.split()]


def _field(path: str, name: str) -> int:
    """The bytes that a line of a file of /proc tells."""
    for line in _text(path).splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * _KIB
    return 0


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""  # the process ended between two looks

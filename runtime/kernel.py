"""What workers ask of the kernel, so that no process outlives what it works for.

A process dies with its parent, adopts the orphans of what it started, and can end every
child it has. On kernels other than Linux only the last resort remains: sockets that end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_LINUX: Final = sys.platform.startswith("linux")
_DEATH_SIGNAL: Final = 1
_SUBREAPER: Final = 36


def die_with_parent(sig: int = signal.SIGKILL) -> None:
    """Have the kernel signal this process when the thread that made it ends."""
    if _LINUX:
        _LIBC.prctl(_DEATH_SIGNAL, sig, 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    if _LINUX:
        _LIBC.prctl(_SUBREAPER, 1, 0, 0, 0)


def flush_c_output() -> None:
    """Write out what C code has printed and not yet flushed."""
    _LIBC.fflush(None)


def has_children() -> bool:
    """Whether this process has any child, running or dead. One system call."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def children() -> set[int]:
    """The process ids of this process's children."""
    found: set[int] = set()
    if not _LINUX:
        return found
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/children", encoding="ascii") as file:
                found.update(int(pid) for pid in file.read().split())
        except FileNotFoundError:
            continue  # the thread ended between the two looks
    return found


def end_children(keep: Collection[int] = ()) -> None:
    """Kill every child but these, and theirs as they become ours, and reap them."""
    while ended := children() - set(keep):
        for pid in ended:
            kill(pid)
        for pid in ended:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                continue  # somebody's Popen object reaped it first


def end_marked(mark: str) -> None:
    """Kill every process whose environment holds ``NAME=value`` as it was started with."""
    wanted = mark.encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it ended, or it is somebody else's
        if wanted in variables:
            kill(int(path.parent.name))


GRACE_S: Final = 2.0
"""How long a process that is asked to end may take."""


def ask_to_end(pid: int) -> None:
    """Send a process SIGTERM, if it is still there; one that is stopped hears it too."""
    for sig in (signal.SIGTERM, signal.SIGCONT):
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            return


def kill(pid: int) -> None:
    """Kill a process, if it is still there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def kill_group(pid: int) -> None:
    """Kill a process and all of the group it leads."""
    kill(pid)
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # it had not become a leader yet, or the group is empty


def limit_memory(size: int | None) -> None:
    """Refuse this process more than ``size`` bytes of data memory beside what it has now.

    What it has now may be a large reserve that a library made and has not touched.
    """
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = hard if size is None else _data_bytes() + size
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """How much data memory this process has reserved."""
    if not _LINUX:
        return 0
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")

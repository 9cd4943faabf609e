"""A cage: the kernel's control group for one worker and all that it starts.

A process cannot leave it by forking or by a session of its own. So it holds what no count
from outside can: a fork bomb gets no more processes than the cage has room for (where the
`pids` controller is ours to use), and `kill` ends everything in it at once, faster than
anything can fork. Where control groups are not ours to write there is no cage; then a
limit on the user's processes (not for root, whom the kernel exempts) and the watch remain.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "trimtab-"
ROOM: Final = 512
"""Tasks beside those that the limit speaks of: the threads of worker and processes."""
THREADS: Final = 8
"""For so many threads of each allowed process there is room."""
MORE: Final = 8192
"""So many more processes than it has now may a user have who gets no cage."""


def tasks(processes: int) -> int:
    """How many tasks a cage holds for an attempt that may have so many processes."""
    return THREADS * processes + ROOM


class Cage:
    """One worker's control groups: a folder in each hierarchy that is ours to write."""

    def __init__(self, folders: list[Path]) -> None:
        self._folders = folders
        self._pids = next((f for f in folders if (f / "pids.max").exists()), None)

    @property
    def holds(self) -> bool:
        """Whether it limits how many tasks there are."""
        return self._pids is not None

    def enter(self) -> None:
        """Put this very process in; what it starts from now on is in it too."""
        for folder in self._folders:
            _write(folder / "cgroup.procs", "0")

    def allow(self, processes: int) -> None:
        """Set how many processes there is room for."""
        if self._pids is not None:
            _write(self._pids / "pids.max", str(tasks(processes)))

    def kill(self) -> None:
        """Let nothing more start in it, and end all that is."""
        if self._pids is not None:
            _write(self._pids / "pids.max", "0")
        for folder in self._folders:
            if (folder / "cgroup.kill").exists():
                _write(folder / "cgroup.kill", "1")

    def remove(self) -> None:
        """Take it away; everything in it has ended."""
        for folder in self._folders:
            with suppress(OSError):  # something in it has not been reaped yet: swept later
                folder.rmdir()


def build(number: int) -> Cage:
    """Make the cage of a worker of this process; one without folders where none can be made."""
    folders = []
    for base in bases():
        folder = base / f"{PREFIX}{os.getpid()}-{number}"
        with suppress(OSError):  # not ours to write
            folder.mkdir()
            folders.append(folder)
    return Cage(folders)


def sweep() -> None:
    """Take away empty cages of templates that are no more."""
    for base in bases():
        for folder in base.glob(f"{PREFIX}*-*"):
            owner = folder.name.removeprefix(PREFIX).partition("-")[0]
            if not Path("/proc", owner).exists():
                with suppress(OSError):
                    folder.rmdir()


def bases() -> list[Path]:
    """This process's own groups in the hierarchies that can hold or kill."""
    try:
        told = Path("/proc/self/cgroup").read_text(encoding="ascii")
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    places = _places(mounts)
    found = []
    for line in told.splitlines():
        _, controllers, path = line.split(":", 2)
        place = places.get(
            "pids" if "pids" in controllers.split(",") else controllers or "unified"
        )
        if place is not None:
            found.append(place / path.lstrip("/"))
    return [base for base in found if os.access(base, os.W_OK)]


def _places(mounts: str) -> dict[str, Path]:
    """Where the hierarchies are mounted: ``pids`` of the old kind, and ``unified``."""
    places = {}
    for line in mounts.splitlines():
        mount, _, kind = line.partition(" - ")
        where, words = Path(mount.split()[4]), kind.split()
        if words[0] == "cgroup2":
            places["unified"] = where
        elif words[0] == "cgroup" and "pids" in words[-1].split(","):
            places["pids"] = where
    return places


def limit_user() -> None:
    """Keep this process and what it starts from filling the machine, where there is no cage."""
    import resource

    kind = resource.RLIMIT_NPROC
    _, hard = resource.getrlimit(kind)
    most = _tasks_of(os.getuid()) + MORE
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(kind, (most, hard))


def _tasks_of(user: int) -> int:
    """How many tasks a user has now."""
    count = 0
    for entry in os.scandir("/proc"):
        with suppress(OSError):  # it ended
            if entry.name.isdigit() and entry.stat().st_uid == user:
                count += len(os.listdir(f"/proc/{entry.name}/task"))
    return count


def _write(file: Path, text: str) -> None:
    with suppress(OSError):  # the group is gone, or its root may not be limited
        file.write_text(text, encoding="ascii")

"""A cage is a few files of the kernel's; where there are none it holds nothing, harms nothing."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from runtime.workers import cage
from runtime.workers.cage import Cage

HYBRID = """\
22 1 8:1 / / rw - ext4 /dev/vda rw
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""
UNIFIED = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


@pytest.mark.parametrize(
    ("mounts", "places"),
    [(HYBRID, {"pids": "/sys/fs/cgroup/pids", "unified": "/sys/fs/cgroup/unified"}),
     (UNIFIED, {"unified": "/sys/fs/cgroup"}), ("", {})],
)  # fmt: skip
def test_the_hierarchies_that_hold_or_kill_are_found(mounts: str, places: dict[str, str]) -> None:
    assert cage._places(mounts) == {name: Path(path) for name, path in places.items()}


def test_a_cage_has_room_for_threads_and_none_once_it_is_killed(tmp_path: Path) -> None:
    pids, unified = tmp_path / "pids", tmp_path / "unified"
    for folder, files in ((pids, ("pids.max",)), (unified, ("cgroup.kill",))):
        folder.mkdir()
        for name in (*files, "cgroup.procs"):
            (folder / name).touch()
    made = Cage([pids, unified])
    assert made.holds
    made.enter()
    assert {(f / "cgroup.procs").read_text() for f in (pids, unified)} == {"0"}
    made.allow(40)
    assert int((pids / "pids.max").read_text()) == cage.tasks(40) > 40 * cage.THREADS
    made.kill()
    assert (pids / "pids.max").read_text() == "0"
    assert (unified / "cgroup.kill").read_text() == "1"


def test_without_a_cage_nothing_is_held_and_nothing_fails(tmp_path: Path) -> None:
    made = Cage([])
    assert not made.holds
    for act in (made.enter, made.kill, made.remove):
        act()
    made.allow(1)
    gone = Cage([tmp_path / "gone"])
    for act in (gone.enter, gone.kill, gone.remove):
        act()


def test_a_user_without_a_cage_may_have_many_processes_and_not_all_of_them() -> None:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            cage.limit_user()
            soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
            os.write(theirs, str(soft).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as told:
        soft = int(told.read())
    os.waitpid(child, 0)
    assert cage.MORE < soft < cage.MORE + 100_000

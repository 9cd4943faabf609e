"""The template, which forks workers and ends them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

from runtime.workers.cage import Cage
from runtime.workers.loop import Setting
from runtime.workers.template import Template


class Watched(Cage):
    """A cage that notes how its worker had ended when it was shut."""

    def __init__(self, pid: int) -> None:
        super().__init__([])
        self.pid, self.ended_by = pid, 0

    def kill(self) -> None:
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        self.ended_by = found.si_status if found else 0


def test_a_worker_is_dead_before_its_cage_is_shut_so_that_it_has_nothing_to_tell_of_it() -> None:
    ours, theirs = socket.socketpair()
    template = Template(theirs, Setting(""))
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"])
    cage = Watched(child.pid)
    template._cages[child.pid] = cage
    template._end(child.pid)
    assert (cage.ended_by, child.wait()) == (signal.SIGKILL, -signal.SIGKILL)
    template.close()
    ours.close()

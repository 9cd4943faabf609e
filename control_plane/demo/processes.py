"""The demo's processes: the records service and the server, started and surely ended.

Each gets a session of its own, so that a Ctrl-C reaches the driver alone and the driver
ends them in order: asked first, then made to. Should the driver itself be killed, the
kernel asks them (on Linux).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from control_plane.demo.interrupts import held
from runtime.kernel import die_with_parent

_T = TypeVar("_T")
GRACE_S: Final = 15.0


class DidNotStart(Exception):
    """A process ended, or said nothing, where it should have come up."""


@dataclass(slots=True)
class Processes:
    """What was started, in order. Leaving the context ends it, unless it is to be kept."""

    logs: Path
    keep: bool = False
    started: list[tuple[str, subprocess.Popen[bytes]]] = field(default_factory=list)

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or not self.keep:
            self.end()

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a Python process; what it prints goes to ``<name>.out`` and ``<name>.log``."""
        self.logs.mkdir(parents=True, exist_ok=True)
        log_file = self.logs / f"{name}.log"
        with held(), self.out(name).open("wb") as out, log_file.open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 (our own commands)
                [sys.executable, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                env={**os.environ, **(environment or {})}, start_new_session=True,
                preexec_fn=None if self.keep else partial(die_with_parent, signal.SIGTERM),
            )  # fmt: skip
            self.started.append((name, process))
        return process

    def out(self, name: str) -> Path:
        """Where a process's standard output goes."""
        return self.logs / f"{name}.out"

    def until(self, name: str, look: Callable[[], _T | None], seconds: float) -> _T:
        """Look until there is something to see of a process that was started; return it.

        Raises:
            DidNotStart: the process ended first, or the time is up; with what it said.
        """
        process = dict(self.started)[name]
        deadline = time.monotonic() + seconds
        while (found := look()) is None:
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                what = f"ended with {process.returncode}" if ended else "took too long"
                said = (self.logs / f"{name}.log").read_text("utf-8", "replace")
                raise DidNotStart(f"the {name} process {what}:\n{said[-2000:]}")
            time.sleep(0.05)
        return found

    def end(self) -> None:
        """Ask every process to end, the last one first; make those end that do not."""
        while self.started:
            _, process = self.started.pop()
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                _kill_session(process.pid)
                process.wait()

    def pids(self) -> dict[str, int]:
        """Name → process id of what is running."""
        return {name: process.pid for name, process in self.started}


def _kill_session(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return

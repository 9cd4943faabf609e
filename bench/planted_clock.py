"""Hours of the day for a whole server: it runs under `faketime`, so many seconds away from now.

The server, its recorder and its workers see another wall clock; how fast time passes is not
touched, nor is the monotonic clock. By stopping the server and starting it again at another
hour on the same data folder, days go by in minutes. All that is recorded is real work; its
hours alone are told. What the command line does beside it sees the same clock.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from control_plane.demo.stage import Stage, restart_server

LIBRARY: Final = "libfaketimeMT.so.1"
FOLDERS: Final = ("/usr/lib", "/usr/local/lib", "/opt/homebrew/lib")
DAY_S: Final = 86_400.0
NAMES: Final = ("LD_PRELOAD", "FAKETIME", "DONT_FAKE_MONOTONIC")


def library() -> Path | None:
    """Return faketime's library, where it is installed."""
    found = (one for folder in FOLDERS for one in Path(folder).glob(f"*/faketime/{LIBRARY}"))
    return next(found, None)


@contextmanager
def hour(days_ago: int, at: float) -> Iterator[None]:
    """Processes that begin in here see ``at`` o'clock (UTC) of a day that long ago."""
    told = library()
    if told is None:
        raise RuntimeError("faketime is not installed: apt-get install faketime")
    now = time.time()
    then = now - now % DAY_S - DAY_S * days_ago + 3600.0 * at
    before = {name: os.environ.get(name) for name in NAMES}
    values = (str(told), f"{then - now:+.0f}", "1")
    os.environ.update(zip(NAMES, values, strict=True))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def again(stage: Stage) -> None:
    """End the server in peace and start it on the same folder, by the clock of now."""
    name, process = next(one for one in stage.processes.started if one[0] == "server")
    process.terminate()
    process.wait(60.0)
    stage.processes.started.remove((name, process))
    restart_server(stage)


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Keep so many processes busy beside the work, as a busy day does."""
    spin: Sequence[str] = (sys.executable, "-c", "while True: pass")
    busy = [subprocess.Popen(spin) for _ in range(processes)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()

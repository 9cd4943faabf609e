"""An attempt that is ended may first cancel what runs elsewhere for it, and has not for ever."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from patience import until
from runtime import kernel
from runtime.conformance import Bench
from runtime.data.folder import DataFolder
from runtime.tools.elsewhere import cancelling
from runtime.workers.local import LocalPool
from runtime.workers.protocol import Report

PATIENCE_S = 240.0
CODE = """
import signal, time
from pathlib import Path
from runtime.tools.elsewhere import cancelling

def works(began, told, deaf=False):
    def cancel():
        Path(told).write_text("cancelled there")
        if deaf:
            time.sleep(600)

    with cancelling(cancel):
        Path(began).write_text("")
        time.sleep(600)

def deaf(began):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(began).write_text("")
    time.sleep(600)

def ends(began, told):
    with cancelling(lambda: Path(told).write_text("cancelled there")):
        pass
    Path(began).write_text("")
    time.sleep(600)
"""


def ended(root: Path, call: str, **args: Any) -> Report:
    """The report of an attempt that is cancelled once it has begun."""

    async def story() -> Report:
        bench = Bench(root / "bench")
        (bench.bundle / "work.py").write_text(CODE)
        reports: asyncio.Queue[Report] = asyncio.Queue()
        pool = LocalPool(1, DataFolder(root))
        loop = asyncio.get_running_loop()
        pool.start(loop, lambda worker, report: reports.put_nowait(report))
        given = {"began": str(root / "began"), **args}
        tool = {"kind": "python", "call": f"work:{call}"}
        pool.send(bench.call(tool, args=given).task)
        pool.flush()
        await asyncio.to_thread(until, (root / "began").exists)
        pool.kill(1, "cancelled")
        report = await asyncio.wait_for(reports.get(), PATIENCE_S)
        await pool.stop(0)
        return report

    return asyncio.run(story())


@pytest.mark.parametrize("deaf", [False, True])
def test_what_runs_elsewhere_is_cancelled_first(tmp_path: Path, deaf: bool) -> None:
    told = tmp_path / "told"
    report = ended(tmp_path, "works", told=str(told), deaf=deaf)
    assert report.outcome == "cancelled"
    assert told.read_text() == "cancelled there"


def test_who_does_not_hear_is_killed(tmp_path: Path) -> None:
    began = time.monotonic()
    assert ended(tmp_path, "deaf").outcome == "cancelled"
    assert time.monotonic() - began >= kernel.GRACE_S


def test_what_is_over_is_not_cancelled(tmp_path: Path) -> None:
    told = tmp_path / "told"
    assert ended(tmp_path, "ends", told=str(told)).outcome == "cancelled"
    assert not told.exists()


def test_the_process_is_left_as_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), cancelling(lambda: None):
        _ = 1 / 0
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.set_wakeup_fd(-1) == -1

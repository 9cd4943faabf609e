"""The demo from outside: it plays to a report, and a Ctrl-C leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PROMPT = 60.0


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the demo as a shell does, in a process group of its own."""
    started: list[subprocess.Popen[bytes]] = []

    def demo(*flags: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "control_plane.demo", "--data", str(tmp_path / "data")]
        command += ["--report", str(tmp_path / "report.json"), *flags]
        with (tmp_path / "said").open("wb") as said:
            started.append(
                subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
            )
        return started[-1]

    yield demo
    for process in started:
        process.kill()
        process.wait(PROMPT)


def mentioning(folder: Path) -> list[str]:
    """Every process whose command line or working folder leads into ours."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(folder) in command and int(process.name) != os.getpid():
            found.append(command)
    return found


def wait_for(look: Callable[[], object], seconds: float = PROMPT) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def said(folder: Path) -> str:
    return (folder / "said").read_text("utf-8", "replace")


MOMENTS = {
    "while the server starts": "data folder",
    "while a run is on": "registered healthcare/patient_cohort",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupt_leaves_no_process_behind(tmp_path: Path, start: Start, moment: str) -> None:
    process = start()
    wait_for(lambda: MOMENTS[moment] in said(tmp_path) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(PROMPT) == 130, said(tmp_path)
    wait_for(lambda: not mentioning(tmp_path))


def test_a_killed_demo_takes_its_processes_with_it(tmp_path: Path, start: Start) -> None:
    process = start()
    wait_for(lambda: MOMENTS["while a run is on"] in said(tmp_path))
    process.kill()
    process.wait(PROMPT)
    wait_for(lambda: not mentioning(tmp_path))


def test_a_wrong_manner_of_the_service_is_named(tmp_path: Path, start: Start) -> None:
    process = start("--service", "basis=1ms")
    assert process.wait(PROMPT) == 1
    assert "basis" in said(tmp_path)


def test_its_early_stage_ends_with_runs_and_a_proposal(tmp_path: Path, start: Start) -> None:
    quick = "base=5ms per_id=0.01ms"
    process = start("--stage", "3", "--service", quick)
    assert process.wait(120) == 0, said(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert [run["patients"] for run in report["runs"]] == [10_000] * 5
    assert len({run["features_sha256"] for run in report["runs"]}) == 1
    assert report["service_params"] == quick
    assert report["service"]["ids_served"] == 50_000
    assert report["rows"]["journal_events"] == report["rows"]["clickhouse_events"] > 0
    assert report["cycles"] == 1
    assert report["after"] is None

"""The demo from outside: it plays to a report, and a Ctrl-C leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from patience import until

PROMPT = 240.0


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


def said(folder: Path) -> str:
    return (folder / "said").read_text("utf-8", "replace")


MOMENTS = {
    "while the server starts": "data folder",
    "while a run is on": "registered healthcare/patient_cohort",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupt_leaves_no_process_behind(tmp_path: Path, start: Start, moment: str) -> None:
    process = start()
    until(lambda: MOMENTS[moment] in said(tmp_path) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(PROMPT) == 130, said(tmp_path)
    until(lambda: not mentioning(tmp_path))


SWALLOWS = """
import os, signal
from control_plane.demo.interrupts import listen
listen()
os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.SIGINT))
try:
    if (child := os.fork()) == 0:
        os._exit(0)
    os.waitpid(child, 0)
    signal.pause()
except KeyboardInterrupt:
    print("heard")
"""

STARTS = """
import os, signal, sys
from pathlib import Path
from control_plane.demo.interrupts import listen
from control_plane.demo.processes import Processes
listen()
for when in ("before", "after_in_parent", "after_in_child"):
    os.register_at_fork(**{when: lambda: signal.raise_signal(signal.SIGINT)})
processes = Processes(Path(sys.argv[1]))
try:
    processes.start("sleeper", ["-c", "import signal; signal.pause()"])
except KeyboardInterrupt:
    print("heard", *processes.pids())
processes.end()
"""


NESTS = """
import signal
from control_plane.demo.interrupts import held, listen
listen()
try:
    with held():
        with held():
            pass
        signal.raise_signal(signal.SIGINT)
        print("held", end=" ")
except KeyboardInterrupt:
    print("heard")
"""


@pytest.mark.parametrize(
    ("program", "heard"),
    [(SWALLOWS, "heard\n"), (STARTS, "heard sleeper\n"), (NESTS, "held heard\n")],
)
def test_an_interrupt_in_the_middle_of_a_fork_or_while_held_is_heard(
    tmp_path: Path, program: str, heard: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True, text=True, timeout=PROMPT,
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == (heard, "", 0)


def test_a_killed_demo_takes_its_processes_with_it(tmp_path: Path, start: Start) -> None:
    process = start()
    until(lambda: MOMENTS["while a run is on"] in said(tmp_path))
    process.kill()
    process.wait(PROMPT)
    until(lambda: not mentioning(tmp_path))


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

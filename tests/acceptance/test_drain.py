"""A process that is told to end begins nothing more, and nobody is blamed for what it cuts off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from patience import until
from runtime.data.folder import DataFolder, read_json
from runtime.journal.sqlite import SqliteReader
from runtime.run.events import AttemptFinished
from trimtab import Client

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0
BOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/two}
workload: {there: {type: string}}
workflow:
  - step: first
    tool:
      kind: python
      code: |
        import time
        from pathlib import Path
        there = Path(workload["there"])
        (there / "begun").open("a").write("x")
        while not (there / "go").exists():
            time.sleep(0.01)
        result = 1
    next: second
  - step: second
    tool: {kind: python, code: "result = 2"}
"""


@pytest.fixture
def data(tmp_path: Path) -> DataFolder:
    (tmp_path / "two.yaml").write_text(BOOK)
    return DataFolder(tmp_path / "data")


@contextmanager
def trimtab(data: DataFolder, *words: str, grace_s: float) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "control_plane.cli.main", "--data", str(data.root), *words]
    environ = {
        **os.environ,
        "TRIMTAB_SERVER_GRACE_S": str(grace_s),
        "TRIMTAB_RECORD_ENABLED": "off",
    }
    process = subprocess.Popen(
        command, cwd=ROOT, env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def serving(data: DataFolder, grace_s: float) -> Iterator[subprocess.Popen[str]]:
    with trimtab(data, "serve", "--port", "0", "--slots", "2", grace_s=grace_s) as process:
        until(lambda: read_json(data.server_json), "the server says where it is")
        yield process


def begun(data: DataFolder) -> str:
    """Submit the run, and wait until its first step runs."""
    there = data.root.parent
    with Client(data=data.root) as client:
        client.register(there / "two.yaml")
        run = str(client.submit("tests/two", {"there": str(there)})["run"])
    until((there / "begun").exists, "the first step runs")
    return run


def finished(data: DataFolder, run: str) -> list[tuple[str, str, int]]:
    reader = SqliteReader.open(data.journal)
    try:
        events = [r.event for r in reader.read(f"run/{run}")]
    finally:
        reader.close()
    return [(e.step, e.outcome, e.number) for e in events if isinstance(e, AttemptFinished)]


def ends_at_the_next_start(data: DataFolder, run: str) -> None:
    with serving(data, 1.0) as process, Client(data=data.root) as client:
        assert client.wait(run, PATIENCE_S)["state"] == "completed"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)


def test_what_runs_is_let_end_and_nothing_more_is_begun(data: DataFolder) -> None:
    with serving(data, PATIENCE_S) as process:
        run = begun(data)
        process.send_signal(signal.SIGTERM)
        until(lambda: read_json(data.server_json) is None, "the server takes nothing more")
        assert process.poll() is None
        (data.root.parent / "go").touch()
        _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, told
    assert "Traceback" not in told
    assert finished(data, run) == [("first", "succeeded", 1)]
    ends_at_the_next_start(data, run)
    assert [step for step, outcome, _ in finished(data, run) if outcome == "succeeded"] == [
        "first", "second",
    ]  # fmt: skip


def test_what_is_longer_than_the_grace_is_cut_off_and_goes_on_unblamed(data: DataFolder) -> None:
    with serving(data, 0.1) as process:
        run = begun(data)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, told
    (data.root.parent / "go").touch()
    ends_at_the_next_start(data, run)
    assert finished(data, run)[:2] == [("first", "lost", 1), ("first", "succeeded", 2)]


def test_a_second_signal_ends_it_at_once(data: DataFolder) -> None:
    with serving(data, 600.0) as process:
        run = begun(data)
        process.send_signal(signal.SIGTERM)
        until(lambda: read_json(data.server_json) is None, "the server drains")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGTERM
    (data.root.parent / "go").touch()
    ends_at_the_next_start(data, run)


def test_a_run_without_a_server_is_left_to_the_next_start(data: DataFolder) -> None:
    there = data.root.parent
    words = ["run", str(there / "two.yaml"), "--set", f"there={there}"]
    with trimtab(data, *words, grace_s=0.1) as process:
        until((there / "begun").exists, "the first step runs")
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + signal.SIGTERM, told
    assert "it goes on at the next" in told
    assert "Traceback" not in told
    (there / "go").touch()
    reader = SqliteReader.open(data.journal)
    (row,) = reader.runs(state="live")
    reader.close()
    ends_at_the_next_start(data, row.run)

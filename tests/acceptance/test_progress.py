"""What a tool says of its progress is seen wherever the run is looked at, while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from patience import until
from runtime.data.folder import DataFolder, read_json
from trimtab import Client

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240.0
BOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/slow}
workload: {there: {type: string}}
secrets: [word]
workflow:
  - step: split
    next: [score, pack]
  - step: score
    with: {word: {secret: word}}
    tool:
      kind: python
      code: |
        import time
        from pathlib import Path
        from trimtab import progress
        for n in range(1000):
            progress(n, 20, "busy")
        progress(7, 20, f"scoring {word}")
        while not Path(workload["there"], "go").exists():
            time.sleep(0.01)
        result = 1
  - step: pack
    with: {there: "{{ workload.there }}"}
    tool:
      kind: shell
      run: |
        echo "3/10 boxes" > "$TRIMTAB_PROGRESS"
        while ! test -e "$there/go"; do sleep 0.02; done
"""

ALONE = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: tests/alone}
workload: {there: {type: string}}
workflow:
  - step: score
    tool:
      kind: python
      code: |
        import time
        from pathlib import Path
        from trimtab import progress
        progress(7, 20, "scoring")
        while not Path(workload["there"], "go").exists():
            time.sleep(0.01)
        result = 1
"""


@pytest.fixture
def data(tmp_path: Path) -> DataFolder:
    (tmp_path / "slow.yaml").write_text(BOOK)
    (tmp_path / "alone.yaml").write_text(ALONE)
    return DataFolder(tmp_path / "data")


def command(data: DataFolder, *words: str) -> list[str]:
    return [sys.executable, "-m", "control_plane.cli.main", "--data", str(data.root), *words]


@pytest.fixture
def server(data: DataFolder) -> Iterator[Client]:
    environ = {**os.environ, "TRIMTAB_RECORD_ENABLED": "off", "TRIMTAB_SECRET_WORD": "sesame"}
    process = subprocess.Popen(
        command(data, "serve", "--port", "0", "--slots", "2"), cwd=ROOT, env=environ
    )
    try:
        until(lambda: read_json(data.server_json), "the server says where it is")
        with Client(data=data.root) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def test_progress_is_seen_while_it_runs_and_gone_when_it_has(
    data: DataFolder, server: Client
) -> None:
    there = data.root.parent
    server.register(there / "slow.yaml")
    run = server.submit("tests/slow", {"there": str(there)})["run"]

    def told() -> dict[str, tuple[float, float, str]]:
        found = server.run(run)["progress"]
        return {one["step"]: (one["done"], one["total"], one["note"]) for one in found}

    wanted = {"score": (7.0, 20.0, "scoring •••"), "pack": (3.0, 10.0, "boxes")}
    until(lambda: told() == wanted, f"{wanted}")
    shown = subprocess.run(
        command(data, "run", "show", run), cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "score: 7 of 20, scoring •••" in shown
    assert "pack: 3 of 10, boxes" in shown
    page = server._http.get(f"/runs/{run}").text
    assert "Under way" in page
    assert "scoring •••" in page
    heard: list[str] = []

    def hear(said: dict[str, Any]) -> None:
        heard.append(said["step"])
        if {"score", "pack"} <= set(heard):
            (there / "go").touch()

    events = list(server.watch(run, said=hear))
    assert events[-1]["type"] == "run.completed"
    assert "progress" not in {event["type"] for event in events}
    assert told() == {}


def test_a_run_without_a_server_says_how_far_it_is(data: DataFolder) -> None:
    there = data.root.parent
    words = command(data, "run", str(there / "alone.yaml"), "--set", f"there={there}")
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        said = []
        for line in run.stderr:
            said.append(line)
            if line == "score: 7 of 20, scoring\n":
                (there / "go").touch()
        assert run.wait(PATIENCE_S) == 0, said

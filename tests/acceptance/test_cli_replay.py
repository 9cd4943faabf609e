"""Replaying, looking into and forking runs, from the command line as a person does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/squares}
workload:
  count: {type: integer, default: 6}
workflow:
  - step: make
    tool: {kind: python, call: "squares:make"}
    with: {count: "{{ workload.count }}"}
    next: square
  - step: square
    each: {in: "{{ make }}", batch: 2, in_flight: 2}
    tool: {kind: python, call: "squares:square"}
    next: total
  - step: total
    tool: {kind: python, call: "squares:total"}
    with: {parts: "{{ square.results }}"}
"""
CODE = """
def make(count):
    return list(range(count))

def square(items):
    return [n * n for n in items]

def total(parts):
    return sum(n for part in parts for n in part)
"""


def trimtab(folder: Path, *words: str, code: int = 0) -> Any:
    command = [sys.executable, "-m", "control_plane.cli.main", "--data", str(folder / "data")]
    environ = dict(os.environ, PYTHONPATH=os.getcwd())
    done = subprocess.run(
        [*command, *words, "-o", "json"], capture_output=True, text=True, cwd=folder,
        env=environ, timeout=120,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "squares.yaml").write_text(BOOK)
    (tmp_path / "squares.py").write_text(CODE)
    return tmp_path


def test_a_run_is_replayed_looked_into_and_forked(folder: Path) -> None:
    run = trimtab(folder, "run", "squares.yaml")["run"]
    again = trimtab(folder, "run", "replay", run)
    assert again["equal"] is True
    assert again["trace"] == again["recorded"]

    early = trimtab(folder, "run", "at", run, "--seq", "3")
    assert early["state"] == "running"
    assert early["steps"]["make"]["status"] == "active"
    late = trimtab(folder, "run", "at", run, "--seq", str(again["events"]))
    assert late["steps"]["total"]["value"] == 55
    trimtab(folder, "run", "at", run, "--seq", str(again["events"] + 1), code=3)

    fork = trimtab(folder, "run", "fork", run, "--at", "2", "--set", "count=4")
    rows = trimtab(folder, "run", "list")
    assert {fork["run"], run} == {row["run"] for row in rows}
    trimtab(folder, "run", "fork", run, "--at", str(again["events"]), code=5)

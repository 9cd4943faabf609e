"""What statements read, on a record of 100,000 attempts made as the benchmark makes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime.record.statements import load

ROOT = Path(__file__).parents[2]
ATTEMPTS = 100_000


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The benchmark's report."""
    folder = tmp_path_factory.mktemp("queries")
    done = subprocess.run(
        [sys.executable, "-m", "bench.record_queries", "--attempts", str(ATTEMPTS),
         "--folder", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_every_statement_is_measured(said: dict[str, Any]) -> None:
    assert set(said["statements"]) == set(load())
    assert all(told["bytes_read"] and told["explain"] for told in said["statements"].values())


def test_trends_summaries_and_causes_read_no_attempt(said: dict[str, Any]) -> None:
    sums = said["tables"]["step_hour"]["rows"] + said["tables"]["cause_hour"]["rows"]
    assert sums < ATTEMPTS
    for name in ("trend_steps", "steps_summary", "step_configs", "failures_by_cause"):
        assert said["statements"][name]["rows_read"] <= sums, name


def test_what_was_printed_is_looked_for_where_nothing_else_is(said: dict[str, Any]) -> None:
    told = said["statements"]["printed"]
    assert told["rows_read"] <= said["tables"]["output"]["rows"] == ATTEMPTS // 20


def test_what_is_asked_by_its_key_is_found_by_it(said: dict[str, Any]) -> None:
    granule = 8_192
    by = {"evidence_attempts": "step", "run_transitions": "stream", "evidence_runs": "playbook"}
    for name, keys in by.items():
        told = said["statements"][name]
        assert keys in "\n".join(told["explain"]).partition("PrimaryKey")[2], name
        assert told["rows_read"] <= 3 * granule, name

"""The gate's rows of a backtest: what is counted, and that finished jobs are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from optimizer.backtest.command import run
from optimizer.backtest.passive import Passed
from optimizer.backtest.passive_rows import summary

LINE = Passed(
    runs=1, available=0.5, proposed=True, asked=False, stated=True, chance=0.9, low=0.2, high=0.6,
    ratio=float(np.log(0.6)), failed=False, kept=True, after=float(np.log(0.5)),
    after_failed=False, arms=1, ms=1.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four programs that all like the same clusters."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "workload": f"{family}-1", "family": family, "config": f"{nodes}x{vcpu}",
            "vcpu": vcpu, "mem_gib": 4.0 * vcpu, "nodes": nodes, "completed": True,
            "time_s": (time_s := 90 * np.exp(rng.normal(0, 0.02)) / (vcpu * nodes) ** 0.7),
            "cost_usd": time_s * nodes * vcpu / 100,
        }
        for family in "abcd" for nodes in (2, 4, 8) for vcpu in (2, 4, 8)
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("data")
    (folder / "scout_multi").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "scout_multi" / "evals.parquet")
    return folder


def gates(
    data: Path, kept: Path, progress: Any = lambda done, total: None
) -> list[dict[str, Any]]:
    methods = ["gate", "gate_mixture", "gate_mean_rank"]
    return run(
        data, ["scout_multi"], methods, seeds=3, quick=False, kept=kept, workers=1,
        progress=progress,
    )  # fmt: skip


def test_there_is_a_row_for_each_gate_and_finished_jobs_are_kept(
    data: Path, tmp_path: Path
) -> None:
    rows = gates(data, tmp_path / "kept.jsonl")
    assert {(r["kind"], r["method"]) for r in rows} == {
        ("gate", "gate"), ("gate", "gate_mixture"), ("gate", "gate_mean_rank"),
    }  # fmt: skip
    ours = next(r for r in rows if r["method"] == "gate" and r["objective"] == "time_s")
    assert ours["harm"] in (None, 0.0)
    assert ours["after_harm"] == 0.0
    told: list[tuple[int, int]] = []
    again = gates(data, tmp_path / "kept.jsonl", lambda done, total: told.append((done, total)))
    assert told[-1] == (24, 24)
    assert {done for done, _ in told} == {0, 24}  # found at once: none was done again
    assert again == rows


def test_harm_is_what_is_truly_more_than_five_percent_worse() -> None:
    worse = replace(LINE, ratio=float(np.log(1.06)), after=float(np.log(1.06)))
    nearly = replace(LINE, ratio=float(np.log(1.04)))
    told = summary([LINE, worse, nearly, replace(LINE, proposed=False)])
    assert told["harm"] == pytest.approx(100 / 3)
    assert told["proposals"] == 3
    assert told["after_harm"] == 25.0
    assert told["catastrophes"] == 0


def test_a_failure_and_a_doubling_are_catastrophes() -> None:
    told = summary([replace(LINE, failed=True), replace(LINE, ratio=0.8), LINE])
    assert told["catastrophes"] == 2


def test_coverage_counts_steps_with_something_to_be_had() -> None:
    little = replace(LINE, available=0.05, proposed=False)
    told = summary([LINE, little, replace(LINE, proposed=False, asked=True)])
    assert (told["coverage"], told["asked"]) == (50.0, 50.0)


def test_stated_chances_are_compared_with_what_came_true() -> None:
    came = [replace(LINE, ratio=-0.5)] * 8 + [replace(LINE, ratio=0.0)] * 2
    assert summary(came)["ece"] == pytest.approx(0.1)
    assert summary([replace(one, stated=False) for one in came])["ece"] is None


def test_capture_is_a_share_of_what_the_best_would_save() -> None:
    assert summary([LINE])["capture"] == pytest.approx(80.0)
    assert summary([LINE])["after_capture"] == pytest.approx(100.0)
    assert summary([LINE])["interval"] == 100.0

"""The page of the optimizer's results: targets, tables and pictures from figures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.optimizer import main, verdicts
from bench.optimizer_page import never_worse, search, targets
from bench.optimizer_plots import regret, whole, within
from bench.optimizer_targets import TARGETS, Target, met, searches
from optimizer.backtest import parts, passive_rows, sizing
from optimizer.backtest.curves import Curve
from optimizer.backtest.datasets import RECIPES
from optimizer.backtest.methods import METHODS
from optimizer.backtest.passive import GATES, Passed

ROOT = Path(__file__).parents[2]


def row(method: str, regret: float, *, tasks: int = 10, **more: Any) -> dict[str, Any]:
    figures = {
        "k5": 2.0,
        "k5_p90": 5.0,
        "k1": 3.0,
        "s1": 20.0,
        "s3": 80.0,
        "s6": 95.0,
        "s12": 100.0,
    }
    return {
        "dataset": "scout_multi", "objective": "time_s", "method": method, "tasks": tasks,
        "seeds": 30, "net_regret": regret, "trials": 7.0, "failed_trials": 0.0, "ms": 2.0,
        **figures, **more,
    }  # fmt: skip


ROWS = [
    row("trimtab", 9.0),
    row("mean_rank", 16.0, ours_less=[-15.4, 1.9], not_worse=True),
    row("optuna_tpe", 3.0, tasks=4, ours_less=[2.5, 8.0], not_worse=False),
    row("trimtab", 99.0, noise=True),
]


def test_a_target_is_reached_missed_or_not_measured() -> None:
    found = {(m.target.number, m.target.dataset, m.target.metric): m for m in met(ROWS)}
    assert found["1", "scout_multi", "k5"].verdict == "reached"
    assert found["6", "scout_multi", "net_regret"].verdict == "missed"
    assert found["6", "scout_multi", "net_regret"].value == 9.0
    assert found["7", "scout_multi", "harm"].verdict == "not measured"
    assert Target("", "", "", "s3", 75, at_least=True).reached(75.0)
    assert not Target("", "", "", "s3", 75, at_least=True).reached(74.9)
    between = Target("", "", "", "interval", 86, at_least=True, most=94)
    assert [between.reached(value) for value in (85.9, 86.0, 94.0, 94.1)] == [
        False, True, True, False,
    ]  # fmt: skip
    assert between.words == "86 to 94"


def test_every_number_of_a_target_has_a_title() -> None:
    from bench.optimizer_page import TITLES

    assert {target.number for target in TARGETS} | {"13"} == set(TITLES)


def test_ours_is_named_worse_where_it_is_and_unfinished_baselines_as_such() -> None:
    text = "\n".join(never_worse({"rows": ROWS}))
    assert "optuna_tpe 3.0%, 4 of 10 tasks" in text
    assert "**worse**" in text
    assert "| mean_rank | 1 | 16.0% | 9.0% |" in text


def test_baselines_that_were_not_measured_are_named_as_not_compared() -> None:
    text = "\n".join(never_worse({"rows": ROWS}))
    assert "Not measured of sklearn_gp, and so not compared: scout_multi time_s." in text
    assert "Not measured of mean_rank" not in text


def test_a_baseline_that_had_known_when_to_stop_is_shown_too() -> None:
    ruled = {"rule": "after 1", "net_regret_rule": 4.0, "not_worse_rule": False}
    rows = [row("trimtab", 9.0), row("mean_rank", 16.0, ours_less=[-9, -5], not_worse=True,
            ours_less_rule=[3.0, 7.0], **ruled)]  # fmt: skip
    text = "\n".join(never_worse({"rows": rows}))
    assert "| 9.0% | mean_rank, after 1 4.0% | +3.0 to +7.0 points | **worse** |" in text
    assert "| mean_rank 16.0% | -9.0 to -5.0 points | never worse |" in text


def test_the_kept_verdicts_are_those_of_the_kept_rows() -> None:
    told = json.loads((ROOT / "bench/results/optimizer.json").read_text(encoding="utf-8"))
    assert told["targets"] == verdicts(told["rows"])


def test_misses_are_counted_and_shown() -> None:
    text = "\n".join(targets({"rows": ROWS}))
    assert "| 6 net regret | scout_multi time_s | net_regret | ≤ 8 | 9 | **missed** |" in text
    assert " miss it," in text
    assert "**trimtab**" in "\n".join(search({"rows": ROWS}))


def test_pictures_are_well_formed_and_leave_out_what_is_unfinished() -> None:
    assert [r["method"] for r in whole(searches(ROWS))] == ["trimtab", "mean_rank"]
    for svg in (regret(searches(ROWS)), within(searches(ROWS))):
        ElementTree.fromstring(svg)
        assert "optuna_tpe" not in svg
        assert "prefers-color-scheme: dark" in svg


def test_every_figure_and_method_that_a_row_may_have_is_explained() -> None:
    told = json.loads((ROOT / "bench/results/optimizer.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/reference/optimizer-results.md").read_text(encoding="utf-8")
    by_hand = re.sub(r"<!-- measured.*?<!-- end -->", "", page, flags=re.DOTALL)
    keys = {key for one in told["rows"] for key in one} - {"kind"}
    passed = Passed(
        1, 0.0, False, False, False, 0.0, 0.0, 0.0, 0.0, False, False, 0.0, False, 0, 1
    )
    sizes = np.array([1.0, 2.0, 4.0, 8.0])
    curve = Curve("a family", "one", sizes, 1.0 + sizes)
    played = sizing.play([curve], "spread", "linear", 1)
    keys |= {*passive_rows.summary([passed]), *sizing.summary(played), "left_out"}
    names = {one["method"] for one in told["rows"]} | {*METHODS, *GATES, *parts.METHODS}
    assert {"dataset", "oracle_all", "lost_before"} <= keys
    assert [one for one in sorted(keys | names) if f"`{one}`" not in by_hand] == []


def test_every_data_set_that_can_be_played_is_listed_with_its_source() -> None:
    page = (ROOT / "docs/reference/optimizer-results.md").read_text(encoding="utf-8")
    for name in (*RECIPES, *parts.DATASETS):
        assert re.search(rf"^\| `{name}` \|.*https://", page, re.MULTILINE), name


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        {
            "workload": f"job{w}", "family": f"family{w}", "config": f"c{c:02}",
            "vcpu": 2 ** (c % 4), "nodes": 1 + c // 4, "mem_gib": 8, "completed": True,
            "time_s": 10.0 + (c - 6) ** 2 + w, "cost_usd": 1.0 + abs(c - 5) + w,
        }
        for w in range(3)
        for c in range(12)
    ]  # fmt: skip
    (tmp_path / "scout_multi").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "scout_multi" / "evals.parquet")
    return tmp_path


def test_in_a_hurry_it_runs_everything_once_and_writes_no_page(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = str(tmp_path / "kept.jsonl")
    asked = ["--data", str(data), "--kept", kept, "--workers", "1", "--quick"]
    page = (ROOT / "docs/reference/optimizer-results.md").read_bytes()
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert {r["method"] for r in told["rows"]} == {"random", "mean_rank", "trimtab"}
    assert told["evidence"]["evidence_intact"]
    assert (ROOT / "docs/reference/optimizer-results.md").read_bytes() == page


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    assert main(["--data", str(tmp_path), "--quick"]) == 2

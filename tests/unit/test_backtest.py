"""The backtest: what it keeps, what it compares, and how it judges."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from control_plane.cli.backtest import show
from control_plane.cli.main import hoisted, main
from optimizer.backtest import kept as kept_lines
from optimizer.backtest.command import NoSuchMethod, run, sampled
from optimizer.backtest.datasets import NoData, UnknownDataset, load
from optimizer.backtest.jobs import Done, plan
from optimizer.backtest.methods import METHODS, OURS
from optimizer.backtest.noise import Noise
from optimizer.backtest.play import Played, play
from optimizer.backtest.rows import rows as rows_of
from optimizer.backtest.score import AFTER, RULES, Score, score, summary

FULL: dict[str, dict[str, Any]] = {  # the widest that has been seen
    "search": {"method": "optuna_tpe", "net_regret": 1234.5, "ms": 1234.5, "s12": 100.0},
    "gate": {
        "method": "gate_mean_rank", "coverage": 100.0, "harm": 100.0, "catastrophes": 121,
        "ece": 0.876, "interval": 100.0, "ms": 100.1, "after_kept": 100.0, "after_harm": 100.0,
        "after_catastrophes": 121, "after_capture": -100.0,
    },
    "batch": {
        "method": "flat_start", "error": 105.2, "error_p90": 1912.5, "oracle": 100.0,
        "oracle_all": 100.0, "broken": 100.0, "abstained": 100.0, "covered": 100.0, "ms": 183.2,
    },
    "retry": {"method": "own_share", "over_oracle": 105.0, "on_permanent": 11.0},
    "outage": {"method": "trimtab", "amplification": 10.3, "worst": 10.4, "lost_before": 0.022},
}  # fmt: skip
TYPES = [("m", 2, 8.0), ("m", 4, 16.0), ("c", 2, 4.0), ("c", 4, 8.0)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small world with the layout of a known data set: four programs on twelve clusters."""
    rng = np.random.default_rng(0)
    rows = []
    for family in "abcd":
        taste = rng.normal(0, 0.2, 12)
        for index in range(12):
            kind, vcpu, memory = TYPES[index % 4]
            nodes = 2 ** (1 + index // 4)
            time_s = 100.0 / (vcpu * nodes) ** 0.5 * np.exp(taste[index])
            rows.append({
                "workload": f"{family}-1", "family": family, "config": f"{nodes}x{kind}{vcpu}",
                "vcpu": vcpu, "mem_gib": memory, "nodes": nodes, "completed": index != 5,
                "time_s": time_s, "cost_usd": time_s * nodes * vcpu / 100.0,
            })  # fmt: skip
    folder = tmp_path_factory.mktemp("data")
    (folder / "scout_multi").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "scout_multi" / "evals.parquet")
    return folder


def quietly(done: int, total: int) -> None:
    """Hear of progress and say nothing."""


def backtest(data: Path, kept: Path, methods: list[str], **more: Any) -> list[dict[str, Any]]:
    asked = {"seeds": 2, "quick": False, "workers": 1, "progress": quietly, **more}
    return run(data, ["scout_multi"], methods, kept=kept, **asked)


def test_there_is_a_row_for_each_objective_and_method(data: Path, tmp_path: Path) -> None:
    rows = backtest(data, tmp_path / "kept.jsonl", ["trimtab", "random", "mean_rank"])
    pairs = {(row["objective"], row["method"]) for row in rows}
    assert pairs == {
        (objective, method)
        for objective in ("cost_usd", "time_s")
        for method in ("trimtab", "random", "mean_rank")
    }
    assert all(row["tasks"] == 4 and 1 <= row["k5"] <= 25 for row in rows)


def test_a_quick_backtest_plays_a_sample_and_says_what_it_left_out(
    data: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.jsonl"
    rows = backtest(data, kept, ["mean_rank"], quick=True)
    assert [(row["tasks"], row["left_out"]) for row in rows] == [(2, 2), (2, 2)]
    whole = backtest(data, kept, ["mean_rank"])
    assert all(row["tasks"] == 4 and "left_out" not in row for row in whole)
    assert len(kept.read_text().splitlines()) == 8  # of the same history: none is done again
    assert "methods left out: trimtab, random, als" in sampled(rows)


def test_what_was_found_is_shown_by_data_set_and_objective_in_little_width(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(backtest(data, tmp_path / "kept.jsonl", ["mean_rank", "random", "gate"], quick=True))
    text = capsys.readouterr().out
    searches, rest = text.split("From history alone\n")
    gates, trials = rest.split("After trials\n")
    titles = ["scout_multi, cost_usd, 2 tasks left out", "scout_multi, time_s, 2 tasks left out"]
    for part, methods in (
        (searches, ["mean_rank", "random"]), (gates, ["gate"]), (trials, ["gate"]),
    ):  # fmt: skip
        lines = part.splitlines()
        assert [line for line in lines if line.startswith("scout_multi")] == titles
        assert [line.split()[0] for line in lines if line.startswith((*METHODS, "gate"))] == (
            methods * 2
        )
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("kind", ["search", "gate", "batch", "retry", "outage"])
def test_no_table_of_a_backtest_is_wider_than_a_terminal(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show([{"kind": kind, "dataset": "d", "objective": "o", "tasks": 362, **FULL[kind]}])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_what_is_finished_is_kept_and_not_done_again(data: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    first = backtest(data, kept, ["random"])
    lines = kept.read_text().splitlines()
    kept.write_text("\n".join(lines[:3]) + "\n" + lines[3][:40])  # a crash in mid-word
    told: list[tuple[int, int]] = []
    again = backtest(data, kept, ["random"], progress=lambda d, n: told.append((d, n)))
    assert told[0] == (3, 8)
    assert [{**row, "ms": 0} for row in again] == [{**row, "ms": 0} for row in first]


def test_a_kept_result_is_not_taken_for_other_seeds(data: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    backtest(data, kept, ["random"])
    told: list[tuple[int, int]] = []
    backtest(data, kept, ["random"], seeds=3, progress=lambda d, n: told.append((d, n)))
    assert told[0] == (0, 8)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_tries_each_setting_once(data: Path, method: str) -> None:
    tables = load(data, "scout_multi")["time_s"]
    table = tables[0]
    search = METHODS[method].play(table, table.history(tables), np.random.default_rng(0))
    trials = [next(search)]
    for _ in range(len(table.space) - 1):
        trials.append(search.send(float(table.log_outcome[trials[-1]])))
    with pytest.raises(StopIteration):
        search.send(float(table.log_outcome[trials[-1]]))
    assert sorted(trials) == list(range(len(table.space)))


def test_a_method_learns_from_other_families_alone(data: Path) -> None:
    tables = load(data, "scout_multi")["time_s"]
    assert tables[0].family not in tables[0].history(tables).families


def test_a_failed_setting_counts_as_twice_the_worst(data: Path) -> None:
    table = load(data, "scout_multi")["time_s"][0]
    assert table.failed.sum() == 1
    assert table.outcome[table.failed][0] == 2 * table.outcome[~table.failed].max()


def test_regret_is_what_fifty_runs_cost_above_the_best(data: Path) -> None:
    table = load(data, "scout_multi")["time_s"][0]
    best, worst = int(np.argmin(table.gap)), int(np.argmax(np.where(table.failed, 0, table.gap)))
    judged = score(table, Played((worst, best), stopped=2, seconds=0.01))
    assert judged.net_regret == pytest.approx(float(table.gap[worst]) / 50)
    stuck = score(table, Played((worst, best), stopped=1, seconds=0.01))
    assert stuck.net_regret == pytest.approx(float(table.gap[worst]))
    assert (judged.k5, judged.k1, judged.ms_per_proposal) == (2, 2, pytest.approx(5.0))
    assert summary([judged])["s3"] == 100.0


def test_what_was_expected_of_a_trial_stands_beside_what_came(data: Path) -> None:
    table = load(data, "scout_multi")["time_s"][0]
    best, worst = int(np.argmin(table.gap)), int(np.argmax(np.where(table.failed, 0, table.gap)))
    ratio = 1.0 + float(table.gap[worst])
    said = Played((worst, best), 2, 0.01, saves=(None, 0.25), prices=(None, 1.5))
    told = summary([score(table, said)])
    assert (told["saves"], told["price"]) == (25.0, 1.5)
    assert (told["saved"], told["paid"]) == pytest.approx((100.0 - 100.0 / ratio, 1.0 / ratio))
    dearer = Played((best, worst), 2, 0.01, saves=(None, 0.25), prices=(None, 1.5))
    told = summary([score(table, dearer)])
    assert (told["saved"], told["paid"]) == pytest.approx((0.0, min(ratio, 11.0)))
    assert "saves" not in summary([score(table, Played((worst, best), 2, 0.01))])


def test_what_ours_expects_of_each_trial_is_kept(data: Path, tmp_path: Path) -> None:
    tables = load(data, "scout_multi")["time_s"]
    played = play(OURS, tables[0], tables[0].known(tables), 0)
    assert len(played.saves) == len(played.prices) == len(played.trials)
    assert played.saves[0] is None
    assert all(value is not None for value in played.saves[2:])
    (tmp_path / "kept.jsonl").write_text(
        kept_lines.written("a key", {}, [played]), encoding="utf-8"
    )
    (again,) = kept_lines.read(tmp_path / "kept.jsonl")["a key"]
    assert again.trials == played.trials
    assert again.saves == tuple(v if v is None else round(v, 9) for v in played.saves)


def test_a_change_of_ours_leaves_what_the_others_did(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept.jsonl"
    backtest(data, kept, [OURS, "mean_rank"])
    monkeypatch.setattr(kept_lines, "_search", lambda: "another search")
    told: list[tuple[int, int]] = []
    backtest(data, kept, [OURS, "mean_rank"], progress=lambda d, n: told.append((d, n)))
    assert told[0] == (8, 16)


def test_with_noise_every_seed_is_another_search_and_truth_is_what_counts(data: Path) -> None:
    tables = load(data, "scout_multi")["time_s"]
    noise = Noise((np.asarray([-0.4, 0.4]),), (np.asarray([-0.1, 0.1]),))
    table, past = tables[0], tables[0].history(tables)
    one, same, other = (play(OURS, table, past, seed, noise) for seed in (0, 0, 1))
    assert (one.trials, one.told) == (same.trials, same.told)
    assert one.told != other.told
    truth = table.log_outcome[list(one.trials)]
    assert {round(abs(float(gap)), 6) for gap in one.told - truth} == {0.1, 0.4}
    fooled = Played((1, 0), stopped=2, seconds=0.0, told=(0.0, 1.0))
    assert score(table, fooled).gaps[-1] == pytest.approx(float(table.gap[1]))


def test_every_method_hears_the_same_noise_of_the_same_trial() -> None:
    noise = Noise((np.arange(100.0),), (np.arange(100.0),))
    draws = [noise.draw("a table", 3, 7, trial) for trial in (0, 1, 0)]
    assert draws[0] == draws[2] != draws[1]
    assert draws[0] != noise.draw("a table", 4, 7, 0)


def test_a_program_may_learn_from_its_other_inputs_where_that_is_asked(data: Path) -> None:
    tables = load(data, "scout_multi")["time_s"]
    table, other = tables[0], replace(tables[1], family=tables[0].family)
    assert len(table.history([table, other])) == 0
    assert len(table.history([table, other], same_family=True)) == 1


def test_a_setting_above_a_limit_counts_as_failed(tmp_path: Path) -> None:
    rows = [
        {
            "workload": f"{model}_io100", "family": model, "config": f"{devices}x{batch}",
            "hardware": "a", "framework": "f", "n_devices": devices, "batch_size": batch,
            "io_len": 100, "latency_s": float(batch), "s_per_mtoken": 1.0 / batch,
            "device_s_per_mtoken": devices / batch,
        }
        for model in ("m", "n")
        for devices in (1, 2, 3)
        for batch in range(1, 11)
    ]  # fmt: skip
    (tmp_path / "llm_inference_bench").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "llm_inference_bench/evals.parquet")
    found = load(tmp_path, "llm_inference_bench")
    sizes = np.asarray(found["s_per_mtoken"][0].space.columns["batch_size"].values)
    assert not found["s_per_mtoken"][0].failed.any()
    assert (found["s_per_mtoken<=50ms"][0].failed == (sizes > 5)).all()


def test_the_simple_stopping_rules_count_and_wait() -> None:
    told = np.asarray([3.0, 2.0, 2.5, 2.6, 1.0])
    assert RULES["after 3"](told) == 3
    assert RULES["1 without"](told) == 3
    assert RULES["2 without"](told) == 4
    assert RULES["5 without"](told) == RULES["after 20"](told) == 5


def test_methods_that_have_finished_on_different_tables_are_not_compared(data: Path) -> None:
    jobs = [j for j in plan(data, ["scout_multi"], [OURS, "random"], 1) if j.objective == "time_s"]
    one = Score(1, 1, (0.0,) * len(AFTER), 0.0, 0, 1, 0.0, (0.0,) * len(RULES))
    done = [Done(job, (one,)) for job in jobs]
    ours, theirs = ([d for d in done if d.job.method == name] for name in (OURS, "random"))
    apart = {row["method"]: row for row in rows_of([ours[0], theirs[1]])}
    assert "ours_less" not in apart["random"]
    assert "net_regret" in apart["random"]
    assert rows_of([*ours, theirs[1]])[1]["ours_less"] == [0.0, 0.0]


def test_ours_is_said_to_be_worse_where_it_is(data: Path, tmp_path: Path) -> None:
    rows = backtest(data, tmp_path / "kept.jsonl", [OURS, "random"])
    for row in (r for r in rows if r["method"] == "random"):
        low, high = row["ours_less"]
        assert low <= high
        assert row["not_worse"] == (low <= 2.0)
        assert row["rule"] in RULES
        assert row["net_regret_rule"] <= row["net_regret"] + 1e-9


@pytest.mark.parametrize(
    ("sets", "methods", "fault"),
    [
        (["nothing"], [], UnknownDataset),
        (["gavel"], [], NoData),
        (["vidur_mlp"], [], NoData),
        ([], ["linear"], NoData),
        ([], ["magic"], NoSuchMethod),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(
    data: Path, tmp_path: Path, sets: list[str], methods: list[str], fault: type[Exception]
) -> None:
    kept = tmp_path / "kept.jsonl"
    with pytest.raises(fault):
        run(
            data, sets, methods, seeds=1, quick=True, kept=kept, workers=1, progress=quietly
        )  # fmt: skip
    assert not kept.exists()


def test_the_data_of_a_backtest_is_not_the_folder_of_runs() -> None:
    line = ["optimize", "backtest", "--data", "measured"]
    assert hoisted(line) == line


def asked(data: Path, *more: str) -> int:
    """Ask for a quick backtest on the command line, and return how it ended."""
    words = ["optimize", "backtest", "--data", str(data), "--quick", "--methods", "random"]
    with pytest.raises(SystemExit) as left:
        main([*words, "--workers", "1", *more])
    return int(left.value.code or 0)


def test_finished_jobs_are_kept_in_the_data_folder_and_make_none_of_the_folder_here(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("TRIMTAB_DATA", str(tmp_path / "runs"))
    assert asked(data) == 0
    assert list(Path.cwd().iterdir()) == []
    assert (tmp_path / "runs" / "backtest.jsonl").read_text(encoding="utf-8")


def test_a_place_where_nothing_can_be_kept_is_refused_before_anything_runs(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked(data, "--kept", str(tmp_path)) == 2
    assert capsys.readouterr().err == (
        f"error: finished jobs cannot be kept in {tmp_path}: Is a directory\n"
        "hint: --kept FILE names another place\n"
    )


def test_lines_of_a_backtest_are_json(data: Path, tmp_path: Path) -> None:
    rows = backtest(data, tmp_path / "kept.jsonl", [OURS])
    assert json.loads(json.dumps(rows)) == rows

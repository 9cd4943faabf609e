"""Evidence from ClickHouse at a small scale, with the bench's own rows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import clickhouse_connect
import numpy as np
import pytest

from bench.optimizer_evidence import A_RUN, FILL, SCOPE, ask, asked_of
from optimizer.elsewhere import elsewhere
from runtime.record.clickhouse import ClickHouseSink

ATTEMPTS = 20 * A_RUN
WHERE = {"playbook": SCOPE["playbook"], "step": SCOPE["step"]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    made = clickhouse_connect.get_client(dsn=f"chdb://{tmp_path_factory.mktemp('ch') / 'db'}")
    sink = ClickHouseSink(made)
    sink.prepare()
    made.command(FILL, parameters={"total": ATTEMPTS})
    yield made
    sink.close()


def test_the_newest_whole_runs_that_can_be_read_at_once_are_read(client: Any) -> None:
    extent = ask(client, "evidence_extent", **WHERE, most=5 * A_RUN).to_pylist()[0]
    assert extent["attempts"] == 5 * A_RUN
    assert (extent["known_attempts"], extent["known_runs"]) == (ATTEMPTS, 20)
    read = ask(client, "evidence_attempts", **WHERE, since=extent["since"], limit=ATTEMPTS)
    assert read.num_rows == 5 * A_RUN
    assert len(read.column("run").unique()) == 5


def test_a_step_without_attempts_reaches_back_to_nothing(client: Any) -> None:
    extent = ask(client, "evidence_extent", playbook="no", step="where").to_pylist()[0]
    assert (extent["since"], extent["attempts"]) == (0.0, 0)


def test_the_bench_reads_groups_and_proposes_what_is_known_to_be_better(client: Any) -> None:
    told = asked_of(client)
    assert told["batches"] == ATTEMPTS
    assert told["evidence_intact"]
    assert told["proposal"].startswith("each.batch 25 → 200")
    truth = (0.1 / 200) / (0.065 / 25) - 1
    assert told["causal"]["adjusted"] == pytest.approx(truth, abs=0.02)


def test_what_a_step_took_on_each_class_of_hardware_is_summed_up(client: Any) -> None:
    table = ask(client, "evidence_settings")
    told = table.to_pylist()
    assert sum(one["attempts"] for one in told) == ATTEMPTS
    seen = elsewhere(table)
    by_setting: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for one in told:
        by_setting.setdefault((one["playbook"], one["step"], one["setting"]), []).append(one)
    for (playbook, step, setting), parts in by_setting.items():
        charged = [p["log_s"] - math.log1p(-p["failed"] / p["attempts"]) for p in parts]
        weights = [p["succeeded"] for p in parts]
        expected = sum(c * w for c, w in zip(charged, weights, strict=True)) / sum(weights)
        assert seen.of("time", (playbook, step), setting) == pytest.approx(expected)


def test_what_runs_did_with_memory_and_bytes_is_summed_up_by_class(client: Any) -> None:
    columns = (
        "writer, pos, at, run, playbook, step, attempt, outcome, run_s, cpu_s, items, hardware, "
        "rss_peak, bytes_in, bytes_out"
    )
    for n, (hardware, memory, read) in enumerate(
        [("m", 1e9, 8e6), ("m", 4e9, 2e6), ("n", 2e9, 0)]
    ):
        at = f"fromUnixTimestamp({1767225600 + n})"
        row = f"3, {n}, {at}, 'r{n}', 'mem', 's', 'r{n}/s', 'succeeded', 2.0, 1.0, 1"
        row = f"{row}, '{hardware}', {memory:.0f}, {read:.0f}, 0"
        client.command(f"INSERT INTO attempt ({columns}) VALUES ({row})")
    seen = elsewhere(ask(client, "evidence_settings")).seen_of(("mem", "s"), ("m", "n", "other"))
    assert seen is not None
    assert np.allclose(seen[0, :3], [2e9, 0.5, 2e6])
    assert np.allclose(seen[1, :2], [2e9, 0.5])
    assert np.isnan(seen[1, 2:]).all()
    assert np.isnan(seen[2]).all()


def test_a_run_that_goes_on_after_four_hours_ended_counts_once(client: Any) -> None:
    columns = "writer, pos, at, run, playbook, step, attempt, outcome, run_s, items, hardware"
    for n, second in enumerate((14_399, 14_401)):
        at = f"fromUnixTimestamp({1767225600 + second})"
        row = f"2, {n}, {at}, 'over', 'p', 's', 'over/{n}', 'succeeded', 1.0, 1, 'edge'"
        client.command(f"INSERT INTO attempt ({columns}) VALUES ({row})")
    told = [
        one for one in ask(client, "evidence_settings").to_pylist() if one["setting"] == "edge"
    ]
    assert [(one["daypart"], one["runs"]) for one in told] == [(0, 1), (1, 1)]

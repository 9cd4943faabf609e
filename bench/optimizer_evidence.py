"""Evidence at scale: one step with a million attempts, from ClickHouse to a proposal.

The attempts are made inside ClickHouse from ``numbers()``: runs of 2,000 batches of 25, a trial
of larger batches in each tenth run, and a step that takes half as long again in its first half.
What is read, how long each part takes and what is proposed come out as JSON::

    python -m bench.optimizer_evidence --attempts 1000000 --save bench/results/evidence.json
"""

# ruff: noqa: E501 statements of SQL are read by the line

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import clickhouse_connect
import pyarrow as pa

from agents.observer import MOST
from bench.machine import machine
from optimizer.evidence import Batches, batches, is_intact
from optimizer.guard import Limits
from optimizer.regime import current
from optimizer.tune import tune_step
from runtime.record.clickhouse import ClickHouseSink
from runtime.record.statements import statement

TARGET_S: Final = 30.0
A_RUN: Final = 2_000
SCOPE: Final[dict[str, Any]] = {
    "playbook": "team/flow", "step": "enrich", "version": "v1", "bound": "b",
    "effect": "idempotent", "objective": "cost",
    "defaults": {"each.batch": 25, "each.in_flight": 4}, "stable": {},
    "tune": [{"name": "each.batch", "min": 10, "max": 1000}, {"name": "each.in_flight", "min": 1, "max": 16}],
    "last": [],
}  # fmt: skip

FILL: Final = f"""
INSERT INTO attempt (writer, pos, stream, stream_seq, at, scheduled_at, run, playbook, version,
  number_of_version, step, batch, block, start, attempt, number, outcome, retried, queue_s, run_s, total_s, items,
  hardware, price_usd_hour, cost_usd, config, batch_size, in_flight, experiment, arm, share)
SELECT 1, number + 1, concat('run/', run), k + 1, at, at - toIntervalMicrosecond(toInt64(1e6 * seconds)), run, 'team/flow', 'v1',
  1, 'enrich', k, if(trial, k, -1), k * 25, concat(run, '/enrich/', toString(k), '/1'), 1, 'succeeded', 0, 0.01, seconds,
  seconds + 0.01, size, 'local', 0.048, 0.048 * seconds / 3600, toString(size), size, 4, if(trial, concat('x-', toString(r)), ''),
  multiIf(NOT trial, '', size = 25, 'control', concat('candidate.', toString(size))), if(trial, 0.1, NULL)
FROM (
  SELECT number, intDiv(number, {A_RUN}) AS r, number % {A_RUN} AS k, lower(hex(sipHash128(r))) AS run, r % 10 = 9 AS trial,
    fromUnixTimestamp64Micro(toInt64(1e6 * (1767225600 + number * 0.5))) AS at,
    if(trial, [25, 25, 25, 25, 25, 25, 25, 50, 100, 200][1 + cityHash64(number, 1) % 10], 25) AS size,
    if(number * 2 < {{total:UInt64}}, 1.5, 1.0) * (0.06 + 0.0002 * size) * randLogNormal(0, 0.2) AS seconds
  FROM numbers({{total:UInt64}})
)
"""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--attempts", type=int, default=1_000_000)
    asked.add_argument("--save", type=Path, help="write the result there too")
    args = asked.parse_args()
    os.environ["TZ"] = "UTC"
    time.tzset()
    folder = Path(tempfile.mkdtemp(prefix="bench-evidence-"))
    try:
        text = json.dumps(measured(folder / "ch", args.attempts), indent=1, ensure_ascii=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(text)
    if args.save:
        args.save.write_text(text + "\n", encoding="utf-8")


def measured(path: Path, attempts: int) -> dict[str, Any]:
    """Make the attempts, then read, group, cut and study them."""
    client = clickhouse_connect.get_client(dsn=f"chdb://{path}")
    sink = ClickHouseSink(client)
    sink.prepare()
    try:
        client.command(FILL, parameters={"total": attempts})
        return {
            "attempts": attempts,
            "target_s": TARGET_S,
            **asked_of(client),
            "machine": machine(),
        }
    finally:
        sink.close()


def asked_of(client: Any) -> dict[str, Any]:
    """Return what one cycle takes for the step, part by part."""
    clock = Parts()
    where = {"playbook": SCOPE["playbook"], "step": SCOPE["step"]}
    extent = clock.of("extent", lambda: ask(client, "evidence_extent", **where))
    since = extent["since"][0].as_py()
    table = clock.of(
        "read", lambda: ask(client, "evidence_attempts", **where, since=since, limit=MOST)
    )
    history: Batches = clock.of("group", lambda: batches(table))
    regime = clock.of("regime", lambda: current(history))
    found = clock.of(
        "study", lambda: tune_step(SCOPE, history, Limits(), random.Random(1))
    ).candidate  # fmt: skip
    return {
        "batches": len(history), "current_regime": len(regime), "regime_factor": regime.quality.regime_factor,
        "seconds": clock.seconds, "cpu_s": clock.cpu, "total_s": sum(clock.seconds.values()),
        "proposal": found and found.note, "evidence_intact": found and is_intact(found.evidence),
        "causal": found and found.evidence["causal"],
    }  # fmt: skip


class Parts:
    """Times parts by name, by the wall and on the processor."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    def of(self, name: str, do: Callable[[], Any]) -> Any:
        began, cpu = time.perf_counter(), time.process_time()
        found = do()
        self.seconds[name] = round(time.perf_counter() - began, 2)
        self.cpu[name] = round(time.process_time() - cpu, 2)
        return found


def ask(client: Any, name: str, **params: Any) -> pa.Table:
    said = statement(name)
    settings = {"output_format_arrow_low_cardinality_as_dictionary": 0}
    return client.query_arrow(said.text, parameters=said.bind(params), settings=settings)


if __name__ == "__main__":
    main()

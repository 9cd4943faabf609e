"""The raw limits of the record's engines: inserts and upserts with nothing before them."""

from __future__ import annotations

import os
import random
import time
import uuid
from pathlib import Path
from typing import Any

from bench.runtime_limits import fdatasync_p50_ms
from runtime.record.clickhouse import arrow
from runtime.record.embedded import Engine, Request
from runtime.record.qdrant import EdgePoints, Point
from runtime.record.schema import migrations
from runtime.record.tables import EVENT, TRANSITION, Row, Table

ROWS = 16_000
BATCHES = 6
POINTS = 2_000


def limits(place: Path) -> dict[str, Any]:
    """Measure both engines in this process, which nothing else has open."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    return {
        "fdatasync_p50_ms": round(fdatasync_p50_ms(place), 3),
        "chdb_insert_rows_per_s": round(chdb_insert_rows_per_s(place / "clickhouse")),
        "edge_upserts_per_s": round(edge_upserts_per_s(place / "qdrant")),
    }


def chdb_insert_rows_per_s(place: Path) -> float:
    """Rows a second into the record's own tables, from Arrow that is made before."""
    engine = Engine(place, 1_500_000_000)
    for _, steps in migrations():
        for step in steps:
            engine.run(Request(step))
    sent = [(table, _stream(table, n)) for n in range(BATCHES) for table in (EVENT, TRANSITION)]
    at = time.perf_counter()
    for table, data in sent:
        names = ", ".join(table.names)
        engine.run(Request(f"INSERT INTO {table.name} ({names}) FORMAT ArrowStream", data))
    took = time.perf_counter() - at
    engine.close()
    return len(sent) * ROWS / took


def _stream(table: Table, batch: int) -> Any:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    made = arrow(table, [_row(table, batch * ROWS + n) for n in range(ROWS)])
    with pa.ipc.new_stream(sink, made.schema) as stream:
        stream.write_table(made)
    return memoryview(sink.getvalue())


def _row(table: Table, n: int) -> Row:
    stream, at = f"run/{n // 1000:032x}", 1_700_000_000 + n / 1000
    place = (1, n + 1, stream, n % 1000 + 1, at)
    if table is EVENT:
        return (
            *place,
            "attempt.scheduled",
            1,
            '{"attempt":"' + stream + f'/s/{n}/1","step":"s"}}',
        )
    return (*place, 0, stream[4:], "bench/fan", "s", n, 1, f"{stream}/s/{n}/1", "scheduled", "")


def edge_upserts_per_s(place: Path) -> float:
    """Points a second into an Edge shard, with vectors as wide as ours."""
    points, chance = EdgePoints(place), random.Random(1)
    points.prepare(256)
    made = [
        Point(
            str(uuid.UUID(int=n + 1)), [chance.uniform(-1, 1) for _ in range(256)],
            ([n % 97, 100 + n % 89], [1.0, 1.0]),
            {"kind": "run", "text": f"run {n}", "playbook": "bench/fan", "step": "", "state": ""},
        )
        for n in range(POINTS)
    ]  # fmt: skip
    at = time.perf_counter()
    for start in range(0, POINTS, 500):
        points.put(made[start : start + 500])
    took = time.perf_counter() - at
    points.close()
    return POINTS / took

"""`make bench-record-queries`: what each statement of the record reads at ten million attempts.

The attempts are made inside the engine from ``numbers()``, skewed as real ones are: few
playbooks have most runs, one step has most attempts, some attempts fail of few causes. They
come in as the recorder writes them, through the materialized views. Then each statement that
ships runs with the parameters that a page or the optimizer asks with, and its EXPLAIN, the rows
and bytes that it read, and its median time are kept::

    python -m bench.record_queries --attempts 10000000 --save bench/results/record-queries.json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench.machine import machine
from bench.record_rows import BEGIN, DAYS, FILLS
from runtime.record.clickhouse import ClickHouseSink
from runtime.record.statements import Statement, load

CHUNK: Final = 250_000
MEMORY: Final = 3_000_000_000
REPEATS: Final = 5


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    asked.add_argument("--attempts", type=int, default=10_000_000)
    asked.add_argument("--folder", type=Path, help="keep the database there, or use what is there")
    asked.add_argument("--save", type=Path, help="write the result there too")
    args = asked.parse_args()
    os.environ["TZ"] = "UTC"
    time.tzset()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        text = json.dumps(measured(folder / "ch", args.attempts), indent=1, ensure_ascii=False)
    finally:
        if args.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(text)
    if args.save:
        args.save.write_text(text + "\n", encoding="utf-8")


def measured(path: Path, attempts: int) -> dict[str, Any]:
    """Fill a database, unless it is there, and ask it everything."""
    new = not path.exists()
    if new:
        _prepare(path)
    engine = opened(path)
    try:
        kept = path.parent / "fill.json"
        if new:
            kept.write_text(json.dumps(fill(engine, attempts)), encoding="utf-8")
        _settle(engine)
        known = known_values(engine, attempts)
        return {
            "attempts": attempts, "fill": json.loads(kept.read_text(encoding="utf-8")),
            "tables": _tables(engine),
            "statements": {n: ask(engine, s, known) for n, s in load().items()},
            "machine": machine(),
        }  # fmt: skip
    finally:
        engine.close()


def opened(path: Path) -> Any:
    """Open a database as the recorder's engine has it."""
    from chdb.state.sqlitelike import Connection

    made = Connection(f"{path}?max_server_memory_usage={MEMORY}&mark_cache_size={64 << 20}")
    made.query("SET use_skip_indexes_if_final_exact_mode = 0")
    return made


def _prepare(path: Path) -> None:
    import clickhouse_connect

    path.parent.mkdir(parents=True, exist_ok=True)
    sink = ClickHouseSink(clickhouse_connect.get_client(dsn=f"chdb://{path}"))
    sink.prepare()
    sink.close()


def fill(engine: Any, attempts: int) -> dict[str, Any]:
    """Insert the rows of all tables; return the CPU seconds and the rate of the attempts."""
    began, cpu = time.perf_counter(), time.process_time()
    for first in range(0, attempts, CHUNK):
        rows = min(CHUNK, attempts - first)
        _do(engine, FILLS["attempt"], first=first, rows=rows, total=attempts)
    took, spent = time.perf_counter() - began, time.process_time() - cpu
    for table, sql in FILLS.items():
        if table != "attempt":
            _do(engine, sql, first=0, rows=attempts, total=attempts)
    return {"attempts_per_s": round(attempts / took), "cpu_us_per_attempt": 1e6 * spent / attempts}


def _do(engine: Any, sql: str, **values: int) -> None:
    engine.query(sql, params=_texts(values))


def _settle(engine: Any) -> None:
    """Wait until what is merged in the background is merged, at most five minutes."""
    deadline = time.monotonic() + 300
    while (
        time.monotonic() < deadline
        and rows_of(engine, "SELECT count() AS n FROM system.merges")[0]["n"]
    ):
        time.sleep(1)


def known_values(engine: Any, attempts: int) -> dict[str, Any]:
    """The parameters that statements are asked with: the busiest playbook, the last week."""
    end = BEGIN + DAYS * 86_400
    sql = "SELECT run FROM attempts ORDER BY at DESC LIMIT 1"
    return {
        "playbook": "team/flow-0", "step": "enrich", "run": rows_of(engine, sql)[0]["run"],
        "proposal": "p-1", "experiment": "x-1", "text": "has no records",
        "since": end - 7 * 86_400, "until": end, "bucket": 3_600,
    }  # fmt: skip


def ask(engine: Any, said: Statement, known: dict[str, Any]) -> dict[str, Any]:
    """Ask one statement a few times; return how it went."""
    without = ("run",) if said.name in OF_ANY_RUN else ()
    named = [k for k in said.parameters if k in known and k not in without]
    given = {k: known[k] for k in named if said.name not in WHOLE}
    values = said.bind(given)
    times, answer = [], None
    for _ in range(REPEATS):
        began = time.perf_counter()
        answer = engine.query(said.text, "Native", params=_texts(values))
        times.append(time.perf_counter() - began)
    explained = engine.query(f"EXPLAIN indexes = 1 {said.text}", "TSVRaw", params=_texts(values))
    assert answer is not None
    return {
        "parameters": given, "rows_read": answer.storage_rows_read(),
        "bytes_read": answer.storage_bytes_read(), "bytes_given": len(answer.bytes()),
        "p50_ms": round(1000 * statistics.median(times), 1),
        "explain": str(explained).splitlines(),
    }  # fmt: skip


OF_ANY_RUN: Final = ("history_attempts", "history_transitions")
"""Statements whose run only narrows: they are asked for a playbook's week."""
WHOLE: Final = ("checksum_attempts", "checksum_events", "counts")
"""Statements that `trimtab doctor --verify` asks of the record as a whole."""


def _texts(values: dict[str, Any]) -> dict[str, str]:
    return {k: str(v) for k, v in values.items()}


def _tables(engine: Any) -> dict[str, Any]:
    sql = (
        "SELECT table, sum(rows) AS rows, sum(bytes_on_disk) AS bytes, count() AS parts"
        " FROM system.parts WHERE active AND database = 'default' GROUP BY table ORDER BY table"
    )
    return {
        r["table"]: {k: int(v) for k, v in r.items() if k != "table"} for r in rows_of(engine, sql)
    }


def rows_of(engine: Any, sql: str) -> list[dict[str, Any]]:
    """Return the rows that a statement gives."""
    answer = engine.query(
        f"{sql} SETTINGS output_format_json_quote_64bit_integers = 0", "JSONEachRow"
    )
    return [json.loads(line) for line in str(answer).splitlines() if line]


if __name__ == "__main__":
    main()

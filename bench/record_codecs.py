"""What the record's two largest tables would weigh, and its questions read, made otherwise.

``attempt`` and ``step_hour`` are copied, a part of them, into tables with other codecs or another
order; what each weighs on disk, what its asked statements read, and the CPU of copying are told::

    python -m bench.record_codecs --folder KEPT --save bench/results/record-codecs.json

``--folder`` is a database that ``bench.record_queries --folder`` has filled.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.machine import machine
from bench.record_queries import ask, known_values, opened, rows_of
from runtime.record.statements import Statement, load

FLOATS: Final = ("queue_s", "run_s", "total_s", "cpu_s")
STATES: Final = ("runs", "queue", "running", "seconds")


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to make a table: what its order is, and the codec of some of its columns."""

    name: str
    table: str
    order: str = ""
    columns: tuple[str, ...] = ()
    codec: str = ""


BY_STEP: Final = "(playbook, step, at, stream, stream_seq)"
KEYS: Final = "hardware, config, arm, experiment, number_of_version, batch_size, in_flight, system"
VARIANTS: Final = (
    Variant("as it is", "attempt"),
    Variant("LZ4 throughout", "attempt", codec="LZ4"),
    Variant("ZSTD(3) throughout", "attempt", codec="ZSTD(3)"),
    Variant("Gorilla for seconds", "attempt", columns=FLOATS, codec="Gorilla, ZSTD"),
    Variant("by time", "attempt", order="(at, playbook, step, stream, stream_seq)"),
    Variant("by run", "attempt", order="(run, at, playbook, step, stream, stream_seq)"),
    Variant("as it is", "step_hour"),
    Variant("LZ4 for states", "step_hour", columns=STATES, codec="LZ4"),
    Variant("ZSTD(3) for states", "step_hour", columns=STATES, codec="ZSTD(3)"),
    Variant("by time", "step_hour", order=f"(hour, playbook, step, {KEYS})"),
)
ASKED: Final[Mapping[str, tuple[str, ...]]] = {
    "attempt": ("evidence_attempts", "run_attempts", "history_attempts"),
    "step_hour": ("trend_steps", "steps_summary", "trend_measures"),
}
"""The statements that read a table, by which its ways are judged."""


def main() -> None:
    asked = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    asked.add_argument("--folder", type=Path, required=True)
    asked.add_argument("--attempts", type=int, default=10_000_000)
    asked.add_argument("--days", type=int, default=60, help="the last days, copied each time")
    asked.add_argument("--save", type=Path)
    args = asked.parse_args()
    os.environ["TZ"] = "UTC"
    time.tzset()
    engine = opened(args.folder / "ch")
    try:
        found = list(measured(engine, args.attempts, args.days))
    finally:
        engine.close()
    text = json.dumps({"days": args.days, "ways": found, "machine": machine()}, indent=1)
    print(text)
    if args.save:
        args.save.write_text(text + "\n", encoding="utf-8")


def measured(engine: Any, attempts: int, days: int) -> Iterator[dict[str, Any]]:
    """Make each variant, measure it and drop it."""
    known = known_values(engine, attempts)
    for variant in VARIANTS:
        engine.query("DROP TABLE IF EXISTS other SYNC")
        engine.query(ddl(engine, variant))
        cpu = time.process_time()
        time_column = "at" if variant.table == "attempt" else "hour"
        engine.query(
            f"INSERT INTO other SELECT * FROM {variant.table} WHERE {time_column} >="
            f" (SELECT max({time_column}) FROM {variant.table}) - toIntervalDay({days})"
            " SETTINGS max_threads = 1, max_insert_threads = 1"
        )
        engine.query("OPTIMIZE TABLE other FINAL")
        spent = time.process_time() - cpu
        yield {"table": variant.table, "way": variant.name, "cpu_s": round(spent, 1)} | {
            **rows_of(engine, SIZE)[0],
            "read": {name: read(engine, variant, name, known) for name in ASKED[variant.table]},
        }
    engine.query("DROP TABLE IF EXISTS other SYNC")


SIZE: Final = (
    "SELECT sum(rows) AS rows, sum(bytes_on_disk) AS bytes FROM system.parts"
    " WHERE active AND table = 'other'"
)


def ddl(engine: Any, variant: Variant) -> str:
    """Return the statement that makes a variant, under the name ``other``."""
    made = str(engine.query(f"SHOW CREATE TABLE {variant.table}", "TSVRaw"))
    made = re.sub(r"CREATE TABLE \S+", "CREATE TABLE other", made, count=1)
    if variant.order:
        made = re.sub(r"ORDER BY \(.*\)", f"ORDER BY {variant.order}", made, count=1)
    if variant.codec:
        made = re.sub(
            r"^    `(\w+)` (.*)$", lambda m: _coded(m, variant), made, flags=re.MULTILINE
        )
    return made


def _coded(line: re.Match[str], variant: Variant) -> str:
    if variant.columns and line[1] not in variant.columns:
        return line[0]
    rest = re.sub(r" CODEC\(.*\)(?=,?$)", "", line[2])
    return f"    `{line[1]}` {rest.removesuffix(',')} CODEC({variant.codec})" + (
        "," if rest.endswith(",") else ""
    )


def read(engine: Any, variant: Variant, name: str, known: dict[str, Any]) -> dict[str, Any]:
    """Ask a statement of the variant instead of its table; return what it read."""
    said = load()[name]
    if variant.table == "attempt":
        text = re.sub(r"\battempts\b(?= AS [at]\b|\n)", "(SELECT * FROM other FINAL)", said.text)
        text = re.sub(r"\bFROM attempt\b", "FROM other", text)
    else:
        text = re.sub(r"\bstep_hour\b", "other", said.text)
    told = ask(engine, Statement(name, said.purpose, text, said.defaults), known)
    return {key: told[key] for key in ("rows_read", "bytes_read", "p50_ms")}


if __name__ == "__main__":
    main()

"""`make bench-data`: an `each` over a big Arrow table, and what it moves.

Prints one JSON object: bytes over the pipes to and from the workers, what a worker keeps in
memory of its own beside what it maps, page faults, rows a second; beside them the same sum
over the same file in one process. See bench/results/data.json::

    python -m bench.data --megabytes 64 --batches 8
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.machine import machine
from runtime.data.folder import DataFolder
from runtime.data.objects import Objects
from runtime.data.reference import Reference
from runtime.engine.engine import Engine, Submit
from runtime.playbook.bundle import load_text
from runtime.workers.local import LocalPool

ROW_BYTES: Final = 16
YAML: Final = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: bench/borrow}
workload:
  table: {type: any}
workflow:
  - step: add
    each: {in: "{{ workload.table }}", batch: BATCH, in_flight: SLOTS}
    tool: {kind: python, call: "borrow:add"}
"""
CODE: Final = """
import os, resource
from pathlib import Path
import pyarrow.compute as pc

def memory():
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith(" kB")}
    return int(kilobytes["RssAnon"]) * 1024, int(kilobytes["RssFile"]) * 1024

def add(table):
    faults = resource.getrusage(resource.RUSAGE_SELF)
    before, _ = memory()
    pc.sum(table.column("id").slice(0, 1))
    total = pc.sum(table.column("id")).as_py() + pc.sum(table.column("x")).as_py()
    anon, mapped = memory()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "total": total, "rows": table.num_rows, "pid": os.getpid(), "anon_before": before,
        "anon": anon, "mapped": mapped, "minor": after.ru_minflt - faults.ru_minflt,
        "major": after.ru_majflt - faults.ru_majflt,
    }
"""


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    asked.add_argument("--megabytes", type=int, default=1024)
    asked.add_argument("--batches", type=int, default=80)
    asked.add_argument("--slots", type=int, default=2)
    asked.add_argument("--save", type=Path, help="write the result there too")
    args = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="trimtab-bench-") as place:
        told = measured(Path(place), args.megabytes, args.batches, args.slots)
    told["machine"] = machine()
    text = json.dumps(told, indent=1)
    print(text)
    if args.save:
        args.save.write_text(text + "\n", encoding="utf-8")


def measured(place: Path, megabytes: int, batches: int, slots: int) -> dict[str, Any]:
    """Run the step over a table of that size, and tell what moved."""
    folder = DataFolder(place / "data")
    folder.prepare()
    began = time.perf_counter()
    ref = big_table(Objects(folder.objects), megabytes)
    write_s = time.perf_counter() - began
    ran = asyncio.run(run(folder, ref, batches, slots))
    assert sum(r["rows"] for r in ran["results"]) == ref["rows"]
    alone = one_process(Objects(folder.objects), ref)
    assert abs(sum(r["total"] for r in ran["results"]) / alone["total"] - 1) < 1e-9
    return {
        "table_bytes": ref["bytes"], "rows": ref["rows"], "batches": len(ran["results"]),
        "workers": len({r["pid"] for r in ran["results"]}),
        "pipe_bytes": {"sent": ran["sent"], "received": ran["received"]},
        "pipe_bytes_per_batch": {
            "sent": round(ran["sent"] / batches, 1),
            "received": round(ran["received"] / batches, 1),
        },
        "pipe_share_of_table": (ran["sent"] + ran["received"]) / ref["bytes"],
        "worker_mb": memory(ran["results"]), "page_faults": faults(ran["results"]),
        "seconds": round(ran["seconds"], 3), "rows_per_s": round(ref["rows"] / ran["seconds"]),
        "one_process": {"seconds": round(alone["seconds"], 3),
                        "rows_per_s": round(ref["rows"] / alone["seconds"])},
        "write_s": round(write_s, 3),
    }  # fmt: skip


def big_table(objects: Objects, megabytes: int) -> Reference:
    rows = megabytes * (1 << 20) // ROW_BYTES
    ids = np.arange(rows, dtype=np.int64)
    return objects.put_table(pa.table({"id": ids, "x": ids * 0.5}))


async def run(folder: DataFolder, ref: Reference, batches: int, slots: int) -> dict[str, Any]:
    pool = LocalPool(slots, folder)
    engine = await Engine.open(folder, pool)
    try:
        size = -(-ref["rows"] // batches)
        source = YAML.replace("BATCH", str(size)).replace("SLOTS", str(slots))
        await engine.register(load_text(source, {"borrow.py": CODE}), "bench")
        before, began = (pool.bytes_sent, pool.bytes_received), time.perf_counter()
        run = await engine.submit(Submit("bench/borrow", {"table": ref}, "bench"))
        row = await engine.wait(run)
        seconds = time.perf_counter() - began
        assert row.state == "completed", engine.state(run)
        results = Objects(folder.objects).open(engine.values(run)["add"]["results"])
        return {
            "seconds": seconds, "results": results, "sent": pool.bytes_sent - before[0],
            "received": pool.bytes_received - before[1],
        }  # fmt: skip
    finally:
        await engine.close()


def one_process(objects: Objects, ref: Reference) -> dict[str, float]:
    """The same sums over the same map, without an engine: the bound of the machine."""
    began = time.perf_counter()
    table = objects.open_table(ref)
    total = pc.sum(table.column("id")).as_py() + pc.sum(table.column("x")).as_py()
    return {"seconds": time.perf_counter() - began, "total": total}


def memory(results: list[dict[str, Any]]) -> dict[str, float]:
    """Of its own (anonymous) before the first batch and at most; mapped from files at most."""
    first: dict[int, int] = {}
    for result in results:
        first[result["pid"]] = min(first.get(result["pid"], 1 << 60), result["anon_before"])
    grown = max(r["anon"] - first[r["pid"]] for r in results)
    return {
        "anonymous_at_first": round(max(first.values()) / 1e6, 1),
        "anonymous_at_most": round(max(r["anon"] for r in results) / 1e6, 1),
        "anonymous_grown": round(grown / 1e6, 1),
        "mapped_at_most": round(max(r["mapped"] for r in results) / 1e6, 1),
    }


def faults(results: list[dict[str, Any]]) -> dict[str, float]:
    minor, major = (sum(r[kind] for r in results) for kind in ("minor", "major"))
    mapped = sum(r["rows"] for r in results) * ROW_BYTES / resource.getpagesize()
    return {"minor": minor, "major": major, "pages_of_the_table": round(mapped)}


if __name__ == "__main__":
    main()

"""`make bench-record`: does the record keep up, what does it cost the runs, how fast is it behind?

Prints one JSON object, each figure beside the raw limits of its run. Attempts are offered at
a steady rate to a real engine with two workers, in turn without a recorder and beside one;
then a recorder starts on a journal that grew without it::

    python -m bench.record --pairs 3 --save bench/results/record.json
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bench import runtime_books as books
from bench.machine import machine
from bench.runtime_limits import fdatasync_p50_ms
from bench.runtime_tree import cpu_s, rss_mb, tree
from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.engine.local import open_local
from runtime.record.access import await_caught_up
from runtime.record.history import History
from runtime.record.lag import Lag
from runtime.record.supervise import RecorderProcess

WORKERS: Final = 2
PER_RUN: Final = 200
LOOK_S: Final = 0.1
Figures = dict[str, Any]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    asked.add_argument("--rate", type=float, default=2000.0, help="attempts a second")
    asked.add_argument("--window-s", type=float, default=10.0)
    asked.add_argument("--pairs", type=int, default=3)
    asked.add_argument("--behind", type=int, default=100_000, help="attempts to catch up with")
    asked.add_argument("--folder", type=Path, help="where the data goes: a disk that syncs")
    asked.add_argument("--save", type=Path)
    asked.add_argument("--limits", type=Path, help=argparse.SUPPRESS)
    args = asked.parse_args()
    if args.limits:
        from bench.record_limits import limits

        print(json.dumps(limits(args.limits)), flush=True)
        return
    place = Path(tempfile.mkdtemp(prefix="record-", dir=args.folder))
    try:
        told = asyncio.run(measured(place, args))
    finally:
        shutil.rmtree(place)
    text = json.dumps(told, indent=1)
    print(text)
    if args.save:
        args.save.write_text(text + "\n", encoding="utf-8")


async def measured(place: Path, args: argparse.Namespace) -> Figures:
    """Measure all of it, raw limits first and last."""
    before = _limits(place / "limits-before")
    folder = DataFolder(place / "data")
    async with open_local(folder, WORKERS) as engine:
        path = (await engine.register(books.fan(), "bench")).path
        await _run(engine, path, 500)
        found = await _pairs(engine, folder, path, args)
        caught = await _catch_up(engine, folder, path, args.behind)
    after = _limits(place / "limits-after")
    best = {name: max(before[name], after[name]) for name in before}
    best["fdatasync_p50_ms"] = min(before["fdatasync_p50_ms"], after["fdatasync_p50_ms"])
    return {
        **found, **caught, "limits": best,
        "offered_attempts_per_s": args.rate, "machine": machine(),
    }  # fmt: skip


# ---- beside the runs --------------------------------------------------------------------


@dataclass(slots=True)
class Window:
    """What a while of steady work came to."""

    attempts_per_s: float
    cpu_ms_per_attempt: float
    run_p50_s: float
    fdatasync_p50_ms: float
    lags: dict[str, list[float]] = field(default_factory=dict)
    recorder_cpu_share: float = 0.0


async def _pairs(
    engine: Engine, folder: DataFolder, path: str, args: argparse.Namespace
) -> Figures:
    alone, beside = [], []
    for n in range(args.pairs):
        # The order turns, so that a machine that grows busier favours neither.
        for recorded in (False, True) if n % 2 == 0 else (True, False):
            window = await _window(engine, folder, path, args, recorded)
            (beside if recorded else alone).append(window)
            print(f"pair {n + 1}: {window.attempts_per_s:.0f}/s", file=sys.stderr, flush=True)
    slower = [1 - b.attempts_per_s / a.attempts_per_s for a, b in zip(alone, beside, strict=True)]
    dearer = [
        b.cpu_ms_per_attempt / a.cpu_ms_per_attempt - 1 for a, b in zip(alone, beside, strict=True)
    ]
    lags = {name: sorted(s for w in beside for s in w.lags[name]) for name in beside[0].lags}
    return {
        "lag_p99_s": _percentile(lags["clickhouse"], 0.99),
        "lag_p50_s": _percentile(lags["clickhouse"], 0.5),
        "qdrant_lag_p99_s": _percentile(lags["qdrant"], 0.99),
        "lag_samples": len(lags["clickhouse"]),
        "runtime_slowdown_pct": round(100 * statistics.median(slower), 2),
        "runtime_cpu_dearer_pct": round(100 * statistics.median(dearer), 2),
        "recorder_cpu_cores": round(statistics.median(w.recorder_cpu_share for w in beside), 3),
        "pairs": {"alone": [_plain(w) for w in alone], "beside": [_plain(w) for w in beside]},
    }


async def _window(
    engine: Engine, folder: DataFolder, path: str, args: argparse.Namespace, recorded: bool
) -> Window:
    if not recorded:
        return await _offered(engine, folder, path, args)
    async with _recorder(engine, folder) as recorder:
        await asyncio.to_thread(await_caught_up, folder, engine.journal.heads(), 600.0)
        window_lags: dict[str, list[float]] = {"clickhouse": [], "qdrant": []}
        looking = asyncio.create_task(_look(folder, window_lags))
        pid, at = recorder.pid, time.perf_counter()
        cpu = cpu_s([pid] if pid else [])
        window = await _offered(engine, folder, path, args)
        took = time.perf_counter() - at
        window.recorder_cpu_share = (cpu_s([pid] if pid else []) - cpu) / took
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        window.lags = window_lags
        await asyncio.to_thread(await_caught_up, folder, engine.journal.heads(), 600.0)
    return window


@contextlib.asynccontextmanager
async def _recorder(engine: Engine, folder: DataFolder) -> Any:
    recorder = RecorderProcess(folder)
    await recorder.start(ready_s=120.0)
    stop = engine.subscribe(lambda _: recorder.notify())
    try:
        yield recorder
    finally:
        stop()
        await recorder.stop(20.0)


async def _look(folder: DataFolder, lags: dict[str, list[float]]) -> None:
    """Look at how old the oldest event is that each sink lacks, some times a second."""
    while True:
        for sink in (await asyncio.to_thread(Lag.read, folder, 5.0)).sinks:
            lags[sink.name].append(sink.behind_s)
        await asyncio.sleep(LOOK_S)


async def _offered(
    engine: Engine, folder: DataFolder, path: str, args: argparse.Namespace
) -> Window:
    """Offer attempts at the rate for a while, and wait until all of them have ended."""
    sync = fdatasync_p50_ms(folder.root)
    runs, took = int(args.rate * args.window_s / PER_RUN), list[float]()
    pids, cpu, began = tree(), cpu_s(tree()), time.perf_counter()

    async def one(n: int) -> None:
        await asyncio.sleep(max(0.0, began + n * PER_RUN / args.rate - time.perf_counter()))
        at = time.perf_counter()
        await _run(engine, path, PER_RUN)
        took.append(time.perf_counter() - at)

    await asyncio.gather(*(one(n) for n in range(runs)))
    spent = time.perf_counter() - began
    used = (cpu_s(pids) - cpu) * 1e3 / (runs * PER_RUN)
    return Window(runs * PER_RUN / spent, used, statistics.median(took), sync)


async def _run(engine: Engine, path: str, count: int) -> None:
    run = await engine.submit(Submit(path, {"count": count}, "bench"))
    row = await engine.wait(run)
    if row.state != "completed":
        raise RuntimeError(f"{path} {row.state}: {engine.state(run).fault}")


# ---- behind -----------------------------------------------------------------------------


async def _catch_up(engine: Engine, folder: DataFolder, path: str, attempts: int) -> Figures:
    """Let the journal grow without a recorder, then see how fast one fills the gap."""
    for _ in range(max(1, attempts // 1000)):
        await _run(engine, path, 1000)
    heads = engine.journal.heads()
    recorder = RecorderProcess(folder)
    await recorder.start(ready_s=120.0)
    try:
        pids = [recorder.pid or 0]
        begun = await _begun(folder)
        at, cpu = time.perf_counter(), cpu_s(pids)
        await asyncio.to_thread(await_caught_up, folder, heads, 1800.0, ("clickhouse",))
        took, used = time.perf_counter() - at, cpu_s(pids) - cpu
        memory = rss_mb(pids)
        rows = await asyncio.to_thread(_rows_between, folder, begun, heads)
    finally:
        await recorder.stop(20.0)
    events = sum(heads.values()) - sum(begun.values())
    return {
        "catchup_rows_per_s": round(rows / took),
        "catchup_events_per_s": round(events / took),
        "catchup_rows_per_cpu_s": round(rows / used),
        "catchup": {"rows": rows, "wall_s": round(took, 2), "cpu_s": round(used, 2)},
        "recorder_rss_mb": round(memory),
    }


async def _begun(folder: DataFolder) -> dict[int, int]:
    """Wait until the first batch of this recorder is there; return how far that is."""
    while True:
        for sink in (await asyncio.to_thread(Lag.read, folder, 30.0)).sinks:
            if sink.name == "clickhouse" and sink.batches:
                return dict(sink.cursor)
        await asyncio.sleep(0.02)


def _rows_between(folder: DataFolder, begun: dict[int, int], heads: dict[int, int]) -> int:
    """Count the rows of all tables that stand for the events between two cursors."""
    history = History.open(folder)
    try:
        first, last = (
            sum(
                row["rows"]
                for row in history.rows(
                    "counts", writers=list(cursor), positions=list(cursor.values())
                )
            )
            for cursor in (begun, heads)
        )
        return int(last - first)
    finally:
        history.close()


def _limits(place: Path) -> Figures:
    place.mkdir()
    command = [sys.executable, "-m", "bench.record", "--limits", str(place)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ)
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def _percentile(values: list[float], share: float) -> float | None:
    return round(values[min(len(values) - 1, int(share * len(values)))], 3) if values else None


def _plain(window: Window) -> Figures:
    return {
        "attempts_per_s": round(window.attempts_per_s),
        "cpu_ms_per_attempt": round(window.cpu_ms_per_attempt, 4),
        "run_p50_s": round(window.run_p50_s, 3),
        "fdatasync_p50_ms": round(window.fdatasync_p50_ms, 3),
    }


if __name__ == "__main__":
    main()

"""The rows of memory: what a command, a server and an `each` over a million items hold."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from bench import runtime_books as books
from bench.runtime_stage import (
    WORKERS,
    Figures,
    batches_done,
    command_line,
    data_folder,
    running,
    until,
    with_engine,
)
from bench.runtime_tree import cpu_s, pss_mb, rss_mb, tree
from runtime.engine.engine import Engine, Submit


def rss(folder: Path, repeat: int) -> Figures:
    """`trimtab run` with two workers, and the server, each after some work."""
    return {"rss_mb": {"run": _rss_run(folder), "server": _rss_server(folder)}}


def _rss_run(folder: Path) -> float:
    file = folder / "ran"
    with command_line(folder, "run", file, stay=600) as process:
        until(file.exists)
        until(lambda: len(tree(process.pid)) >= 2 + WORKERS)
        return round(rss_mb(tree(process.pid)), 1)


def _rss_server(folder: Path) -> float:
    data = data_folder(folder / "server", slots=WORKERS)
    log = (folder / "server.log").open("wb")
    command = [sys.executable, "-m", "control_plane.cli.main", "--data", str(data.root)]
    with running([*command, "serve", "--port", "0"], stdout=log, stderr=log) as process:
        until(data.server_json.exists)
        until(lambda: len(tree(process.pid)) >= 2 + WORKERS)
        time.sleep(2.0)  # what it does at its start is part of what it holds
        held = round(rss_mb(tree(process.pid)), 1)
        process.terminate()
        process.wait(60)
        return held


def million(folder: Path, repeat: int, count: int = 1_000_000) -> Figures:
    """An `each` over a table of a million rows, one a batch, 512 in flight."""
    peak = {"rss": 0.0, "pss": 0.0}
    marks: list[tuple[int, float, float]] = []

    async def story(engine: Engine) -> Figures:
        registered = await engine.register(books.fan(512, "rows"), "bench")
        run = await engine.submit(Submit(registered.path, {"count": count}, "bench"))
        watch = asyncio.ensure_future(engine.wait(run))
        while not watch.done():
            await asyncio.wait([watch], timeout=0.5)
            pids = tree()
            peak["rss"] = max(peak["rss"], rss_mb(pids))
            peak["pss"] = max(peak["pss"], pss_mb(pids))
            marks.append((batches_done(engine, run), time.perf_counter(), cpu_s(pids)))
        if watch.result().state != "completed":
            raise RuntimeError(f"the run {watch.result().state}")
        return {
            "million_rss_mb": round(peak["rss"], 1),
            "runs": {
                "million_pss_mb": round(peak["pss"], 1),
                "million_steps_per_s": round(_rate(marks, 0, count)),
                "million_first_tenth_ms": _cost(marks, 0, count // 10),
                "million_last_tenth_ms": _cost(marks, count - count // 10, count),
            },
        }

    return with_engine(folder, story)


def _within(marks: list[tuple[int, float, float]], low: int, high: int) -> list[Any]:
    return [m for m in marks if low <= m[0] <= high and m[0] > 0]


def _rate(marks: list[tuple[int, float, float]], low: int, high: int) -> float:
    found = _within(marks, low, high)
    return float((found[-1][0] - found[0][0]) / (found[-1][1] - found[0][1]))


def _cost(marks: list[tuple[int, float, float]], low: int, high: int) -> Figures | None:
    found = _within(marks, low, high)
    if len(found) < 2 or found[-1][0] == found[0][0]:
        return None
    steps = found[-1][0] - found[0][0]
    return {
        "wall": round((found[-1][1] - found[0][1]) / steps * 1e3, 4),
        "cpu": round((found[-1][2] - found[0][2]) / steps * 1e3, 4),
    }

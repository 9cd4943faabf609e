"""The rows: each measures one thing of the engine, in a process and a folder of its own.

A row warms up, measures, and returns plain figures. It drives the engine from inside,
with two worker processes, except where the command line or a crash is the matter.
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

from bench import runtime_books as books
from bench.runtime_bound import fanout_steps_per_s
from bench.runtime_limits import fdatasync_p50_ms
from bench.runtime_memory import million, rss
from bench.runtime_recovery import cold, recovery, replay, serve
from bench.runtime_stage import (
    ROOT,
    Figures,
    fresh,
    run_to_end,
    running,
    until,
    with_engine,
)
from bench.runtime_tree import cpu_s, tree
from runtime.engine.engine import Engine
from runtime.record.supervise import RecorderProcess
from runtime.run.events import AttemptFinished


def fanout(folder: Path, repeat: int) -> Figures:
    """An `each` of 1,000 items, one a batch, 256 in flight; beside the bounding engine."""
    return with_engine(folder, lambda engine: _fanout(engine, folder, repeat))


async def _fanout(engine: Engine, folder: Path, repeat: int) -> Figures:
    registered = await engine.register(books.fan(), "bench")
    await run_to_end(engine, registered.path, count=500)
    rates, shares, costs = [], [], []
    for n in range(repeat):
        bound = fanout_steps_per_s(fresh(folder / f"bound-{n}"))
        pids, cpu, at = tree(), cpu_s(tree()), time.perf_counter()
        await run_to_end(engine, registered.path, count=1000)
        rates.append(1000 / (time.perf_counter() - at))
        costs.append(cpu_s(pids) - cpu)
        shares.append(rates[-1] / bound)
    return {
        "fanout_steps_per_s": round(statistics.median(rates)),
        "fanout_over_bound": round(statistics.median(shares), 3),
        "cpu_ms_per_step": {"fanout": round(statistics.median(costs), 4)},
        "runs": {"fanout_steps_per_s": [round(r) for r in rates]},
    }


def recorded(folder: Path, repeat: int) -> Figures:
    """Fan-out and chain beside a recorder that follows, as the server has one."""

    async def story(engine: Engine) -> Figures:
        recorder = RecorderProcess(engine.folder)
        await recorder.start(ready_s=60.0)
        engine.subscribe(lambda _: recorder.notify())
        try:
            fan = await _fanout(engine, folder, repeat)
            step = await _chain(engine, folder, repeat)
        finally:
            await recorder.stop(5.0)
        found = (*fan.items(), *step.items())
        costs = fan["cpu_ms_per_step"] | step["cpu_ms_per_step"]
        kept = {name: value for name, value in found if name not in ("cpu_ms_per_step", "runs")}
        return {"with_recorder": kept | {"cpu_ms_per_step": costs}}

    return with_engine(folder, story)


def chain(folder: Path, repeat: int) -> Figures:
    """A chain of 200 steps: from the end of one to the end of the next."""
    return with_engine(folder, lambda engine: _chain(engine, folder, repeat))


async def _chain(engine: Engine, folder: Path, repeat: int, steps: int = 200) -> Figures:
    registered = await engine.register(books.chain(steps), "bench")
    await run_to_end(engine, registered.path)
    p50s, syncs, costs = [], [], []
    for _ in range(repeat):
        syncs.append(fdatasync_p50_ms(folder))
        pids, cpu = tree(), cpu_s(tree())
        run = await run_to_end(engine, registered.path)
        costs.append((cpu_s(pids) - cpu) / steps * 1e3)
        ends = [
            r.at for r in engine.journal.read(f"run/{run}") if isinstance(r.event, AttemptFinished)
        ]
        gaps = [b - a for a, b in pairwise(ends)]
        p50s.append(statistics.median(gaps) * 1e3)
    best = min(range(repeat), key=lambda n: p50s[n] - syncs[n])
    return {
        "chain_p50_ms": round(statistics.median(p50s), 3),
        "fdatasync_p50_ms": round(statistics.median(syncs), 3),
        "cpu_ms_per_step": {"chain": round(statistics.median(costs), 4)},
        "runs": {
            "chain_p50_ms": [round(p, 3) for p in p50s],
            "chain_best_over_fdatasync_ms": round(p50s[best] - syncs[best], 3),
        },
    }


def concurrent(folder: Path, repeat: int) -> Figures:
    """50 runs of 5 steps at once."""
    return _many(folder, repeat, 50, "concurrent_steps_per_s")


def thousand(folder: Path, repeat: int) -> Figures:
    """1,000 runs of 5 steps at once."""
    return _many(folder, repeat, 1000, "concurrent_1000x5_steps_per_s")


def _many(folder: Path, repeat: int, runs: int, name: str) -> Figures:
    async def story(engine: Engine) -> Figures:
        registered = await engine.register(books.chain(5), "bench")
        await run_to_end(engine, registered.path)
        rates = []
        for _ in range(repeat):
            at = time.perf_counter()
            await asyncio.gather(*(run_to_end(engine, registered.path) for _ in range(runs)))
            rates.append(runs * 5 / (time.perf_counter() - at))
        return {
            name: round(statistics.median(rates)),
            "runs": {name: [round(r) for r in rates]},
        }

    return with_engine(folder, story)


def syncs(folder: Path, repeat: int) -> Figures:
    """What strace counts of the engine's own threads while a job runs.

    The workers are left alone: traced, they would be so slow that nothing is grouped.
    """
    return {
        "fdatasyncs_per_step": {
            "chain": round(_count_syncs(fresh(folder / "chain"), "chain", 200) / 200, 3),
            "fanout": round(_count_syncs(fresh(folder / "fan"), "fan", 2500) / 2500, 4),
        }
    }


def _count_syncs(folder: Path, job: str, steps: int) -> int:
    log = folder / "strace"
    program = [sys.executable, "-m", "bench.runtime_rows", job, str(folder), str(steps)]
    pipe = subprocess.PIPE
    with running(program, cwd=ROOT, stdin=pipe, stdout=pipe) as process:
        said = process.stdout.readline() if process.stdout is not None else b""
        threads = [word for tid in said.decode().split() for word in ("-p", tid)]
        trace = ["strace", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(log), *threads]
        with subprocess.Popen(trace) as strace:
            until(lambda: all(_traced(process.pid, tid) for tid in threads[1::2]))
            process.communicate(b"go\n", 60)
            strace.wait(60)
    return len(re.findall(r"(?:fsync|fdatasync)\(", log.read_text()))


def _traced(pid: int, thread: str) -> bool:
    status = Path(f"/proc/{pid}/task/{thread}/status").read_text()
    return "TracerPid:\t0\n" not in status


async def _job(engine: Engine, job: str, steps: int) -> Figures:
    """Warm up, say which threads write, and run the job when told to."""
    bundle = books.chain(steps) if job == "chain" else books.fan()
    registered = await engine.register(bundle, "bench")
    workload = {} if job == "chain" else {"count": steps}
    await run_to_end(engine, registered.path, **workload)
    print(os.getpid(), engine._commit._thread.native_id, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await run_to_end(engine, registered.path, **workload)
    return {}


ROWS: Final[dict[str, Callable[[Path, int], Figures]]] = {
    "fanout": fanout, "concurrent": concurrent, "thousand": thousand, "chain": chain,
    "recorded": recorded, "syncs": syncs, "rss": rss, "cold": cold, "replay": replay,
    "recovery": recovery, "million": million,
}  # fmt: skip


def main(job: str, folder: str, steps: str) -> None:
    """Be one process of a row that needs several."""
    if job == "serve":
        with_engine(Path(folder), lambda engine: serve(engine, int(steps)))
    else:
        with_engine(Path(folder), lambda engine: _job(engine, job, int(steps)))


if __name__ == "__main__":
    main(*sys.argv[1:4])

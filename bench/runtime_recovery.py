"""The rows of beginning: from nothing, from a journal, and after a process was killed."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from bench import runtime_books as books
from bench.runtime_stage import (
    ROOT,
    Figures,
    async_until,
    batches_done,
    command_line,
    fresh,
    run_to_end,
    running,
    until,
    with_engine,
)
from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.journal.sqlite import SqliteReader
from runtime.run.events import AttemptFinished


def cold(folder: Path, repeat: int) -> Figures:
    """From the command `trimtab run FILE` to the moment its first step runs."""
    took = []
    for n in range(repeat + 1):  # the first compiles the modules, as installing does
        file = folder / f"ran-{n}"
        at = time.time()
        with command_line(fresh(folder / str(n)), "run", file) as process:
            process.wait(60)
        took.append(float(file.read_text()) - at)
    del took[0]
    return {
        "cold_start_s": round(statistics.median(took), 3),
        "runs": {"cold_start_s": [round(t, 3) for t in took]},
    }


def replay(folder: Path, repeat: int, steps: int = 25_000) -> Figures:
    """Fold a run of 50,000 events from the journal: read, decode, evolve."""

    async def story(engine: Engine) -> Figures:
        registered = await engine.register(books.fan(), "bench")
        run = await run_to_end(engine, registered.path, count=steps)
        rates = []
        for _ in range(repeat):
            at = time.perf_counter()
            events = engine._folded(run).state.seq
            rates.append(events / (time.perf_counter() - at))
        return {
            "replay_events_per_s": round(statistics.median(rates)),
            "runs": {"replay_events_per_s": [round(r) for r in rates]},
        }

    return with_engine(folder, story)


def recovery(folder: Path, repeat: int) -> Figures:
    """From `kill -9` of a worker, and of the server, to the next attempt that finishes."""
    rounds = range(min(repeat, 3))
    workers = [with_engine(fresh(folder / f"worker-{n}"), _worker_killed)["s"] for n in rounds]
    servers = [_server_killed(folder / f"server-{n}") for n in rounds]
    medians = {"worker": statistics.median(workers), "server": statistics.median(servers)}
    return {
        "recovery_s": medians,
        "runs": {"recovery_s": {"worker": workers, "server": servers}},
    }


async def _worker_killed(engine: Engine) -> Figures:
    registered = await engine.register(books.naps(), "bench")
    run = await engine.submit(Submit(registered.path, {"count": 400}, "bench"))
    await async_until(lambda: batches_done(engine, run) > 20)
    old = int(str(engine._pool.workers()[0]["pid"]))
    others = {int(str(line["pid"])) for line in engine._pool.workers()}
    os.kill(old, signal.SIGKILL)
    at = time.perf_counter()
    # progress on the dead one's seat: a result of a process that was not there before
    await async_until(lambda: _fresh_result(engine, run, others))
    took = time.perf_counter() - at
    await engine.wait(run)
    return {"s": round(took, 3)}


def _fresh_result(engine: Engine, run: str, old: set[int]) -> bool:
    for r in engine.journal.read(f"run/{run}", max(engine._row(run).length - 50, 0)):
        event = r.event
        if not isinstance(event, AttemptFinished) or event.batch < 0:
            continue
        if event.result and event.result not in old:
            return True
    return False


def _server_killed(folder: Path) -> float:
    """Kill whoever runs a run, and start the whole server on what it left."""
    fresh(folder)
    command = [sys.executable, "-m", "bench.runtime_rows", "serve", str(folder), "400"]
    data = DataFolder(folder / "data")
    with running(command, cwd=ROOT):
        until(lambda: _finished(data) > 20)
    quiet = subprocess.DEVNULL
    server = [sys.executable, "-m", "control_plane.cli.front", "--data", str(data.root), "serve"]
    before, at = _finished(data), time.perf_counter()
    with running([*server, "--port", "0"], stdout=quiet, stderr=quiet):
        until(lambda: _finished(data, "succeeded") > before)
        return round(time.perf_counter() - at, 3)


def _finished(data: DataFolder, outcome: str = "") -> int:
    """How many attempts have ended, or succeeded, so far."""
    if not data.journal.exists():
        return 0
    sql = "select count(*) from event where type = 'attempt.finished'"
    sql += f' and body like \'%"outcome":"{outcome}"%\'' if outcome else ""
    try:
        with closing(SqliteReader.open(data.journal)) as reader:
            return int(reader._db.execute(sql).fetchone()[0])
    except Exception:  # the journal is being made
        return 0


async def serve(engine: Engine, steps: int) -> Figures:
    """Run a long run, to be killed."""
    registered = await engine.register(books.naps(), "bench")
    await run_to_end(engine, registered.path, count=steps)
    return {}

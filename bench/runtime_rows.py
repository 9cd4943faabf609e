"""The rows: each measures one thing of the engine, in a process and a folder of its own.

A row warms up, measures, and returns plain figures. It drives the engine from inside,
with two worker processes, except where the command line or a crash is the matter.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from bench import runtime_books as books
from bench.runtime_bound import fanout_steps_per_s
from bench.runtime_limits import fdatasync_p50_ms
from bench.runtime_tree import cpu_s, pss_mb, rss_mb, tree
from runtime.data.folder import DataFolder, write_json
from runtime.engine.engine import Engine, Submit
from runtime.engine.local import open_local
from runtime.journal.sqlite import SqliteReader
from runtime.playbook.bundle import Bundle, unpack
from runtime.record.supervise import RecorderProcess
from runtime.run.events import AttemptFinished

WORKERS: Final = 2
ROOT: Final = Path(__file__).parents[1]
Figures = dict[str, Any]
Story = Callable[[Engine], Coroutine[Any, Any, Figures]]


# ---- speed ------------------------------------------------------------------------------


def fanout(folder: Path, repeat: int) -> Figures:
    """An `each` of 1,000 items, one a batch, 256 in flight; beside the bounding engine."""
    return _with_engine(folder, lambda engine: _fanout(engine, folder, repeat))


async def _fanout(engine: Engine, folder: Path, repeat: int) -> Figures:
    registered = await engine.register(books.fan(), "bench")
    await _run(engine, registered.path, count=500)
    rates, shares, costs = [], [], []
    for n in range(repeat):
        bound = fanout_steps_per_s(_fresh(folder / f"bound-{n}"))
        pids, cpu, at = tree(), cpu_s(tree()), time.perf_counter()
        await _run(engine, registered.path, count=1000)
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

    return _with_engine(folder, story)


def chain(folder: Path, repeat: int) -> Figures:
    """A chain of 200 steps: from the end of one to the end of the next."""
    return _with_engine(folder, lambda engine: _chain(engine, folder, repeat))


async def _chain(engine: Engine, folder: Path, repeat: int, steps: int = 200) -> Figures:
    registered = await engine.register(books.chain(steps), "bench")
    await _run(engine, registered.path)
    p50s, syncs, costs = [], [], []
    for _ in range(repeat):
        syncs.append(fdatasync_p50_ms(folder))
        pids, cpu = tree(), cpu_s(tree())
        run = await _run(engine, registered.path)
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
        await _run(engine, registered.path)
        rates = []
        for _ in range(repeat):
            at = time.perf_counter()
            await asyncio.gather(*(_run(engine, registered.path) for _ in range(runs)))
            rates.append(runs * 5 / (time.perf_counter() - at))
        return {
            name: round(statistics.median(rates)),
            "runs": {name: [round(r) for r in rates]},
        }

    return _with_engine(folder, story)


# ---- syncs ------------------------------------------------------------------------------


def syncs(folder: Path, repeat: int) -> Figures:
    """What strace counts of the engine's own threads while a job runs.

    The workers are left alone: traced, they would be so slow that nothing is grouped.
    """
    return {
        "fdatasyncs_per_step": {
            "chain": round(_count_syncs(_fresh(folder / "chain"), "chain", 200) / 200, 3),
            "fanout": round(_count_syncs(_fresh(folder / "fan"), "fan", 2500) / 2500, 4),
        }
    }


def _count_syncs(folder: Path, job: str, steps: int) -> int:
    log = folder / "strace"
    program = [sys.executable, "-m", "bench.runtime_rows", job, str(folder), str(steps)]
    pipe = subprocess.PIPE
    with _running(program, cwd=ROOT, stdin=pipe, stdout=pipe) as process:
        said = process.stdout.readline() if process.stdout is not None else b""
        threads = [word for tid in said.decode().split() for word in ("-p", tid)]
        trace = ["strace", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(log), *threads]
        with subprocess.Popen(trace) as strace:
            _until(lambda: all(_traced(process.pid, tid) for tid in threads[1::2]))
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
    await _run(engine, registered.path, **workload)
    print(os.getpid(), engine._commit._thread.native_id, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await _run(engine, registered.path, **workload)
    return {}


# ---- memory -----------------------------------------------------------------------------


def rss(folder: Path, repeat: int) -> Figures:
    """`trimtab run` with two workers, and the server, each after some work."""
    return {"rss_mb": {"run": _rss_run(folder), "server": _rss_server(folder)}}


def _rss_run(folder: Path) -> float:
    file = folder / "ran"
    with _command_line(folder, "run", file, stay=600) as process:
        _until(file.exists)
        _until(lambda: len(tree(process.pid)) >= 2 + WORKERS)
        return round(rss_mb(tree(process.pid)), 1)


def _rss_server(folder: Path) -> float:
    data = _data(folder / "server", slots=WORKERS)
    log = (folder / "server.log").open("wb")
    command = [sys.executable, "-m", "control_plane.cli.main", "--data", str(data.root)]
    with _running([*command, "serve", "--port", "0"], stdout=log, stderr=log) as process:
        _until(data.server_json.exists)
        _until(lambda: len(tree(process.pid)) >= 2 + WORKERS)
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
            marks.append((_done(engine, run), time.perf_counter(), cpu_s(pids)))
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

    return _with_engine(folder, story)


def _done(engine: Engine, run: str) -> int:
    actor = engine._actors.get(run)
    each = actor.state.steps["work"].each if actor is not None else None
    return each.batches_done if each is not None else 0


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


# ---- beginning, replay and recovery -----------------------------------------------------


def cold(folder: Path, repeat: int) -> Figures:
    """From the command `trimtab run FILE` to the moment its first step runs."""
    took = []
    for n in range(repeat + 1):  # the first compiles the modules, as installing does
        file = folder / f"ran-{n}"
        at = time.time()
        with _command_line(_fresh(folder / str(n)), "run", file) as process:
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
        run = await _run(engine, registered.path, count=steps)
        rates = []
        for _ in range(repeat):
            at = time.perf_counter()
            events = engine._folded(run).state.seq
            rates.append(events / (time.perf_counter() - at))
        return {
            "replay_events_per_s": round(statistics.median(rates)),
            "runs": {"replay_events_per_s": [round(r) for r in rates]},
        }

    return _with_engine(folder, story)


def recovery(folder: Path, repeat: int) -> Figures:
    """From `kill -9` of a worker, and of the server, to the next attempt that finishes."""
    rounds = range(min(repeat, 3))
    workers = [_with_engine(_fresh(folder / f"worker-{n}"), _worker_killed)["s"] for n in rounds]
    servers = [_server_killed(folder / f"server-{n}") for n in rounds]
    medians = {"worker": statistics.median(workers), "server": statistics.median(servers)}
    return {
        "recovery_s": medians,
        "runs": {"recovery_s": {"worker": workers, "server": servers}},
    }


async def _worker_killed(engine: Engine) -> Figures:
    registered = await engine.register(books.naps(), "bench")
    run = await engine.submit(Submit(registered.path, {"count": 400}, "bench"))
    await _async_until(lambda: _done(engine, run) > 20)
    old = int(str(engine._pool.workers()[0]["pid"]))
    others = {int(str(line["pid"])) for line in engine._pool.workers()}
    os.kill(old, signal.SIGKILL)
    at = time.perf_counter()
    # progress on the dead one's seat: a result of a process that was not there before
    await _async_until(lambda: _fresh_result(engine, run, others))
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
    _fresh(folder)
    command = [sys.executable, "-m", "bench.runtime_rows", "serve", str(folder), "400"]
    data = DataFolder(folder / "data")
    with _running(command, cwd=ROOT):
        _until(lambda: _finished(data) > 20)
    quiet = subprocess.DEVNULL
    server = [sys.executable, "-m", "control_plane.cli.front", "--data", str(data.root), "serve"]
    before, at = _finished(data), time.perf_counter()
    with _running([*server, "--port", "0"], stdout=quiet, stderr=quiet):
        _until(lambda: _finished(data, "succeeded") > before)
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


async def _serve(engine: Engine, steps: int) -> Figures:
    """Run a long run, to be killed."""
    registered = await engine.register(books.naps(), "bench")
    await _run(engine, registered.path, count=steps)
    return {}


# ---- the stage --------------------------------------------------------------------------


ROWS: Final[dict[str, Callable[[Path, int], Figures]]] = {
    "fanout": fanout, "concurrent": concurrent, "thousand": thousand, "chain": chain,
    "recorded": recorded, "syncs": syncs, "rss": rss, "cold": cold, "replay": replay,
    "recovery": recovery, "million": million,
}  # fmt: skip


def _with_engine(folder: Path, story: Story) -> Figures:
    async def told() -> Figures:
        async with open_local(DataFolder(folder / "data"), WORKERS) as engine:
            return await story(engine)

    return asyncio.run(told())


async def _run(engine: Engine, path: str, **workload: Any) -> str:
    run = await engine.submit(Submit(path, workload, "bench"))
    row = await engine.wait(run)
    if row.state != "completed":
        raise RuntimeError(f"{path} {row.state}: {engine.state(run).fault}")
    return run


@contextmanager
def _command_line(
    folder: Path, verb: str, file: Path, stay: float = 0
) -> Iterator[subprocess.Popen[bytes]]:
    data, book = _data(folder / "data", slots=WORKERS), folder / "book"
    bundle: Bundle = books.one()
    unpack(bundle, book)
    command = [sys.executable, "-m", "control_plane.cli.front", "--data", str(data.root), verb]
    inputs = ["--set", f"file={file}", "--set", f"stay={stay}"]
    path = str(next(book.glob("*.yaml")))
    quiet = subprocess.DEVNULL
    with _running([*command, path, *inputs], stdout=quiet, stderr=quiet) as process:
        yield process


@contextmanager
def _running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def _data(root: Path, slots: int) -> DataFolder:
    data = DataFolder(root)
    data.prepare()
    write_json(data.settings, {"workers": {"slots": slots}})
    return data


def _fresh(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _until(true: Callable[[], bool], patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("it never came true")
        time.sleep(0.005)


async def _async_until(true: Callable[[], bool], patience_s: float = 60.0) -> None:
    deadline = time.monotonic() + patience_s
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError("it never came true")
        await asyncio.sleep(0.005)


def main(job: str, folder: str, steps: str) -> None:
    """Be one process of a row that needs several."""
    if job == "serve":
        _with_engine(Path(folder), lambda engine: _serve(engine, int(steps)))
    else:
        _with_engine(Path(folder), lambda engine: _job(engine, job, int(steps)))


if __name__ == "__main__":
    main(*sys.argv[1:4])

"""`make bench-waiting`: runs that wait on timers and signals cost no CPU and outlive a kill -9.

Half of the runs wait until a time far off, half for a signal. One JSON object says what they
cost while nothing happens, how long a start with all of them takes, and that every one of them
ended once its time or its signal had come::

    python -m bench.waiting --runs 10000 --save bench/results/waiting.json
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.machine import machine
from bench.runtime_limits import limits
from bench.runtime_tree import cpu_s, pss_mb, rss_mb, tree

TIMER: Final = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: bench/timer}
workload: {until: {type: string, default: ""}}
workflow:
  - step: wait
    tool: {kind: wait, until: "{{ workload.until }}"}
"""
SIGNAL: Final = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: bench/signal}
workflow:
  - step: wait
    tool: {kind: signal, name: go}
"""
DONE: Final = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: bench/done}
workflow:
  - step: pass
"""
AT_ONCE: Final = 500


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    asked.add_argument("--runs", type=int, default=10_000)
    asked.add_argument("--ended", type=int, default=10_000, help="runs that ended before")
    asked.add_argument("--quiet-s", type=float, default=20.0)
    asked.add_argument("--timers-s", type=float, default=300.0, help="when timers are due")
    asked.add_argument("--folder", type=Path, help="where the data goes: a disk that syncs")
    asked.add_argument("--save", type=Path)
    asked.add_argument("--be", type=Path, help=argparse.SUPPRESS)
    args = asked.parse_args()
    if args.be:
        asyncio.run(_be(args.be))
        return
    place = Path(tempfile.mkdtemp(prefix="waiting-", dir=args.folder))
    try:
        told = measured(place, args.runs, args.ended, args.quiet_s, args.timers_s)
    finally:
        shutil.rmtree(place)
    text = json.dumps(told, indent=1)
    print(text)
    if args.save:
        args.save.write_text(text + "\n", encoding="utf-8")


def measured(
    place: Path, runs: int, ended: int, quiet_s: float, timers_s: float
) -> dict[str, Any]:
    """Tell the whole story, in engines of their own process."""
    told: dict[str, Any] = {"runs": runs, "ended_before": ended, "limits": limits(place)}
    engine = Engine(place / "data")
    engine.ask("done", count=ended)
    before = engine.memory()
    until = datetime.fromtimestamp(time.time() + timers_s, UTC).isoformat()
    told["submit_s"] = engine.ask("submit", count=runs, until=until)["took_s"]
    told["memory"] = engine.grown(before, runs)
    told["quiet"] = engine.quiet(quiet_s)
    engine.kill()
    again = Engine(place / "data")
    told["restart"] = {
        "to_ready_s": round(again.took_s, 2), "cpu_s": round(again.cpu(), 2),
        "waiting": again.ask("count").get("live", 0), "memory": again.grown(before, runs),
        "quiet": again.quiet(quiet_s),
    }  # fmt: skip
    told["signals_s"] = again.ask("signal")["took_s"]
    print("waiting for the timers", file=sys.stderr, flush=True)
    told["at_the_end"] = again.ask("ended")
    again.kill()
    return told | {"machine": machine()}


class Engine:
    """An engine in a process of its own, that does what it is told line by line."""

    def __init__(self, data: Path) -> None:
        began = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.waiting", "--be", str(data)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._answer()
        self.took_s = time.perf_counter() - began

    def ask(self, verb: str, **more: Any) -> dict[str, Any]:
        """Have something done, and return what came of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"verb": verb, **more}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the engine is gone: {self._process.wait()}")
        told: dict[str, Any] = json.loads(line)
        return told

    def cpu(self) -> float:
        return cpu_s(tree(self._process.pid))

    def memory(self) -> dict[str, float]:
        """What the engine's own process holds, workers apart."""
        pids = [self._process.pid]
        return {"rss_mb": rss_mb(pids), "pss_mb": pss_mb(pids)}

    def grown(self, before: dict[str, float], runs: int) -> dict[str, float]:
        """The memory now, and what it has grown by for each run since."""
        now = self.memory()
        kb = (now["rss_mb"] - before["rss_mb"]) * 1024 / runs
        return {"rss_mb": round(now["rss_mb"], 1), "kb_per_run": round(kb, 2)}

    def quiet(self, seconds: float) -> dict[str, float]:
        """What the process tree uses while nothing happens."""
        before = self.cpu()
        time.sleep(seconds)
        return {"seconds": seconds, "cpu_s": round(self.cpu() - before, 4)}

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


async def _be(data: Path) -> None:
    """Be the engine: answer each line with one line."""
    from runtime.data.folder import DataFolder
    from runtime.engine.local import open_local
    from runtime.playbook.bundle import load_text

    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    async with open_local(DataFolder(data), slots=1) as engine:
        for source in (TIMER, SIGNAL, DONE):
            await engine.register(load_text(source, {}), "bench")
        print(json.dumps({"ready": os.getpid()}), flush=True)
        async for line in reader:
            order = json.loads(line)
            began = time.perf_counter()
            told = await _VERBS[order.pop("verb")](engine, **order)
            gc.collect()
            took = round(time.perf_counter() - began, 2)
            print(json.dumps({"took_s": took, **told}), flush=True)


async def _submit(engine: Any, count: int, until: str) -> dict[str, Any]:
    from runtime.engine.engine import Submit

    wanted = [
        Submit("bench/timer", {"until": until}) if n % 2 else Submit("bench/signal")
        for n in range(count)
    ]
    for first in range(0, count, AT_ONCE):
        await asyncio.gather(*map(engine.submit, wanted[first : first + AT_ONCE]))
    return {}


async def _done(engine: Any, count: int) -> dict[str, Any]:
    from runtime.engine.engine import Submit

    for first in range(0, count, AT_ONCE):
        some = range(min(AT_ONCE, count - first))
        runs = await asyncio.gather(*(engine.submit(Submit("bench/done")) for _ in some))
        await asyncio.gather(*map(engine.wait, runs))
    return {}


async def _count(engine: Any) -> dict[str, Any]:
    rows = engine.journal.runs(state="live", limit=10_000_000)
    return {"live": len(rows), "in_memory": engine.status["runs"]}


async def _signal(engine: Any) -> dict[str, Any]:
    rows = engine.journal.runs(state="live", playbook="bench/signal", limit=10_000_000)
    runs = [row.run for row in rows]
    for first in range(0, len(runs), AT_ONCE):
        some = runs[first : first + AT_ONCE]
        await asyncio.gather(*(engine.signal(run, "go", 1, "bench") for run in some))
        await asyncio.gather(*map(engine.wait, some))
    return {"signalled": len(runs)}


async def _ended(engine: Any) -> dict[str, Any]:
    """Wait until all have ended, and say how."""
    live = engine.journal.runs(state="live", limit=10_000_000)
    await asyncio.gather(*(engine.wait(row.run) for row in live))
    rows = engine.journal.runs(limit=10_000_000)
    waited = [r for r in rows if r.playbook != "bench/done"]
    return dict(Counter(row.state for row in waited))


_VERBS: Final = {
    "submit": _submit, "done": _done, "count": _count, "signal": _signal, "ended": _ended,
}  # fmt: skip

if __name__ == "__main__":
    main()

"""What the runtime costs, `make bench`: the measures of DESIGN §16 that can be taken here.

Each is taken a few times, in a fresh data folder, with two workers; the best and the
median are shown beside the floor that DESIGN names. The result goes to
``bench/results/bench.json`` with what the machine was.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.engine.local import open_local
from runtime.playbook.bundle import load_text
from runtime.run.replay import replay

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results" / "bench.json"
CLI = (sys.executable, "-m", "control_plane.cli.main")
TIMES = 5
WORKERS = 2
HEAD = "apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {path: bench/%s}\nworkflow:\n"
NOTHING = "{kind: python, code: 'result = None'}"


@dataclass
class Measure:
    """One figure: what was measured, in which unit, and DESIGN's floor for it."""

    name: str
    unit: str
    floor: float
    less_is_better: bool
    values: list[float]

    @property
    def best(self) -> float:
        return (min if self.less_is_better else max)(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def reached(self) -> bool:
        return self.best <= self.floor if self.less_is_better else self.best >= self.floor


def fan_out(items: int) -> str:
    """One step over many items, one a batch."""
    each = f"{{in: '{{{{ range({items}) }}}}', batch: 1, in_flight: 256}}"
    return HEAD % "fan_out" + f"  - step: many\n    each: {each}\n    tool: {NOTHING}\n"


def chain(steps: int) -> str:
    """Steps one after the other."""
    lines = [HEAD % f"chain_{steps}"]
    for n in range(steps):
        lines.append(f"  - step: s{n}\n    tool: {NOTHING}\n")
        if n + 1 < steps:
            lines.append(f"    next: s{n + 1}\n")
    return "".join(lines)


async def start(engine: Engine, text: str) -> str:
    """Register a playbook, run it once so that the workers are warm, and return its path."""
    bundle = load_text(text, {})
    await engine.register(bundle, "bench")
    await engine.wait(
        await engine.submit(Submit(playbook=bundle.path, workload={}, actor="bench"))
    )
    return str(bundle.path)


async def runs(engine: Engine, path: str, count: int) -> float:
    """Return the seconds that some runs at once take."""
    began = time.perf_counter()
    ids = [
        await engine.submit(Submit(playbook=path, workload={}, actor="bench"))
        for _ in range(count)
    ]
    for run in ids:
        row = await engine.wait(run)
        assert row.state == "completed", row
    return time.perf_counter() - began


async def rate(engine: Engine, text: str, count: int, steps: int) -> float:
    """Return steps a second over some runs at once."""
    path = await start(engine, text)
    return count * steps / await runs(engine, path, count)


async def chain_ms(engine: Engine) -> float:
    """Return the milliseconds of a step in a chain, less an fdatasync of this minute."""
    path = await start(engine, chain(100))
    step_ms = await runs(engine, path, 1) * 10
    return step_ms - sync_ms(engine.folder.root)


def sync_ms(folder: Path) -> float:
    """Return the median milliseconds of appending a little and syncing it."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(50):
            file.write(b"x" * 600)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


async def replay_rate(engine: Engine) -> float:
    """Return the events a second that folding a run's stream takes."""
    path = await start(engine, fan_out(5000))
    (row,) = engine.journal.runs(playbook=path, limit=1)
    net = engine.catalogue.latest(path).net
    began = time.perf_counter()
    replay(row.run, net, engine.journal.read(f"run/{row.run}"))
    return row.length / (time.perf_counter() - began)


def measured(taken: Callable[[Engine], Awaitable[float]], times: int = TIMES) -> list[float]:
    """Take a measure some times, each on an engine of its own."""

    async def once() -> float:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TRIMTAB_BENCH")) as folder:
            async with open_local(DataFolder(Path(folder)), WORKERS) as engine:
                return await taken(engine)

    return [asyncio.run(once()) for _ in range(times)]


def cold_start() -> float:
    """Return the seconds from `trimtab run` to the end of a run of one step."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "one.yaml"
        file.write_text(chain(1), encoding="utf-8")
        words = [
            sys.executable,
            "-m",
            "control_plane.cli.main",
            "--data",
            folder,
            "run",
            str(file),
        ]
        began = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True, cwd=ROOT)
        return time.perf_counter() - began


def help_cpu() -> float:
    """Return the CPU seconds of `trimtab --help`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*CLI, "--help"], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def measures() -> list[Measure]:
    """Take every measure."""
    return [
        Measure("fan-out of 1,000 steps", "steps/s", 8000, False,
                measured(lambda e: rate(e, fan_out(1000), 1, 1000))),
        Measure("50 runs × 5 steps at once", "steps/s", 4000, False,
                measured(lambda e: rate(e, chain(5), 50, 5))),
        Measure("chain, a step over fdatasync", "ms", 1.0, True, measured(chain_ms)),
        Measure("replay", "events/s", 150_000, False, measured(replay_rate)),
        Measure("`trimtab run` of one step, cold", "s", 0.6, True,
                [cold_start() for _ in range(TIMES)]),
        Measure("`trimtab --help`", "CPU s", 0.5, True, [help_cpu() for _ in range(TIMES)]),
    ]  # fmt: skip


def shown(figure: float) -> str:
    """Return a figure with as many digits as it deserves."""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def main() -> int:
    """Measure, show, write."""
    taken = measures()
    table = Table("measure", "best", "median", "floor", "unit", "")
    for m in taken:
        mark = "reached" if m.reached else "[yellow]not reached"
        table.add_row(m.name, shown(m.best), shown(m.median), shown(m.floor), m.unit, mark)
    Console().print(table)
    told = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),  # noqa: TID251
        "python": platform.python_version(), "cores": os.cpu_count(),
        "measures": [
            {"name": m.name, "unit": m.unit, "floor": m.floor, "best": m.best,
             "median": m.median, "reached": m.reached} for m in taken
        ],
    }  # fmt: skip
    RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Hundreds of runs that wait: they cost nothing, outlive a kill -9, and all end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine
from runtime.journal.sqlite import SqliteReader
from runtime.workers.local import LocalPool

RUNS = 300
DAY_S = 86_400
SERVER = """
import asyncio, sys, time
from pathlib import Path
from runtime.data.folder import DataFolder
from runtime.engine.engine import Submit
from runtime.engine.local import open_local
from runtime.playbook.bundle import load_text

BOOK = '''
apiVersion: trimtab/v1
kind: Playbook
metadata: {{path: test/{0}}}
workflow:
  - step: wait
    tool: {1}
'''

async def main():
    async with open_local(DataFolder(Path(sys.argv[1])), slots=1) as engine:
        await engine.register(load_text(BOOK.format("timer", "{kind: wait, for: 12h}"), {}), "me")
        await engine.register(load_text(BOOK.format("go", "{kind: signal, name: go}"), {}), "me")
        await engine.register(load_text(BOOK.format("done", "{kind: wait, for: 10ms}"), {}), "me")
        for run in [await engine.submit(Submit("test/done")) for _ in range(5)]:
            await engine.wait(run)
        books = ["test/timer", "test/go"] * (int(sys.argv[2]) // 2)
        await asyncio.gather(*(engine.submit(Submit(book)) for book in books))
        used = time.process_time()
        await asyncio.sleep(1.0)
        print(time.process_time() - used, engine.status["runs"], flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def left_by_a_kill(folder: DataFolder) -> tuple[float, int]:
    """Have a server submit the runs and wait, and end it; returns the CPU of a quiet second."""
    command = [sys.executable, "-c", SERVER, str(folder.root), str(RUNS)]
    environ = os.environ | {"PYTHONPATH": os.getcwd()}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as server:
        assert server.stdout is not None
        used, live = server.stdout.readline().split()
        server.send_signal(signal.SIGKILL)
    return float(used), int(live)


def test_runs_that_wait_cost_no_cpu_and_go_on_after_a_kill(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    used_s, live = left_by_a_kill(folder)
    assert live == RUNS
    assert used_s < 0.2

    async def story() -> None:
        engine = await Engine.open(folder, LocalPool(1, folder))
        rows = engine.journal.runs(state="live", limit=1000)
        assert len(rows) == engine.status["runs"] == RUNS  # of the ended ones none is in memory
        go = [row.run for row in rows if row.playbook == "test/go"]
        await asyncio.gather(*(engine.signal(run, "go", 1, "me") for run in go))
        await asyncio.gather(*map(engine.wait, go))
        assert engine.status["runs"] == RUNS - len(go)
        await engine.close()

        engine = await Engine.open(folder, LocalPool(1, folder), clock=lambda: time.time() + DAY_S)
        rows = engine.journal.runs(state="live", limit=1000)
        await asyncio.gather(*(engine.wait(row.run) for row in rows))
        await engine.close()

    asyncio.run(story())
    reader = SqliteReader.open(folder.journal)
    assert {row.state for row in reader.runs(limit=1000)} == {"completed"}
    reader.close()

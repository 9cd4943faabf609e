"""Short attempts that wait behind one another: a killed worker costs only what it had begun."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from runtime.data.folder import DataFolder
from runtime.engine.engine import Submit
from runtime.engine.local import open_local
from runtime.playbook.bundle import load_text
from runtime.run.events import AttemptFinished, AttemptScheduled
from runtime.run.evolve import evolve
from runtime.run.state import new_run

YAML = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/short}
workflow:
  - step: make
    tool: {kind: python, call: "short:make"}
    next: work
  - step: work
    each: {in: "{{ make }}", batch: 1, in_flight: 200}
    tool: {kind: python, call: "short:work"}
    effect: idempotent
"""
CODE = """
import os, signal
from pathlib import Path

def make():
    return list(range(1000))

def work(items, run_folder):
    marker = Path(run_folder) / f"killed-{items[0]}"
    if items[0] in (400, 401, 700) and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return items[0]
"""


def test_what_a_killed_worker_had_not_begun_is_run_again_without_a_lost_event(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with open_local(DataFolder(tmp_path / "data"), slots=2) as engine:
            await engine.register(load_text(YAML, {"short.py": CODE}), "me")
            run = await engine.submit(Submit("test/short"))
            assert (await engine.wait(run)).state == "completed"
            events = list(engine.journal.read(f"run/{run}"))
            scheduled = [r.event for r in events if isinstance(r.event, AttemptScheduled)]
            finished = [r.event for r in events if isinstance(r.event, AttemptFinished)]
            assert sorted(e.attempt for e in scheduled) == sorted(e.attempt for e in finished)
            outcomes = Counter(e.outcome for e in finished)
            assert outcomes["succeeded"] == 1001
            assert 3 <= outcomes["lost"] == len(finished) - 1001
            # reports are held for 2 ms at most: what was begun then, and never all that waited
            assert outcomes["lost"] < 300
            assert [r.stream_seq for r in events] == list(range(1, len(events) + 1))
            assert engine.values(run)["work"]["results"] == list(range(1000))
            folded = new_run(run, engine.version_of(run).net)
            for r in events:
                evolve(folded, r.event, r.at)  # type: ignore[arg-type]
            assert folded.hash() == engine.state(run).hash()

    asyncio.run(story())

"""One turn of the engine: what workers report together is decided and written together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.playbook.bundle import load_text
from runtime.run.events import AttemptFinished, Recorded, RunCancelRequested
from runtime.workers.port import OnReport
from runtime.workers.protocol import Report, Task

YAML = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/turn}
workflow:
  - step: work
    each: {in: "{{ range(40) }}", batch: 1, in_flight: 10}
    tool: {kind: python, code: "result = 1"}
"""


class Desk:
    """A pool in this process: it keeps what it is given until it is told to report."""

    name, slots = "desk", 10

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.reports: OnReport

    def start(
        self, loop: asyncio.AbstractEventLoop, on_report: OnReport,
        on_room: Callable[[], None] = bool,
    ) -> None:  # fmt: skip
        self.reports = on_report

    def free(self) -> int:
        return self.slots - len(self.tasks)

    def room(self, expect_s: float) -> bool:
        return self.free() > 0

    def send(self, task: Task, expect_s: float | None = None) -> str:
        self.tasks.append(task)
        return self.name

    def flush(self) -> None:
        """Everything is there already."""

    def kill(self, slot: int, outcome: str, told: str = "") -> None:
        ended = next(t for t in self.tasks if t.slot == slot)
        self.tasks.remove(ended)
        self.reports(self.name, Report(slot, ended.attempt, outcome))

    def health(self) -> dict[str, Any]:
        return {}

    def workers(self) -> list[dict[str, object]]:
        return []

    async def stop(self, grace_s: float = 2.0) -> None:
        self.tasks.clear()

    def report_all(self) -> None:
        """Every task has ended, all in one turn of the loop."""
        done, self.tasks = self.tasks, []
        for task in done:
            self.reports(self.name, Report(task.slot, task.attempt, "succeeded", result=1))


@asynccontextmanager
async def opened(folder: Path) -> Any:
    desk = Desk()
    engine = await Engine.open(DataFolder(folder / "data"), desk)
    try:
        await engine.register(load_text(YAML, {}), "me")
        yield engine, desk
    finally:
        await engine.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(240):
        while not true():
            await asyncio.sleep(0.001)


def ends(engine: Engine, run: str) -> Iterator[Recorded]:
    return (r for r in engine.journal.read(f"run/{run}") if isinstance(r.event, AttemptFinished))


def test_what_is_reported_together_is_one_decision_and_one_commit(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path) as (engine, desk):
            run = await engine.submit(Submit("test/turn"))
            for done in (10, 20, 30, 40):
                await until(lambda: len(desk.tasks) == 10)
                before = engine.status["commits"]
                desk.report_all()
                await until(lambda done=done: len(list(ends(engine, run))) == done)  # type: ignore[misc]
                assert engine.status["commits"] == before + 1
            assert len({r.at for r in ends(engine, run)}) == 4
            assert (await engine.wait(run)).state == "completed"

    asyncio.run(story())


def test_a_command_finds_decided_what_was_reported_before_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with opened(tmp_path) as (engine, desk):
            run = await engine.submit(Submit("test/turn"))
            await until(lambda: len(desk.tasks) == 10)
            desk.report_all()
            await engine.cancel(run, "me")
            events = [r.event for r in engine.journal.read(f"run/{run}")]
            asked = next(n for n, e in enumerate(events) if isinstance(e, RunCancelRequested))
            before = [e.outcome for e in events[:asked] if isinstance(e, AttemptFinished)]
            assert before == ["succeeded"] * 10

    asyncio.run(story())

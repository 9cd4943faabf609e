"""What the server collects, and what it never does: all that a run still needs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest

from control_plane.errors import Conflict
from control_plane.settings import RetentionSettings
from control_plane.upkeep import Upkeep
from runtime.data.folder import DataFolder
from runtime.data.objects import Objects
from runtime.engine.engine import Engine, Submit
from runtime.engine.errors import Gone
from runtime.playbook.bundle import load_text
from runtime.retention.collect import DAY_S
from runtime.run.events import AttemptFinished
from runtime.workers.local import LocalPool

YAML = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/keeps}
workload:
  rows: {type: any, default: null}
workflow:
  - step: make
    tool: {kind: python, code: "result = list(range(30_000))"}
    next: wait
  - step: wait
    tool: {kind: signal, name: go}
    next: total
  - step: total
    tool:
      kind: python
      code: |
        def main(numbers):
            return {"rows": [str(n) for n in numbers]}
    with: {numbers: "{{ make }}"}
"""


class House:
    """An engine whose clock can be put forward, and its collector."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.engine: Engine
        self.upkeep: Upkeep

    def clock(self) -> float:
        return time.time() + self.ahead_s

    def pass_days(self, days: float) -> None:
        self.ahead_s += days * DAY_S

    async def submit(self, **workload: Any) -> str:
        return await self.engine.submit(Submit("test/keeps", workload))

    async def ended(self, **workload: Any) -> str:
        run = await self.submit(**workload)
        await self.engine.signal(run, "go", None, "me")
        assert (await self.engine.wait(run)).state == "completed"
        return run


@contextlib.asynccontextmanager
async def house(folder: DataFolder) -> Any:
    made = House()
    made.engine = await Engine.open(folder, LocalPool(2, folder), clock=made.clock)
    try:
        await made.engine.register(load_text(YAML, {}), "me")
        made.upkeep = Upkeep(made.engine, RetentionSettings(), made.clock)
        yield made
        await made.upkeep.close()
    finally:
        await made.engine.close()


def made_at(engine: Engine, run: str) -> int:
    """The event with which the value of ``make`` came to be."""
    events = engine.journal.read(f"run/{run}")
    return next(r.stream_seq for r in events if isinstance(r.event, AttemptFinished))


def test_values_go_first_then_results_and_what_a_live_run_needs_never(folder: DataFolder) -> None:
    async def story() -> None:
        async with house(folder) as here:
            await here.ended()
            live = await here.submit(rows=[1])
            folder.run(live).mkdir(parents=True, exist_ok=True)
            here.pass_days(91)
            would = await here.upkeep.collect(dry_run=True)
            told = await here.upkeep.collect()
            assert would.objects == told.objects == 0, "the live run made the same value"
            await here.engine.signal(live, "go", None, "me")
            assert (await here.engine.wait(live)).state == "completed"
            here.pass_days(91)
            assert (await here.upkeep.collect()).objects == 1
            assert here.upkeep.last.scratch_folders == 1
            assert not folder.run(live).exists()
            assert len(list(folder.objects.glob("??/*"))) == 1, "the result stays"
            here.pass_days(731)
            assert (await here.upkeep.collect()).objects == 1
            assert not list(folder.objects.glob("??/*"))

    asyncio.run(story())


def test_a_run_on_a_value_that_is_gone_is_refused_and_one_that_is_there_is_held(
    folder: DataFolder,
) -> None:
    async def story() -> None:
        async with house(folder) as here:
            old = await here.ended()
            ref = here.engine.values(old)["make"]
            here.pass_days(89)
            again = await here.submit(rows=ref)
            here.pass_days(30)
            await here.upkeep.collect()
            assert Objects(folder.objects).read_json(ref)[:2] == [0, 1], "the new run holds it"
            await here.engine.signal(again, "go", None, "me")
            await here.engine.wait(again)
            here.pass_days(200)
            assert (await here.upkeep.collect()).objects == 1
            with pytest.raises(Gone, match="was released"):
                await here.submit(rows=ref)
            with pytest.raises(Gone, match="was released"):
                await here.engine.fork(old, made_at(here.engine, old), "me")

    asyncio.run(story())


def test_nothing_is_collected_while_the_journal_cannot_be_written(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with house(folder) as here:
            here.engine._commit.stalled = True
            with pytest.raises(Conflict, match="cannot be written"):
                await here.upkeep.collect()
            here.engine._commit.stalled = False

    asyncio.run(story())


def test_the_server_collects_by_itself_after_a_while_and_again(folder: DataFolder) -> None:
    async def story() -> None:
        async with house(folder) as here:
            stray = Objects(folder.objects).put_json("nobody needs it")
            here.pass_days(1)
            hourly = RetentionSettings(every_hours=1e-6)
            upkeep = Upkeep(here.engine, hourly, here.clock, first_s=0.0)
            upkeep.start()
            while upkeep.last is None or upkeep.last.kept != 0:
                await asyncio.sleep(0)
            await upkeep.close()
            assert (
                not Objects(folder.objects)
                .root.joinpath(stray["$ref"][:2], stray["$ref"])
                .exists()
            )

    asyncio.run(story())

"""An each that reduces comes to what gathering would have, and its journal replays."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

from runtime.data.folder import DataFolder
from runtime.engine.engine import Submit
from runtime.engine.local import open_local
from runtime.playbook.bundle import load_text
from runtime.run.events import AttemptFinished
from runtime.run.replay import replay

HEAD = "apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {path: t/sums}\n"
STEP = """workflow:
  - step: sums
    each:
      in: "{{ range(200) }}"
      batch: 3
      in_flight: 4
      failures: {allow: 20%}
      REDUCE
    tool:
      kind: python
      code: |
        if items[0] % 30 == 0:
            raise ValueError("not this one")
        result = {"sum": sum(items) / 10, "worst": max(items), "by": {str(items[0] % 9): items[0]}}
"""
REDUCE = """reduce:
        total: {add: "{{ sums.sum }}"}
        worst: {max: "{{ sums.worst }}"}
        first: {min: "{{ sums.worst }}"}
        by: {merge: "{{ sums.by }}"}
        all: {append: "{{ sums.worst }}"}"""


def test_what_is_reduced_is_what_gathering_would_have_come_to(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_local(DataFolder(tmp_path / "data"), slots=2) as engine:
            values: list[Any] = []
            for reduce in ("", REDUCE):
                await engine.register(load_text(HEAD + STEP.replace("REDUCE", reduce), {}), "me")
                run = await engine.submit(Submit("t/sums"))
                assert (await asyncio.wait_for(engine.wait(run), 240)).state == "completed"
                values.append(engine.values(run)["sums"])
            gathered, reduced = values[0]["results"], values[1]["reduced"]
            assert "results" not in values[1]
            assert values[1]["failed"] == values[0]["failed"] > 0
            assert reduced == {
                "total": math.fsum(r["sum"] for r in gathered),
                "worst": max(r["worst"] for r in gathered),
                "first": min(r["worst"] for r in gathered),
                "by": {key: r["by"][key] for r in gathered for key in r["by"]},
                "all": [r["worst"] for r in gathered],
            }
            events = list(engine.journal.read(f"run/{run}"))
            assert replay(run, engine.version_of(run).net, events).equal
            ends = [r.event for r in events if isinstance(r.event, AttemptFinished)]
            assert all(e.result is None for e in ends)
            assert all((e.folds is None) == (e.outcome != "succeeded") for e in ends)

    asyncio.run(story())


def test_a_result_that_cannot_be_reduced_fails_its_batch_and_says_where(tmp_path: Path) -> None:
    text = HEAD + STEP.replace("REDUCE", 'reduce: {total: {add: "{{ sums.summ }}"}}')

    async def story() -> None:
        async with open_local(DataFolder(tmp_path / "data"), slots=2) as engine:
            await engine.register(load_text(text, {}), "me")
            run = await engine.submit(Submit("t/sums"))
            assert (await asyncio.wait_for(engine.wait(run), 240)).state == "failed"
            fault = engine.state(run).fault
            assert fault is not None
            assert fault.cls in ("expression", "permanent")

    asyncio.run(story())


def test_an_each_over_nothing_comes_to_nothing(tmp_path: Path) -> None:
    text = HEAD + STEP.replace("range(200)", "[]").replace("REDUCE", REDUCE)

    async def story() -> None:
        async with open_local(DataFolder(tmp_path / "data"), slots=2) as engine:
            await engine.register(load_text(text, {}), "me")
            run = await engine.submit(Submit("t/sums"))
            await asyncio.wait_for(engine.wait(run), 240)
            assert engine.values(run)["sums"]["reduced"] == {
                "total": None, "worst": None, "first": None, "by": {}, "all": [],
            }  # fmt: skip

    asyncio.run(story())

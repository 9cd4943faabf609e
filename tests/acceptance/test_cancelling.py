"""Cancelling with real workers: what is below ends too, what ends a run still runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from runtime.data.folder import DataFolder
from runtime.engine import family
from runtime.engine.engine import Engine, Submit
from runtime.engine.errors import CannotSteer, EngineError
from runtime.engine.local import open_local
from runtime.playbook.bundle import load_text
from runtime.run.events import AttemptFinished, RunCancelRequested, RunHurried

BOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/%s}
workflow:
  - step: work
    tool: %s
finally:
  - step: close
    tool: {kind: python, call: "work:close"}
"""
HOLD = '{kind: python, call: "work:hold"}'
CODE = """
import time
from pathlib import Path

PLACE = Path("%s")

def hold():
    (PLACE / "holds").touch()
    time.sleep(600)

def close():
    (PLACE / "closes").touch()
    while (PLACE / "wait").exists():
        time.sleep(0.01)
"""


async def seen(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.01)


def register(engine: Engine, place: Path, name: str, tool: str) -> Any:
    files = {"work.py": CODE % place}
    return engine.register(load_text(BOOK % (name, tool), files), "me")


def events(engine: Engine, run: str, kind: type) -> list[Any]:
    return [r.event for r in engine.journal.read(f"run/{run}") if isinstance(r.event, kind)]


def ends(engine: Engine, run: str, step: str) -> list[str]:
    return [e.outcome for e in events(engine, run, AttemptFinished) if e.step == step]


def test_to_cancel_a_run_cancels_those_below_it_and_those_below_them(tmp_path: Path) -> None:
    async def story() -> None:
        async with open_local(DataFolder(tmp_path / "data"), slots=2) as engine:
            await register(engine, tmp_path, "last", HOLD)
            for name, below in (("middle", "last"), ("first", "middle")):
                tool = f"{{kind: playbook, path: test/{below}}}"
                await register(engine, tmp_path, name, tool)
            run = await engine.submit(Submit("test/first"))
            await seen(tmp_path / "holds")
            await engine.cancel(run, "me", "enough")
            await engine.cancel(run, "me", "enough")
            await engine.wait(run)
            rows = engine.journal.runs(system=None)
            assert {row.playbook: row.state for row in rows} == {
                "test/first": "cancelled", "test/middle": "cancelled", "test/last": "cancelled",
            }  # fmt: skip
            for row in rows:
                (asked,) = events(engine, row.run, RunCancelRequested)
                assert (asked.actor == "me") is (row.run == run)
                assert ends(engine, row.run, "close") == ["succeeded"]
            await engine.cancel(run, "me")  # it is cancelled: nothing changes
            with pytest.raises(EngineError, match="has ended: it is cancelled"):
                await engine.pause(run, "me")

    asyncio.run(story())


def test_now_gives_no_grace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family, "CANCEL_GRACE_S", 3600.0)

    async def story() -> None:
        async with open_local(DataFolder(tmp_path / "data"), slots=2) as engine:
            await register(engine, tmp_path, "hold", HOLD)
            run = await engine.submit(Submit("test/hold"))
            await seen(tmp_path / "holds")
            await engine.cancel(run, "me")
            with pytest.raises(CannotSteer, match="is cancelling: one that runs or is paused"):
                await engine.pause(run, "me")
            await engine.cancel(run, "me", "hurry", now=True)
            assert (await engine.wait(run)).state == "cancelled"
            assert events(engine, run, RunHurried) == [RunHurried("me", "hurry", now=True)]
            assert (ends(engine, run, "work"), ends(engine, run, "close")) == (
                ["cancelled"], ["succeeded"],
            )  # fmt: skip

    asyncio.run(story())


@pytest.mark.parametrize(("now", "outcome"), [(False, "succeeded"), (True, "cancelled")])
def test_what_a_run_does_at_its_end_goes_on_unless_it_has_to_end_now(
    tmp_path: Path, now: bool, outcome: str
) -> None:
    async def story() -> None:
        async with open_local(DataFolder(tmp_path / "data"), slots=2) as engine:
            await register(engine, tmp_path, "quick", '{kind: python, code: "result = 1"}')
            (tmp_path / "wait").touch()
            run = await engine.submit(Submit("test/quick"))
            await seen(tmp_path / "closes")
            await engine.cancel(run, "me", now=now)
            if not now:
                (tmp_path / "wait").unlink()
            assert (await engine.wait(run)).state == "cancelled"
            assert ends(engine, run, "close") == [outcome]

    asyncio.run(story())


def test_a_run_that_is_cancelled_when_the_server_ends_is_cancelled_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(family, "CANCEL_GRACE_S", 3600.0)

    async def story() -> None:
        async with open_local(DataFolder(tmp_path / "data"), slots=2) as engine:
            await register(engine, tmp_path, "hold", HOLD)
            run = await engine.submit(Submit("test/hold"))
            await seen(tmp_path / "holds")
            await engine.cancel(run, "me")
        async with open_local(DataFolder(tmp_path / "data"), slots=2) as engine:
            assert (await engine.wait(run)).state == "cancelled"
            assert ends(engine, run, "close") == ["succeeded"]

    asyncio.run(story())

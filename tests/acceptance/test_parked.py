"""Runs that cannot go on with what is installed: they wait, and are cancelled or go on later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from textwrap import indent
from typing import Any

import pytest

from runtime.data.folder import DataFolder
from runtime.engine.dispatch import Dispatch
from runtime.engine.edge import RunEdge
from runtime.engine.engine import Engine, Submit
from runtime.engine.errors import CannotSteer
from runtime.playbook.bundle import Bundle, load_text
from runtime.playbook.tools import TOOLS
from runtime.run.events import PlaybookRegistered, RunSubmitted
from runtime.run.replay import replay
from runtime.run.state import RunState
from stories import play, until

WAIT = """
- step: rest
  tool: {kind: wait, for: 1500ms}
  next: after
- step: after
  tool: {kind: python, code: "result = 'woken'"}
"""


def book(path: str, workflow: str) -> Bundle:
    head = f"apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {{path: {path}}}\n"
    return load_text(f"{head}workflow:\n{indent(workflow, '  ')}", {})


async def run(engine: Engine, bundle: Bundle) -> str:
    await engine.register(bundle, "me")
    return await engine.submit(Submit(bundle.path))


@pytest.mark.parametrize("wound", ["- nothing\n", "  hedge: 5s\n"])
def test_a_run_whose_playbook_can_no_longer_be_read_waits_until_it_is_cancelled(
    folder: DataFolder, wound: str
) -> None:
    sound = book("t/wait", WAIT)
    spoilt = PlaybookRegistered("t/old", "0" * 32, 1, sound.source + wound, {}, "me")
    submitted = RunSubmitted("t/old", "0" * 32, 1, {}, "me")
    old = "0" * 31 + "1"

    async def begin(engine: Engine) -> str:
        await engine.append([engine._stamp("playbook/t/old", 0, spoilt)])
        await engine.append([engine._stamp(f"run/{old}", 0, submitted)])
        return await run(engine, sound)

    async def go_on(engine: Engine) -> None:
        assert (await engine.wait(id_)).state == "completed"
        (parked,) = engine.status["parked"]
        assert (parked["run"], parked["playbook"]) == (old, "t/old")
        assert "t/old can no longer be read: playbook.yaml:" in parked["why"]
        with pytest.raises(CannotSteer, match="can no longer be read"):
            await engine.pause(old, "me")

    async def end(engine: Engine) -> None:
        await asyncio.gather(engine.cancel(old, "me", "enough"), engine.cancel(old, "me"))
        assert (await engine.wait(old)).state == "cancelled"
        assert engine.status["parked"] == []
        net = engine.catalogue.latest("t/wait").net
        assert replay(old, net, engine.journal.read(f"run/{old}")).equal is not False

    id_ = play(folder, begin, 2)
    play(folder, go_on, 2)
    play(folder, end, 2)
    play(folder, lambda engine: engine.cancel(old, "me"), 2)


WAITS = """
- step: ask
  tool: {kind: approval, prompt: Now?}
"""
ABOVE = """
- step: below
  tool: {kind: playbook, path: t/asks}
"""


@pytest.fixture
def without_approvals(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Takes a kind of tool out of what is installed, or puts it back."""
    approval = TOOLS["approval"]

    def install(is_there: bool) -> None:
        kinds = {**TOOLS, "approval": approval}
        if not is_there:
            del kinds["approval"]
        for name in list(TOOLS):
            monkeypatch.delitem(TOOLS, name)
        for name, kind in kinds.items():
            monkeypatch.setitem(TOOLS, name, kind)

    return install


@pytest.mark.parametrize("ends", ["approved", "the child is cancelled", "all is cancelled"])
def test_a_run_waits_for_a_kind_of_tool_that_is_not_installed(
    folder: DataFolder, without_approvals: Callable[[bool], None], ends: str
) -> None:
    async def begin(engine: Engine) -> str:
        await engine.register(book("t/asks", WAITS), "me")
        above = await run(engine, book("t/above", ABOVE))
        await until(lambda: engine.status["runs"] == 2)
        return above

    async def without(engine: Engine) -> None:
        (parked,) = engine.status["parked"]
        assert "approval" in parked["why"]
        assert engine.status["runs"] == 1
        if ends == "the child is cancelled":
            await engine.cancel(parked["run"], "me")
            assert (await engine.wait(above)).state == "failed"
            fault = engine.state(above).fault
            assert fault is not None
            assert fault.cls == "cancelled"
        elif ends == "all is cancelled":
            await engine.cancel(above, "me")
            assert (await engine.wait(above)).state == "cancelled"
            assert (await engine.wait(parked["run"])).state == "cancelled"

    async def again(engine: Engine) -> None:
        assert engine.status["parked"] == []
        if ends == "approved":
            (child,) = [r.run for r in engine.journal.runs(state="live") if r.run != above]
            await engine.approve(child, "ask", approved=True, actor="me")
            assert (await engine.wait(above)).state == "completed"
        assert engine.status["runs"] == 0

    above = play(folder, begin, 2)
    without_approvals(False)
    play(folder, without, 2)
    without_approvals(True)
    play(folder, again, 2)


def test_a_run_that_cannot_be_decided_is_set_aside_and_goes_on_at_the_next_start(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(engine: Engine) -> str:
        with monkeypatch.context() as broken:
            broken.setattr(RunEdge, "route", lambda *_: 1 // 0)
            id_ = await run(engine, book("t/wait", WAIT))
            await until(lambda: engine.status["parked"])
            assert "ZeroDivisionError" in engine.status["parked"][0]["why"]
        other = await engine.submit(Submit("t/wait"))
        assert (await engine.wait(other)).state == "completed"
        return id_

    async def go_on(engine: Engine) -> None:
        assert (await engine.wait(id_)).state == "completed"

    id_ = play(folder, breaks, 2)
    play(folder, go_on, 2)


def test_an_attempt_that_cannot_be_sent_fails_and_the_next_one_is_sent(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sends = Dispatch.send

    def send(self: Dispatch, state: RunState, *more: Any) -> Any:
        if state.labels:
            raise ZeroDivisionError("no such task")
        return sends(self, state, *more)

    monkeypatch.setattr(Dispatch, "send", send)
    flow = WAIT[WAIT.index("- step: after") :]

    async def story(engine: Engine) -> None:
        await engine.register(book("t/after", flow), "me")
        bad, good = (Submit("t/after", labels={"is": "bad"}), Submit("t/after"))
        runs = [await engine.submit(each) for each in (bad, good)]
        assert [(await engine.wait(one)).state for one in runs] == ["failed", "completed"]
        fault = engine.state(runs[0]).fault
        assert fault is not None
        assert fault.message == "it cannot be sent: ZeroDivisionError: no such task"

    play(folder, story, 2)

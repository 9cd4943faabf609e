"""A second try begins beside one that takes long, with real workers, and only one counts."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.engine.local import open_local
from runtime.journal.sqlite import SqliteReader
from runtime.playbook.bundle import Bundle, load_text
from runtime.run.events import AttemptFinished, AttemptScheduled, Recorded
from runtime.run.replay import replay
from stories import play, until

CODE = """
import os, time
from pathlib import Path

def await_file(path):
    end = time.monotonic() + 60
    while not Path(path).exists():
        if time.monotonic() > end:
            raise TimeoutError(path)
        time.sleep(0.01)

def stuck_at_first(folder, batch):
    # the first try of this work hangs, any other is done at once
    mine = Path(folder) / f"begun-{batch}"
    try:
        mine.touch(exist_ok=False)
    except FileExistsError:
        return [batch, "again"]
    await_file(Path(folder) / "go")
    return [batch, "first"]

def hang(folder, batch):
    (Path(folder) / f"hangs-{os.getpid()}").touch()
    await_file(Path(folder) / "go")
    return batch

def fail_late(folder):
    (Path(folder) / f"fails-{os.getpid()}").touch()
    await_file(Path(folder) / "go")
    raise ConnectionError("no luck")
"""


def book(step: str, before: str = "") -> Bundle:
    """A playbook of one step, whose code may call what stands above."""
    head = "apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {path: t/hedged}\n"
    text = f"{head}{before}workload: {{folder: x}}\nworkflow:\n"
    return load_text(text + indent(step, "  "), {"m.py": CODE})


STUCK = """
- step: ask
  tool: {kind: python, call: "m:stuck_at_first"}
  with: {folder: "{{ workload.folder }}"}
  hedge: 150ms
"""


async def begin(engine: Engine, bundle: Bundle, place: Path, **kw: Any) -> str:
    await engine.register(bundle, "me")
    return await engine.submit(Submit(bundle.path, {"folder": str(place)}, **kw))


def events(folder: DataFolder, run: str) -> list[Recorded]:
    with contextlib.closing(SqliteReader.open(folder.journal)) as reader:
        return list(reader.read(f"run/{run}"))


def finished(folder: DataFolder, run: str) -> list[AttemptFinished]:
    return [r.event for r in events(folder, run) if isinstance(r.event, AttemptFinished)]


def test_what_hangs_is_overtaken_by_its_hedge_and_ended(
    folder: DataFolder, tmp_path: Path
) -> None:
    async def story(engine: Engine) -> str:
        run = await begin(engine, book(STUCK), tmp_path)
        row = await engine.wait(run)
        assert row.state == "completed"
        assert engine.state(run).result == [None, "again"]
        assert engine.status["in_flight"] == 0
        assert replay(run, engine.version_of(run).net, events(folder, run)).equal
        return run

    run = play(folder, story, 2)
    won, lost = finished(folder, run)
    assert {won.attempt, lost.attempt} == {f"{run}/ask/-1/1", f"{run}/ask/-1/1.1"}
    assert (won.outcome, won.moot) == ("succeeded", False)
    assert (lost.outcome, lost.moot, lost.result) == ("cancelled", True, None)
    assert lost.cost_usd is not None
    assert lost.cost_usd > 0
    assert lost.worker != won.worker


def test_each_batch_that_hangs_is_overtaken_and_gives_one_result(
    folder: DataFolder, tmp_path: Path
) -> None:
    each = STUCK.replace(
        "  hedge", '  each: {in: "{{ range(6) }}", batch: 2, in_flight: 2}\n  hedge'
    )

    async def story(engine: Engine) -> str:
        run = await begin(engine, book(each), tmp_path)
        await engine.wait(run)
        found = engine.values(run)["ask"]
        assert [said for _, said in found["results"]] == ["again"] * 3
        assert found["batches"] == 3
        return run

    run = play(folder, story, 3)
    assert (
        sorted(f.outcome for f in finished(folder, run)) == ["cancelled"] * 3 + ["succeeded"] * 3
    )


def test_a_hedge_takes_no_slot_that_a_first_try_waits_for(
    folder: DataFolder, tmp_path: Path
) -> None:
    """Two slots and three batches at once: while the third waits nothing is hedged."""
    step = """
- step: ask
  tool: {kind: python, call: "m:hang"}
  with: {folder: "{{ workload.folder }}"}
  each: {in: "{{ range(3) }}", batch: 1, in_flight: 3}
  hedge: 50ms
"""

    async def story(engine: Engine) -> str:
        run = await begin(engine, book(step), tmp_path)
        await until(lambda: len(engine._late) == 2)
        assert engine.status["ready"] == 1
        assert len(engine.state(run).attempts) == 3
        (tmp_path / "go").touch()
        await engine.wait(run)
        return run

    run = play(folder, story, 2)
    first = [e for e in (r.event for r in events(folder, run)) if isinstance(e, AttemptScheduled)]
    assert [e.hedges for e in first[:3]] == [None] * 3


def test_a_hedge_is_under_the_limits_of_its_step(folder: DataFolder, tmp_path: Path) -> None:
    step = """
- step: ask
  tool: {kind: python, call: "m:hang"}
  with: {folder: "{{ workload.folder }}"}
  uses: [api]
  hedge: 50ms
"""

    async def story(engine: Engine) -> str:
        run = await begin(engine, book(step, "limits: {api: {in_flight: 1}}\n"), tmp_path)
        await until(lambda: engine._late)
        assert len(engine.state(run).attempts) == 1
        (tmp_path / "go").touch()
        await engine.wait(run)
        return run

    assert len(finished(folder, play(folder, story, 3))) == 1


def test_the_time_after_which_is_a_knob(folder: DataFolder, tmp_path: Path) -> None:
    slow = STUCK.replace("150ms", "1h") + "  tune: {hedge: {min: 10ms, max: 2h}}\n"

    async def story(engine: Engine) -> None:
        run = await begin(engine, book(slow), tmp_path, overrides={"ask": {"hedge": 0.1}})
        await engine.wait(run)
        assert engine.state(run).result == [None, "again"]

    play(folder, story, 2)


def test_a_pair_that_fails_is_one_try_of_those_allowed(folder: DataFolder, tmp_path: Path) -> None:
    step = """
- step: ask
  tool: {kind: python, call: "m:fail_late"}
  with: {folder: "{{ workload.folder }}"}
  hedge: 50ms
  retry: {attempts: 2, initial: 10ms, on: [transient]}
"""

    async def story(engine: Engine) -> str:
        run = await begin(engine, book(step), tmp_path)
        await until(lambda: len(list(tmp_path.glob("fails-*"))) == 2)
        (tmp_path / "go").touch()
        assert (await engine.wait(run)).state == "failed"
        return run

    ends = finished(folder, play(folder, story, 2))
    assert [(f.number, f.moot) for f in ends][:2] == [(1, True), (1, False)]
    assert ends[-1].number == 2


def test_after_a_restart_a_pair_is_lost_as_one_and_tried_again(
    folder: DataFolder, tmp_path: Path
) -> None:
    step = STUCK.replace("stuck_at_first", "hang").replace("150ms", "50ms")

    async def cut_off() -> str:
        async with open_local(folder, slots=2) as engine:
            run = await begin(engine, book(step), tmp_path)
            await until(lambda: len(list(tmp_path.glob("hangs-*"))) == 2)
            await engine.close(0.0)
            return run

    run = asyncio.run(cut_off())

    async def story(engine: Engine) -> None:
        (tmp_path / "go").touch()
        assert (await engine.wait(run)).state == "completed"

    play(folder, story, 2)
    assert [(f.number, f.outcome, f.moot) for f in finished(folder, run)][:3] == [
        (1, "lost", True), (1, "lost", False), (2, "succeeded", False),
    ]  # fmt: skip


@pytest.mark.parametrize("limit", ["timeout: 400ms", "total_timeout: 400ms"])
def test_a_pair_out_of_time_ends_as_one(folder: DataFolder, tmp_path: Path, limit: str) -> None:
    step = STUCK.replace("stuck_at_first", "hang").replace("150ms", f"50ms\n  {limit}")

    async def story(engine: Engine) -> str:
        run = await begin(engine, book(step), tmp_path)
        assert (await engine.wait(run)).state == "failed"
        fault = engine.state(run).fault
        assert fault is not None
        assert fault.cls == "timeout"
        assert engine.status["in_flight"] == 0
        return run

    ends = finished(folder, play(folder, story, 2))
    assert [(f.outcome, f.moot) for f in ends] == [("timed_out", True), ("timed_out", False)]


def test_cancelling_a_run_ends_both_of_a_pair(folder: DataFolder, tmp_path: Path) -> None:
    step = STUCK.replace("stuck_at_first", "hang").replace("150ms", "50ms")

    async def story(engine: Engine) -> None:
        run = await begin(engine, book(step), tmp_path)
        await until(lambda: len(list(tmp_path.glob("hangs-*"))) == 2)
        await engine.cancel(run, "me")
        assert (await engine.wait(run)).state == "cancelled"
        assert engine.status["in_flight"] == 0

    play(folder, story, 2)


def test_a_paused_run_begins_no_second_try_until_it_goes_on(
    folder: DataFolder, tmp_path: Path
) -> None:
    async def story(engine: Engine) -> None:
        run = await begin(engine, book(STUCK.replace("150ms", "1s")), tmp_path)
        await engine.pause(run, "me")
        await until(lambda: engine._late)
        assert len(engine.state(run).attempts) == 1
        await engine.resume(run, "me")
        await engine.wait(run)
        assert engine.state(run).result == [None, "again"]

    play(folder, story, 2)

"""A step that waits for its hours holds no worker, outlives a crash and begins as they open."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import pytest

from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.engine.errors import BadOverride
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteJournal, SqliteReader
from runtime.playbook.bundle import load_text
from runtime.run.events import (
    AttemptScheduled,
    ExperimentEnded,
    ExperimentStarted,
    KillSet,
    OverlayAppended,
    Recorded,
    StepHeld,
)
from runtime.run.replay import replay
from runtime.workers.local import LocalPool
from stories import PATIENCE_S, until

DAY, TEN = 86_400.0, 22 * 3600.0
BOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/nightly}
workflow:
  - step: dear
    tool: {kind: python, code: "result = 1"}
    start: {hours: 22-6, at_most: 12h}
    total_timeout: 1m
"""


class Clock:
    """A clock that reads a time of some day when it is made, and goes on from there."""

    def __init__(self, reads: float) -> None:
        self.ahead_s = 20_000 * DAY + reads - time.time()

    def __call__(self) -> float:
        return time.time() + self.ahead_s


async def opened(folder: DataFolder, reads: float) -> Engine:
    return await Engine.open(folder, LocalPool(1, folder), clock=Clock(reads))


def events(folder: DataFolder, run: str) -> list[Recorded]:
    with contextlib.closing(SqliteReader.open(folder.journal)) as reader:
        return list(reader.read(f"run/{run}"))


async def held_at_noon(folder: DataFolder) -> str:
    """Submit a run at noon, and close the engine while the step waits."""
    engine = await opened(folder, 12 * 3600.0)
    await engine.register(load_text(BOOK, {}), "me")
    run = await engine.submit(Submit("test/nightly"))
    await until(lambda: any(isinstance(r.event, StepHeld) for r in events(folder, run)))
    assert [engine.status[name] for name in ("ready", "in_flight", "held")] == [0, 0, 1]
    await engine.close()
    return run


def test_a_step_waits_over_a_restart_until_its_hours_open(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)

    async def story() -> str:
        run = await held_at_noon(folder)
        early = await opened(folder, 21 * 3600.0)  # an hour is left: it still waits
        assert not any(isinstance(r.event, AttemptScheduled) for r in events(folder, run))
        await early.close()
        engine = await opened(folder, TEN - 0.5)
        row = await asyncio.wait_for(engine.wait(run), PATIENCE_S)
        net = engine.catalogue.latest("test/nightly").net
        await engine.close()
        assert row.state == "completed"
        assert replay(run, net, events(folder, run)).equal
        return run

    told = events(folder, asyncio.run(story()))
    (held,) = [r for r in told if isinstance(r.event, StepHeld)]
    (begun,) = [r for r in told if isinstance(r.event, AttemptScheduled)]
    assert isinstance(held.event, StepHeld)
    assert held.at % DAY < 13 * 3600.0
    assert held.event.due % DAY == TEN
    assert begun.at >= held.event.due


def test_an_override_says_other_hours_for_one_run_and_no_nonsense(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)

    async def story() -> str:
        engine = await opened(folder, 12 * 3600.0)
        await engine.register(load_text(BOOK, {}), "me")
        with pytest.raises(BadOverride, match="hours of the day"):
            await engine.submit(
                Submit("test/nightly", overrides={"dear": {"start.hours": "tonight"}})
            )
        at_once = {"dear": {"start.hours": "any"}}
        run = await engine.submit(Submit("test/nightly", overrides=at_once))
        row = await asyncio.wait_for(engine.wait(run), PATIENCE_S)
        await engine.close()
        assert row.state == "completed"
        return run

    assert not any(isinstance(r.event, StepHeld) for r in events(folder, asyncio.run(story())))


def test_a_run_that_waits_is_cancelled_without_beginning(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)

    async def story() -> str:
        run = await held_at_noon(folder)
        engine = await opened(folder, 13 * 3600.0)
        await engine.cancel(run, "me", "not needed")
        row = await asyncio.wait_for(engine.wait(run), PATIENCE_S)
        await engine.close()
        assert row.state == "cancelled"
        return run

    assert not any(
        isinstance(r.event, AttemptScheduled) for r in events(folder, asyncio.run(story()))
    )


ABOVE = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: test/above}
deadline: 9h
workflow:
  - step: below
    tool: {kind: playbook, path: test/nightly}
"""


def test_a_run_below_another_does_not_wait_past_the_deadline_of_that(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)

    async def story() -> str:
        engine = await opened(folder, 12 * 3600.0)
        await engine.register(load_text(BOOK, {}), "me")
        await engine.register(load_text(ABOVE, {}), "me")
        run = await engine.submit(Submit("test/above"))
        row = await asyncio.wait_for(engine.wait(run), PATIENCE_S)
        await engine.close()
        return row.state

    assert asyncio.run(story()) == "completed"


def test_what_waits_keeps_its_hours_as_their_overlay_is_killed_and_begins_when_it_is_retried(
    tmp_path: Path,
) -> None:
    folder = DataFolder(tmp_path)

    async def story() -> list[str]:
        engine = await opened(folder, 12 * 3600.0)
        await engine.register(load_text(BOOK.replace("hours: 22-6", "hours: any"), {}), "me")
        bound = engine.catalogue.latest("test/nightly").bound("dear")
        night = OverlayAppended(
            "test/nightly", "dear", {"start.hours": "22-6"}, {}, bound, "p-1", "me", "ann"
        )
        await engine.append([Append("overlay/test/nightly", 0, 1.0, (night,))])
        run = await engine.submit(Submit("test/nightly"))
        await until(lambda: engine.status["held"] == 1)
        await engine.append([Append("kill", 0, 2.0, (KillSet("test/nightly", True, "ann"),))])
        later = await engine.submit(Submit("test/nightly"))
        ends = [(await asyncio.wait_for(engine.wait(later), PATIENCE_S)).state]
        assert engine.status["held"] == 1
        await engine.cancel(run, "me")
        ends.append((await asyncio.wait_for(engine.wait(run), PATIENCE_S)).state)
        again = await engine.retry(run, "me")
        ends.append((await asyncio.wait_for(engine.wait(again.run), PATIENCE_S)).state)
        await engine.close()
        return ends

    assert asyncio.run(story()) == ["completed", "cancelled", "completed"]


# ---- a trial that is taken back while nobody can tell the run --------------------------------


def trial(bound: str) -> Append:
    started = ExperimentStarted(
        "x-1", "p-1", "test/nightly", "dear", "schedule", "blocks", {"start.hours": "any"},
        {"candidate": {"start.hours": "22-6"}}, {"candidate": 1.0}, "salt", bound, 1,
    )  # fmt: skip
    return Append("experiment/x-1", 0, 1.0, (started,))


TAKEN_BACK = Append("experiment/x-1", 1, 2.0, (ExperimentEnded("x-1", "rolled_back"),))


async def candidate_held(engine: Engine, folder: DataFolder) -> str:
    await engine.register(load_text(BOOK.replace("hours: 22-6", "hours: any"), {}), "me")
    await engine.append([trial(engine.catalogue.latest("test/nightly").bound("dear"))])
    run = await engine.submit(Submit("test/nightly"))
    await until(lambda: any(isinstance(r.event, StepHeld) for r in events(folder, run)))
    return run


def test_a_trial_taken_back_as_the_server_died_holds_no_run_at_the_next_start(
    tmp_path: Path,
) -> None:
    folder = DataFolder(tmp_path)

    async def story() -> str:
        engine = await opened(folder, 12 * 3600.0)
        run = await candidate_held(engine, folder)
        await engine.close()
        with contextlib.closing(SqliteJournal(folder.journal, 2.0)) as journal:
            journal.append([TAKEN_BACK])
        engine = await opened(folder, 13 * 3600.0)
        row = await asyncio.wait_for(engine.wait(run), PATIENCE_S)
        await engine.close()
        return row.state

    assert asyncio.run(story()) == "completed"


def test_a_trial_taken_back_in_a_pause_of_a_run_holds_it_no_longer_once_it_is_resumed(
    tmp_path: Path,
) -> None:
    folder = DataFolder(tmp_path)

    async def story() -> str:
        engine = await opened(folder, 12 * 3600.0)
        run = await candidate_held(engine, folder)
        await engine.pause(run, "me")
        await engine.append([TAKEN_BACK])
        await engine.resume(run, "me")
        row = await asyncio.wait_for(engine.wait(run), PATIENCE_S)
        await engine.close()
        return row.state

    assert asyncio.run(story()) == "completed"

"""What each of the four time limits does to an `each`, and to a try with a hedge beside it."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from textwrap import indent

import pytest

from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.journal.sqlite import SqliteReader
from runtime.playbook.bundle import load_text
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    RunStarted,
    RunSubmitted,
    TimerFired,
    TimerSet,
)
from stories import play, until

CODE = """
import time
from pathlib import Path

def await_go(folder):
    end = time.monotonic() + 60
    while not (Path(folder) / "go").exists():
        if time.monotonic() > end:
            raise TimeoutError(folder)
        time.sleep(0.01)

def work(folder, items=(1,)):
    # what is asked for item 0 hangs, all else is done at once
    (Path(folder) / f"begun-{items[0]}").touch()
    if items[0] == 0:
        await_go(folder)
    return items[0]

def hang(folder, items=(0,)):
    (Path(folder) / f"begun-{items[0]}").touch()
    await_go(folder)
"""
HEAD = "apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {path: t/timed}\nworkload: {folder: x}\n"
EACH = """
- step: job
  each: {in: "{{ range(4) }}", batch: 1, in_flight: 2, failures: {allow: 2}}
  tool: {kind: python, call: "m:CALL"}
  with: {folder: "{{ workload.folder }}"}
"""
HEDGED = """
- step: job
  tool: {kind: python, call: "m:CALL"}
  with: {folder: "{{ workload.folder }}"}
  hedge: 50ms
"""


async def begin(engine: Engine, step: str, call: str, place: Path, limit: str) -> str:
    """Begin a run of a step with a limit; the deadline is the playbook's, all else the step's."""
    before, own = (f"{limit}\n", "") if limit.startswith("deadline") else ("", f"  {limit}\n")
    text = HEAD + before + "workflow:\n" + indent(step.replace("CALL", call) + own, "  ")
    await engine.register(load_text(text, {"m.py": CODE}), "me")
    return await engine.submit(Submit("t/timed", {"folder": str(place)}))


def ends(folder: DataFolder, run: str) -> list[tuple[int, str, bool]]:
    """The batch of each attempt, how it ended and whether that decided nothing."""
    with contextlib.closing(SqliteReader.open(folder.journal)) as reader:
        events = [r.event for r in reader.read(f"run/{run}")]
    return [(e.batch, e.outcome, e.moot) for e in events if isinstance(e, AttemptFinished)]


# ---- of an each -------------------------------------------------------------------------


def test_a_timeout_ends_the_batch_that_takes_too_long_and_no_other(
    folder: DataFolder, tmp_path: Path
) -> None:
    async def story(engine: Engine) -> str:
        run = await begin(engine, EACH, "work", tmp_path, "timeout: 1s")
        await engine.wait(run)
        found = engine.values(run)["job"]
        assert (found["failed"], found["results"]) == (1, [1, 2, 3])
        assert engine.status["in_flight"] == 0
        return run

    run = play(folder, story, 2)
    assert sorted(ends(folder, run)) == [
        (0, "timed_out", False), *((n, "succeeded", False) for n in (1, 2, 3)),
    ]  # fmt: skip


def test_a_batch_that_no_slot_takes_in_time_fails_and_counts_against_the_allowance(
    folder: DataFolder, tmp_path: Path
) -> None:
    """One slot, which the first batch holds: those behind it give up, and it is left alone."""
    allowed = EACH.replace("allow: 2", "allow: 3")

    async def story(engine: Engine) -> str:
        run = await begin(engine, allowed, "work", tmp_path, "queue_timeout: 200ms")
        await until(lambda: engine.state(run).steps["job"].each.failed_items == 3)  # type: ignore[union-attr]
        (tmp_path / "go").touch()
        await engine.wait(run)
        found = engine.values(run)["job"]
        assert (found["failed"], found["results"]) == (3, [0])
        return run

    run = play(folder, story, 1)
    assert ends(folder, run) == [
        *((n, "timed_out", False) for n in (1, 2, 3)), (0, "succeeded", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ("total_timeout: 1s", "total_timeout has passed"),
        ("deadline: 1s", "the run's deadline has passed"),
    ],
)
def test_time_that_is_up_for_all_batches_ends_what_runs_and_begins_no_other(
    folder: DataFolder, tmp_path: Path, limit: str, says: str
) -> None:
    async def story(engine: Engine) -> str:
        run = await begin(engine, EACH, "hang", tmp_path, limit)
        assert (await engine.wait(run)).state == "failed"
        fault = engine.state(run).fault
        assert fault is not None
        assert (fault.cls, fault.message) == ("timeout", says)
        assert engine.status["in_flight"] == 0
        return run

    run = play(folder, story, 2)
    assert sorted(batch for batch, _, _ in ends(folder, run)) == [0, 1]


def test_total_timeout_is_for_retries_too_and_timeout_for_each_try_anew(
    folder: DataFolder, tmp_path: Path
) -> None:
    retried = EACH + "  timeout: 300ms\n  retry: {attempts: 100, initial: 1ms, on: [timeout]}\n"

    async def story(engine: Engine) -> str:
        run = await begin(engine, retried, "work", tmp_path, "total_timeout: 2s")
        assert (await engine.wait(run)).state == "failed"
        assert engine.state(run).fault.message == "total_timeout has passed"  # type: ignore[union-attr]
        return run

    tries = [end for end in ends(folder, play(folder, story, 2)) if end[0] == 0]
    assert len(tries) > 1
    assert {outcome for _, outcome, _ in tries} == {"timed_out"}


# ---- of a try with a hedge --------------------------------------------------------------


@pytest.mark.parametrize("limit", ["timeout: 3s", "total_timeout: 3s", "deadline: 3s"])
def test_a_try_and_its_hedge_out_of_time_end_as_one(
    folder: DataFolder, tmp_path: Path, limit: str
) -> None:
    async def story(engine: Engine) -> str:
        run = await begin(engine, HEDGED, "hang", tmp_path, limit)
        await until(lambda: len(engine.state(run).attempts) == 2)
        assert (await engine.wait(run)).state == "failed"
        fault = engine.state(run).fault
        assert fault is not None
        assert fault.cls == "timeout"
        assert engine.status["in_flight"] == 0
        return run

    found = ends(folder, play(folder, story, 2))
    assert [moot for _, _, moot in found] == [True, False]


def test_a_hedge_that_finds_no_slot_is_not_begun_and_its_try_does_not_give_up(
    folder: DataFolder, tmp_path: Path
) -> None:
    async def story(engine: Engine) -> str:
        run = await begin(engine, HEDGED, "hang", tmp_path, "queue_timeout: 200ms")
        await until(lambda: engine._late)
        begun = time.monotonic()
        await until(lambda: time.monotonic() > begun + 0.4)
        (tmp_path / "go").touch()
        assert (await engine.wait(run)).state == "completed"
        return run

    assert ends(folder, play(folder, story, 1)) == [(-1, "succeeded", False)]


CAUGHT = """
- step: job
  tool: {kind: python, call: "m:hang"}
  with: {folder: "{{ workload.folder }}"}
  total_timeout: 1h
  next: [{to: late, on: [timeout]}]
- step: late
"""


def test_a_step_that_was_out_of_time_as_the_server_died_has_timed_out(
    folder: DataFolder, tmp_path: Path
) -> None:
    run, bundle = "0" * 32, load_text(HEAD + "workflow:\n" + indent(CAUGHT, "  "), {"m.py": CODE})
    left = [
        RunSubmitted(bundle.path, bundle.version, 1, {"folder": str(tmp_path)}, "me"),
        RunStarted(), AttemptScheduled(f"{run}/job/-1/1", "job", 1, "", "k"),
        TimerSet("job", 1.0, "job"), TimerFired("job"),
    ]  # fmt: skip

    async def dies(engine: Engine) -> None:
        await engine.register(bundle, "me")
        await engine.append([engine._stamp(f"run/{run}", 0, *left)])

    async def goes_on(engine: Engine) -> None:
        assert (await engine.wait(run)).state == "completed"
        assert engine.state(run).steps["late"].status == "done"

    play(folder, dies, 1)
    play(folder, goes_on, 1)

"""Which of a step's tools runs is chosen by overrides, overlays and experiments; with workers."""

from __future__ import annotations

import contextlib
from textwrap import indent
from typing import Any

import pytest

from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.engine.errors import BadOverride
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteReader
from runtime.playbook.bundle import Bundle, load_text
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    ExperimentStarted,
    OverlayAppended,
)
from stories import play

SINGLE = """
- step: price
  tool: {kind: python, code: "result = 'default'"}
  with: {given: 1}
  alternatives:
    cheap: {kind: python, call: "m:cheap"}
    duck: {kind: sql, query: "select $n + 1 as n", with: {n: 41}}
  tune: {alternatives: [default, cheap, duck]}
"""
MAPPED = """
- step: price
  each: {in: "{{ range(40) }}", batch: 2, in_flight: 2}
  tool: {kind: python, code: "result = ['default', batch.index]"}
  alternatives:
    cheap: {kind: python, call: "m:cheap_batch"}
  tune: {alternatives: [default, cheap]}
"""
CODE = """
def cheap(given):
    return "cheap"

def cheap_batch(items):
    if items[0] == 0:
        raise ValueError("not this one")
    return ["cheap", len(items)]
"""


def book(step: str) -> Bundle:
    head = "apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {path: t/priced}\nworkflow:\n"
    return load_text(head + indent(step, "  "), {"m.py": CODE})


async def result(engine: Engine, **kw: Any) -> Any:
    run = await engine.submit(Submit("t/priced", **kw))
    await engine.wait(run)
    state = engine.state(run)
    return state.fault or state.result


def bound(engine: Engine) -> str:
    return engine.catalogue.latest("t/priced").bound("price")


async def overlay(engine: Engine, value: str) -> None:
    event = OverlayAppended(
        "t/priced", "price", {"alternatives": value}, {}, bound(engine), "p-1", "opt", "me"
    )
    await engine.append([Append("overlay/t/priced", 0, 1.0, (event,))])


async def experiment(engine: Engine, value: str, share: float, block: int) -> None:
    event = ExperimentStarted(
        "x-1", "p-1", "t/priced", "price", "alternative", "blocks", {"alternatives": "default"},
        {"candidate": {"alternatives": value}}, {"candidate": share}, "salt", bound(engine), block,
    )  # fmt: skip
    await engine.append([Append("experiment/x-1", 0, 1.0, (event,))])


def test_an_override_chooses_the_tool_of_one_run(folder: DataFolder) -> None:
    async def story(engine: Engine) -> None:
        await engine.register(book(SINGLE), "me")
        assert await result(engine) == "default"
        cheap = {"price": {"alternatives": "cheap"}}
        assert await result(engine, overrides=cheap) == "cheap"
        duck = await result(engine, overrides={"price": {"alternatives": "duck"}})
        assert duck["rows"] == 1
        with pytest.raises(BadOverride, match="one of default, cheap, duck"):
            await result(engine, overrides={"price": {"alternatives": "dear"}})

    play(folder, story, 2)


def test_an_overlay_chooses_until_the_alternatives_change(folder: DataFolder) -> None:
    async def story(engine: Engine) -> None:
        await engine.register(book(SINGLE), "me")
        await overlay(engine, "cheap")
        assert await result(engine) == "cheap"
        assert await result(engine, overrides={"price": {"alternatives": "default"}}) == "default"
        await engine.register(book(SINGLE.replace("n: 41", "n: 42")), "me")
        assert await result(engine) == "default"

    play(folder, story, 2)


def test_an_experiments_arm_runs_the_alternative_and_the_record_can_tell(
    folder: DataFolder,
) -> None:
    async def story(engine: Engine) -> None:
        await engine.register(book(SINGLE), "me")
        await experiment(engine, "cheap", 0.5, 1)
        assert {await result(engine) for _ in range(12)} == {"default", "cheap"}

    play(folder, story, 2)
    with contextlib.closing(SqliteReader.open(folder.journal)) as reader:
        events = [r.event for r in reader.of_type("attempt.scheduled")]
    tried = [e for e in events if isinstance(e, AttemptScheduled)]
    calls = {(e.arm, e.args["tool"].get("call")) for e in tried if e.args}
    assert calls == {("control", None), ("candidate", "m:cheap")}
    assert {(e.experiment, e.share) for e in tried} == {("x-1", 0.5)}


def test_each_block_of_an_each_runs_the_tool_of_its_arm_and_a_failed_batch_is_rescued(
    folder: DataFolder,
) -> None:
    async def story(engine: Engine) -> list[Any]:
        await engine.register(book(MAPPED), "me")
        await experiment(engine, "cheap", 1.0, 4)
        found = await result(engine)
        assert (found["items"], found["failed"]) == (40, 0)
        results: list[Any] = found["results"]
        return results

    results = play(folder, story, 2)
    assert [said for said, _ in results].count("default") == 1
    assert results[0][0] == "default"
    assert results[1] == ["cheap", 2]


def test_what_ran_is_in_the_journal_by_its_configuration(folder: DataFolder) -> None:
    async def story(engine: Engine) -> str:
        await engine.register(book(MAPPED), "me")
        run = await engine.submit(
            Submit("t/priced", overrides={"price": {"alternatives": "cheap"}})
        )
        await engine.wait(run)
        return run

    run = play(folder, story, 2)
    with contextlib.closing(SqliteReader.open(folder.journal)) as reader:
        events = [r.event for r in reader.read(f"run/{run}")]
        configs = {e.config for e in events if isinstance(e, AttemptScheduled)}
        (config,) = configs
        stored: Any = reader.event(f"config/{config}", 1)
    assert stored.event.effective["alternatives"] == "cheap"
    ended = [e for e in events if isinstance(e, AttemptFinished)]
    faults = [e.fault.message for e in ended if e.fault is not None]
    assert faults
    assert all("not this one" in said for said in faults)

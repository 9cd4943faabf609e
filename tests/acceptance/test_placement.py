"""Where a step runs is a knob, and a class that no worker is of is said, never waited for."""

from __future__ import annotations

import contextlib
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from control_plane.capacity import Capacity, held
from control_plane.clock import wall
from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.engine.errors import BadOverride, UnknownHardware
from runtime.engine.prices import BadCatalogue, load_prices
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteReader
from runtime.playbook.bundle import Bundle, load_text
from runtime.run.events import AttemptFinished, ExperimentStarted, OverlayAppended
from stories import play, until

CATALOGUE = """
hardware:
  - class: small
    prices: [{from: 2020-01-01, usd_per_hour: 1.0}]
  - class: large
    slots: 1
    prices: [{from: 2020-01-01, usd_per_hour: 4.0}]
  - {class: away, slots: 0}
"""
STEP = """
- step: work
  tool: {kind: python, code: "result = 1"}
  runs_on: small
  tune: {runs_on: [small, large, away]}
"""
CROWD = """
- step: work
  each: {in: "{{ range(8) }}", batch: 1, in_flight: 4}
  tool: {kind: python, call: "m:together"}
  with: {folder: "{{ run.folder }}"}
  runs_on: large
"""
HELD = """
- step: hold
  each: {in: "{{ range(3) }}", batch: 1, in_flight: 3}
  tool: {kind: python, call: "m:held"}
  with: {folder: "{{ run.folder }}"}
  runs_on: large
"""
CODE = """
import os, time
from pathlib import Path

def together(folder, items):
    mine = Path(folder) / f"at-work-{items[0]}"
    mine.touch()
    time.sleep(0.02)
    count = len(list(Path(folder).glob("at-work-*")))
    mine.unlink()
    return count

def held(folder):
    while not (Path(folder).parent.parent / "go").exists():
        time.sleep(0.01)
    return "held"
"""


def book(workflow: str) -> Bundle:
    head = "apiVersion: trimtab/v1\nkind: Playbook\nmetadata: {path: t/placed}\nworkflow:\n"
    return load_text(head + indent(workflow, "  "), {"m.py": CODE})


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    found = DataFolder(tmp_path / "data")
    found.root.mkdir()
    (found.root / "hardware.yaml").write_text(CATALOGUE)
    return found


async def ended(engine: Engine, **kw: Any) -> str:
    run = await engine.submit(Submit("t/placed", **kw))
    await engine.wait(run)
    return run


def ran(folder: DataFolder, run: str) -> list[tuple[str, float | None]]:
    """On which class each attempt of a run ran, and at which price."""
    with contextlib.closing(SqliteReader.open(folder.journal)) as reader:
        events = [r.event for r in reader.read(f"run/{run}")]
    return [(e.hardware, e.price_usd_hour) for e in events if isinstance(e, AttemptFinished)]


def test_overrides_overlays_and_arms_choose_the_class_that_a_step_runs_on(
    folder: DataFolder,
) -> None:
    async def story(engine: Engine) -> list[str]:
        await engine.register(book(STEP), "me")
        bound = engine.catalogue.latest("t/placed").bound("work")
        runs = [await ended(engine), await ended(engine, overrides={"work": {"runs_on": "large"}})]
        overlay = OverlayAppended(
            "t/placed", "work", {"runs_on": "large"}, {}, bound, "p", "o", "me"
        )
        await engine.append([Append("overlay/t/placed", 0, 1.0, (overlay,))])
        runs.append(await ended(engine))
        trial = ExperimentStarted(
            "x", "p", "t/placed", "work", "placement", "blocks", {"runs_on": "large"},
            {"candidate": {"runs_on": "small"}}, {"candidate": 1.0}, "salt", bound, 1,
        )  # fmt: skip
        await engine.append([Append("experiment/x", 0, 1.0, (trial,))])
        runs.append(await ended(engine))
        return runs

    assert [ran(folder, run) for run in play(folder, story, 4)] == [
        [("small", 1.0)], [("large", 4.0)], [("large", 4.0)], [("small", 1.0)],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "says"),
    [("smal", "no worker is of class smal, .* did you mean small"), ("away", "gives it 0 slots")],
)
def test_a_class_that_no_worker_is_of_is_refused_when_it_is_asked_for(
    folder: DataFolder, name: str, says: str
) -> None:
    async def story(engine: Engine) -> None:
        with pytest.raises(UnknownHardware, match=f"work cannot run: .*{says}"):
            await engine.register(book(STEP.replace("runs_on: small", f"runs_on: {name}", 1)
                                       .replace("[small,", f"[{name}, small,")), "me")  # fmt: skip
        assert engine.catalogue.paths() == []
        await engine.register(book(STEP), "me")
        with pytest.raises(BadOverride, match=says):
            await ended(engine, overrides={"work": {"runs_on": name}})

    play(folder, story, 4)


def test_a_class_that_went_away_fails_the_step_with_a_word_and_nothing_waits(
    folder: DataFolder,
) -> None:
    async def before(engine: Engine) -> None:
        await engine.register(book(STEP), "me")

    async def after(engine: Engine) -> None:
        run = await ended(engine)
        fault = engine.state(run).fault
        assert fault is not None
        assert fault.cls == "permanent"
        assert "work cannot run: no worker is of class small" in fault.message

    play(folder, before, 4)
    (folder.root / "hardware.yaml").write_text(CATALOGUE.replace("class: small", "class: other"))
    play(folder, after, 4)


def test_no_more_run_on_a_class_at_once_than_it_has_slots(folder: DataFolder) -> None:
    async def story(engine: Engine) -> None:
        await engine.register(book(CROWD), "me")
        run = await ended(engine)
        assert set(engine.values(run)["work"]["results"]) == {1}

    play(folder, story, 4)


def test_slots_that_are_changed_hold_for_what_waits_and_a_new_class_for_what_is_registered(
    folder: DataFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no notes are taken of which slots are up (``watch.capacity_minutes`` 0), too."""
    monkeypatch.setattr("runtime.engine.prices.LOOK_S", 0.0)
    monkeypatch.setattr("control_plane.capacity.LOOK_S", 0.01)

    async def story(engine: Engine) -> None:
        await engine.register(book(HELD), "me")
        run = await engine.submit(Submit("t/placed"))
        await until(lambda: engine.status["in_flight"] == 1 and engine.status["ready"] == 2)
        more = CATALOGUE.replace("slots: 1", "slots: 3")
        (folder.root / "hardware.yaml").write_text(more)
        capacity = Capacity(engine, 4, 0.0, wall)
        capacity.start()
        await until(lambda: engine.status["in_flight"] == 3)
        await capacity.close()
        assert held(engine.journal, wall() - 86_400, wall()) == []
        (folder.root / "hardware.yaml").write_text(more + "  - {class: new}\n")
        await engine.register(book(STEP.replace("runs_on: small", "runs_on: new", 1)
                                   .replace("[small,", "[new, small,")), "me")  # fmt: skip
        (folder.root / "go").touch()
        await engine.wait(run)
        assert set(engine.values(run)["hold"]["results"]) == {"held"}

    play(folder, story, 4)


@pytest.mark.parametrize("slots", ["-1", "many", "true", "1.5"])
def test_slots_that_are_none_are_refused_with_their_place(tmp_path: Path, slots: str) -> None:
    (tmp_path / "hardware.yaml").write_text(f"hardware: [{{class: a, slots: {slots}}}]")
    with pytest.raises(BadCatalogue, match=r"hardware\[0\]\.slots: slots is a whole number"):
        load_prices(tmp_path)

"""Prices are dated, the user's own, and checked as a whole; another price changes no past."""

from __future__ import annotations

import asyncio
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.engine.local import open_local
from runtime.engine.prices import LOOK_S, BadCatalogue, LivePrices, load_prices, prices_of
from runtime.playbook.bundle import load_text
from runtime.run.events import AttemptFinished
from runtime.workers.local import LocalPool

GOOD = """
hardware:
  - class: gpu-l4
    cpus: 8
    memory_gib: 32
    accelerator: nvidia-l4
    accelerators: 1
    spot: true
    region: europe-west4
    prices:
      - {from: 2026-01-01, until: 2026-07-01, usd_per_hour: 0.71}
      - {from: 2026-07-01, usd_per_hour: 0.65}
      - {from: 2027-01-01, usd_per_hour: 0.60}
"""
BAD = """\
hardware:
  - class: a
    cpu: 8
    spot: maybe
    prices:
      - {from: 2026-01-01, usd_per_hour: -1}
      - {from: yesterday, usd_per_hour: 1}
      - {from: 2026-05-01, until: 2026-05-01, usd_per_hour: 1}
      - {usd_per_hour: 2}
  - class: a
  - cpus: 2
  - class: b
    prices:
      - {from: 2026-01-01, until: 2026-03-01, usd_per_hour: 1}
      - {from: 2026-02-01, usd_per_hour: 2}
"""
BOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: bench/one}
workflow:
- step: work
  tool: {kind: python, code: "result = 1"}
"""


def at(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("day", "usd"),
    [("2025-12-31", None), ("2026-01-01", 0.71), ("2026-06-30T23:59:59", 0.71),
     ("2026-07-01", 0.65), ("2026-12-31", 0.65), ("2028-01-01", 0.60)],
)  # fmt: skip
def test_a_price_holds_from_its_day_until_its_end_or_the_next(day: str, usd: float | None) -> None:
    assert prices_of(GOOD, "here").usd_per_hour("gpu-l4", at(day)) == usd


@pytest.mark.parametrize(
    ("time", "usd"),
    [
        ("2026-07-01T19:59:59", 0.65), ("2026-07-01T20:00:00", 0.31),  # 22:00 in Berlin, in summer
        ("2026-07-02T03:59:59", 0.31), ("2026-07-02T04:00:00", 0.65),
        ("2026-12-01T20:30:00", 0.65), ("2026-12-01T21:00:00", 0.31), ("2026-12-01T11:00", 0.9),
    ],
)  # fmt: skip
def test_an_hour_of_the_day_may_have_a_price_of_its_own(time: str, usd: float) -> None:
    hours = "usd_per_hour: 0.65, hours: {22-6: 0.31, 12-13: 0.9}, zone: Europe/Berlin}"
    prices = prices_of(GOOD.replace("usd_per_hour: 0.65}", hours), "here")
    assert prices.usd_per_hour("gpu-l4", at(time)) == usd


@pytest.mark.parametrize(
    ("hours", "says"),
    [
        ("hours: {22: 1}", "are no hours of the day"),
        ("hours: {any: 1}", "are no hours of the day"),
        ("hours: {22-6: 1, 5-7: 2}", "an hour of 5-7 has a price in 22-6 too"),
        ("hours: {22-6: -1}", "22-6 is 0 or more"),
        ("hours: 22-6", "hours must be a mapping"),
        ("zone: Berlin", "no time zone is called Berlin"),
    ],
)
def test_hours_of_a_price_that_are_none_are_refused(hours: str, says: str) -> None:
    with pytest.raises(BadCatalogue, match=says):
        prices_of(GOOD.replace("usd_per_hour: 0.65}", f"usd_per_hour: 0.65, {hours}}}"), "here")


def test_a_class_says_what_it_has_and_one_that_is_not_listed_has_no_price() -> None:
    prices = prices_of(GOOD, "here")
    one = prices.classes[0]
    told = (one.cpus, one.memory_gib, one.accelerator, one.accelerators, one.spot, one.region)
    assert told == (8, 32, "nvidia-l4", 1, True, "europe-west4")
    assert prices.usd_per_hour("cpu-small", at("2026-01-01")) is None


def test_every_fault_is_named_at_once_each_at_its_place() -> None:
    with pytest.raises(BadCatalogue) as caught:
        prices_of(BAD, "hardware.yaml")
    assert str(caught.value).splitlines() == [
        "hardware.yaml:3:5 hardware[0].cpu: unknown key cpu (did you mean cpus?)",
        "hardware.yaml:4:11 hardware[0].spot: spot must be true or false, not 'maybe'",
        "hardware.yaml:6:42 hardware[0].prices[0].usd_per_hour: usd_per_hour is 0 or more, not -1",
        "hardware.yaml:7:16 hardware[0].prices[1].from: from is no day: 'yesterday' "
        "(a day, such as 2026-01-31)",
        "hardware.yaml:8:9 hardware[0].prices[2]: until 2026-05-01 is not after from 2026-05-01 "
        "(until is the day after the last)",
        "hardware.yaml:9:9 hardware[0].prices[3]: a price needs from",
        "hardware.yaml:10:12 hardware[1].class: class a is here twice",
        "hardware.yaml:11:5 hardware[2]: a class needs its name (class: cpu-small)",
        "hardware.yaml:15:9 hardware[3].prices[1]: class b has two prices on 2026-02-01 "
        "(end the one from 2026-01-01 with until: 2026-02-01)",
    ]


@pytest.mark.parametrize(
    "text", ["", "[]", "hardware: {}", "hardware: [1]", "hardware: [", "x: 1"]
)
def test_what_is_no_catalogue_is_refused_with_a_place(text: str) -> None:
    with pytest.raises(BadCatalogue, match=r"^here:\d+:\d+ "):
        prices_of(text, "here")


def test_the_one_that_ships_says_that_it_is_an_example(tmp_path: Path) -> None:
    assert load_prices(tmp_path).example


def test_a_changed_file_is_read_again_and_one_with_faults_leaves_the_prices(
    tmp_path: Path,
) -> None:
    now = [0.0]
    prices = LivePrices(tmp_path, lambda: now[0])

    def written(text: str, encoding: str = "utf-8") -> bool:
        (tmp_path / "hardware.yaml").write_text(text, encoding=encoding)
        os.utime(tmp_path / "hardware.yaml", (now[0], now[0]))
        now[0] += LOOK_S
        return prices.changed()

    assert not prices.changed()
    assert written(GOOD)
    assert prices.now.usd_per_hour("gpu-l4", at("2026-01-01")) == 0.71
    assert not written("hardware: [")
    assert not written(GOOD, "utf-16")
    with pytest.raises(BadCatalogue, match=r"hardware\.yaml:1:1 the file must be UTF-8"):
        load_prices(tmp_path)
    assert prices.now.usd_per_hour("gpu-l4", at("2026-01-01")) == 0.71
    assert not prices.changed()


def test_a_new_price_holds_for_the_next_attempt_and_changes_no_earlier_one(tmp_path: Path) -> None:
    """No restart in between: the journal keeps each attempt's own price."""
    folder, seen = DataFolder(tmp_path / "data"), [0.0]
    folder.prepare()
    text = "hardware: [{class: local, prices: [{from: 2020-01-01, usd_per_hour: %s}]}]"

    async def ran(engine: Engine, usd: str) -> None:
        (folder.root / "hardware.yaml").write_text(text % usd, encoding="utf-8")
        seen[0] += 10 * LOOK_S  # the clock of the engine, so that it looks at the file
        run = await engine.submit(Submit(playbook="bench/one", workload={}, actor="me"))
        await engine.wait(run)

    async def story() -> list[float | None]:
        pool = LocalPool(1, folder)
        engine = await Engine.open(
            folder, pool, clock=lambda: time.time() + seen[0], services={"data": str(folder.root)}
        )
        try:
            await engine.register(load_text(BOOK, {}), "me")
            await ran(engine, "1.0")
            await ran(engine, "3.5")
            told = [
                r.event for s in engine.journal.streams("run/") for r in engine.journal.read(s)
            ]
        finally:
            await engine.close()
        return [e.price_usd_hour for e in told if isinstance(e, AttemptFinished)]

    assert sorted(asyncio.run(story()), key=str) == [1.0, 3.5]


def test_check_names_every_fault_and_show_marks_an_example(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from control_plane.cli.main import main

    def told(*words: str) -> tuple[int, str]:
        code: int | str | None = 0
        try:
            main(["--data", str(tmp_path / "data"), "config", "prices", *words])
        except SystemExit as end:
            code = end.code
        seen = capfd.readouterr()
        return int(code or 0), seen.out + seen.err

    file = tmp_path / "hardware.yaml"
    file.write_text(BAD, encoding="utf-8")
    code, said = told("check", str(file))
    assert (code, said.count(f"{file}:")) == (2, 9)
    file.write_text(GOOD, encoding="utf-8")
    code, said = told("check", str(file))
    assert code == 0
    assert "classes: 1, prices: 3" in said
    code, said = told("show")
    assert code == 0
    assert "EXAMPLE" in said


SPENDER = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: bench/spender}
workflow:
- step: ask
  retry: {attempts: 1}
  tool: {kind: python, call: "m:ask"}
"""
SPENDS = """
from trimtab import spend

def ask():
    spend(usd=0.25, tokens=900, calls=1)
    spend(0.5, tokens=100)
    raise ValueError("after it was paid")
"""


def test_what_a_tool_paid_is_in_the_facts_and_the_cost_of_its_attempt_even_when_it_failed(
    tmp_path: Path,
) -> None:
    folder = DataFolder(tmp_path / "data")

    async def story() -> AttemptFinished:
        async with open_local(folder, 1) as engine:
            await engine.register(load_text(SPENDER, {"m.py": SPENDS}), "me")
            run = await engine.submit(Submit(playbook="bench/spender", workload={}, actor="me"))
            await engine.wait(run)
            told = [r.event for r in engine.journal.read(f"run/{run}")]
        return next(e for e in told if isinstance(e, AttemptFinished))

    paid = asyncio.run(story())
    assert (paid.outcome, paid.spend_usd, paid.tokens, paid.calls) == ("failed", 0.75, 1000, 1)
    assert paid.cost_usd is not None
    assert paid.price_usd_hour is not None
    held = paid.price_usd_hour / 3600 * (paid.total_s - paid.queue_s)
    assert paid.cost_usd == pytest.approx(held + 0.75)


@pytest.mark.parametrize("usd", [-1.0, float("nan"), float("inf")])
def test_nothing_is_earned(usd: float) -> None:
    from trimtab import spend

    spend(1.0)  # outside a worker: nobody is told
    with pytest.raises(ValueError, match="earned"):
        spend(usd)

"""What servers held is what was used and what was idle, and all of that is borne by somebody."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.budgets import Spent, spent_by_playbook
from control_plane.costs import by_day, by_step, coverage, ledger, of_run
from control_plane.idle import DAY_S, accounts, days, months, reserved, shared
from runtime.engine.prices import prices_of
from runtime.run.events import CapacityHeld

FIRST = 1_795_737_600.0  # 2026-11-27
CLASSES = ("local", "gpu", "big")


def used(
    hours: float, day: int = 0, hardware: str = "gpu", playbook: str = "etl/load", step: str = "a"
) -> dict[str, Any]:
    return {
        "day": FIRST + day * DAY_S, "playbook": playbook, "step": step, "hardware": hardware,
        "price_usd_hour": 2.0, "slot_s": hours * 3600, "priced_slot_s": hours * 3600,
        "attempts": 1, "priced": 1, "cost_usd": hours * 2.0, "spend_usd": 0.0, "system": 0,
    }  # fmt: skip


def up(
    hours: float, day: int = 0, slots: int = 1, hardware: str = "gpu", usd: float | None = 2.0
) -> CapacityHeld:
    begin = FIRST + day * DAY_S
    prices = {} if usd is None else {hardware: usd}
    return CapacityHeld(begin, begin + hours * 3600, {hardware: slots}, prices)


ROWS = st.lists(st.builds(
    used, st.floats(0, 30), st.integers(0, 4), st.sampled_from(CLASSES),
    st.sampled_from(["x", "y"]), st.sampled_from(["a", "b"]),
), max_size=12)  # fmt: skip
HELD = st.lists(st.builds(
    up, st.floats(0.01, 24), st.integers(0, 4), st.integers(1, 8), st.sampled_from(CLASSES),
    st.sampled_from([None, 0.0, 2.0]),
), max_size=12)  # fmt: skip


@given(HELD, ROWS)
def test_held_is_used_and_idle_and_what_attempts_used_is_accounted_for(
    held: list[CapacityHeld], rows: list[dict[str, Any]]
) -> None:
    found = accounts(held, rows)
    for one in found:
        assert math.isclose(one.used_s + one.idle_s, one.held_s, abs_tol=1e-6)
        assert min(one.used_s, one.idle_s, one.beyond_s, one.idle_usd) >= 0
        assert one.idle_priced_s <= one.idle_s + 1e-6
    total = sum(r["slot_s"] for r in rows)
    assert math.isclose(sum(o.used_s + o.beyond_s for o in found), total, abs_tol=1e-6)
    for name in CLASSES:
        slots = sum((e.until - e.since) * e.slots.get(name, 0) for e in held)
        of_class = sum(o.held_s for o in found if o.hardware == name)
        assert math.isclose(of_class, slots, abs_tol=1e-6)


@given(HELD, ROWS)
def test_all_that_was_idle_is_borne_by_what_ran_that_day_or_stands_alone(
    held: list[CapacityHeld], rows: list[dict[str, Any]]
) -> None:
    told = shared(held, rows)
    idle = accounts(held, rows)
    for name in ("idle_s", "idle_priced_s", "idle_usd"):
        borne, whole = sum(r[name] for r in told), sum(getattr(o, name) for o in idle)
        assert math.isclose(borne, whole, abs_tol=1e-6)
    for row in told[len(rows) :]:
        assert not row["playbook"]
        assert row["idle_s"] > 0
    assert [dict(r) for r in told[: len(rows)]] == [dict(r) | _idle_of(t) for r, t in zip(
        rows, told, strict=False
    )]  # fmt: skip
    steps, by_days = by_step(told), by_day(told)
    assert math.isclose(
        sum(c.whole_usd for c in steps), sum(d.cost_usd + d.idle_usd for d in by_days)
    ) or not steps  # fmt: skip
    star = spent_by_playbook(told).get("*", Spent())
    assert math.isclose(star.usd, sum(c.whole_usd for c in steps), abs_tol=1e-6)


def _idle_of(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("idle_s", "idle_priced_s", "idle_usd", "idle_of")}


def test_idle_dollars_go_by_the_slot_time_that_was_used() -> None:
    told = shared([up(10)], [used(3, step="a"), used(1, step="b")])
    assert [(r["step"], r["idle_usd"]) for r in told] == [("a", 9.0), ("b", 3.0)]


def test_a_class_without_slots_of_its_own_uses_those_of_this_machine() -> None:
    held = [up(10, hardware="local")]
    told = shared(held, [used(3, hardware="big"), used(1, hardware="local", step="b")])
    assert [(r["hardware"], r["idle_usd"]) for r in told] == [("big", 9.0), ("local", 3.0)]
    assert [r["idle_of"] for r in told] == ["local", "local"]
    held.append(up(10, hardware="big"))
    told = shared(held, [used(4, hardware="big")])
    assert [(r["playbook"], r["hardware"], r["idle_usd"]) for r in told] == [
        ("etl/load", "big", 12.0), ("", "local", 20.0),
    ]  # fmt: skip


def test_a_day_on_which_nothing_ran_has_a_line_of_its_own() -> None:
    (alone,) = shared([up(10, slots=2)], [])
    assert (alone["playbook"], alone["hardware"], alone["idle_usd"]) == ("", "gpu", 40.0)
    (line,) = by_step([alone])
    assert (line.step, line.cost_usd, line.whole_usd, line.slot_coverage) == ("", 0.0, 40.0, 1.0)


def test_idle_time_without_a_price_is_not_free_but_not_known() -> None:
    told = shared([up(4, usd=None)], [used(1)])
    (line,) = by_step(told)
    assert (line.idle_usd, line.idle_s, line.slot_coverage) == (0.0, 3 * 3600, 0.0)


def test_what_is_known_of_all_is_no_more_than_what_is_known_of_idle_time() -> None:
    """A class without a price stands idle for a day but for a minute; another is priced."""
    held = [up(24, usd=None), up(24, hardware="local")]
    short = used(1 / 60) | {"priced_slot_s": 0.0}
    told = shared(held, [short, used(23, hardware="local", step="b")])
    assert coverage(by_step(told)) == pytest.approx(1 / 24.983, rel=1e-2)
    assert coverage(by_day(told)) <= coverage(by_step(told)) + 1e-9


def test_idle_time_with_a_price_does_not_hide_what_ran_without_one() -> None:
    (line,) = by_step(shared([up(24)], [used(1) | {"priced_slot_s": 900.0}]))
    assert line.slot_coverage == 0.25


def test_an_attempt_over_midnight_used_the_day_before_too() -> None:
    found = accounts([up(24, 0), up(2, 1)], [used(5, 1)])
    assert [(o.used_s / 3600, o.idle_s / 3600, o.beyond_s) for o in found] == [
        (3.0, 21.0, 0.0), (2.0, 0.0, 0.0),
    ]  # fmt: skip


def test_an_account_knows_what_ended_on_the_day_after_its_last() -> None:
    """Of three hours over midnight an hour was used of the day that is asked about."""
    held, rows = [up(24, 0), up(2, 1)], [used(1, 0), used(3, 1)]

    class Record:
        async def costs(self, since: float, until: float) -> list[dict[str, Any]]:
            return [row for row in rows if since <= row["day"] < until]

    class Journal:
        def read(self, stream: str) -> list[Any]:
            return [SimpleNamespace(event=e) for e in held]

    told = asyncio.run(ledger(Record(), Journal(), FIRST, FIRST + DAY_S))  # type: ignore[arg-type]
    assert [(r["day"], r["idle_s"] / 3600) for r in told] == [(FIRST, 22.0)]


def test_what_no_server_held_is_not_taken_from_another_day() -> None:
    found = accounts([up(24, 0)], [used(5, 2)])
    assert [(o.idle_s / 3600, o.beyond_s / 3600) for o in found] == [(24.0, 0.0), (0.0, 5.0)]


@pytest.mark.parametrize(("said", "slots"), [
    ("{class: local}", {"local": 8}),
    ("{class: gpu, slots: 2}", {"gpu": 2, "local": 6}),
    ("{class: gpu, slots: 20}", {"gpu": 20}),
    ("{class: gpu}, {class: local, slots: 3}", {"local": 3}),
    ("{class: gpu, slots: 2, reserved: 0}", {"local": 8}),
    ("{class: gpu, reserved: 5}, {class: local, reserved: 0}", {"gpu": 5}),
])  # fmt: skip
def test_a_class_says_how_many_of_its_slots_are_paid_for(said: str, slots: dict[str, int]) -> None:
    assert reserved(prices_of(f"hardware: [{said}]", "h.yaml"), 8) == slots


@given(st.floats(0, 1e9), st.floats(0, 1e6))
def test_a_time_is_cut_at_midnights(since: float, length: float) -> None:
    parts = list(days(since, since + length))
    assert [a for a, _ in parts[1:]] == [b for _, b in parts[:-1]]
    assert all(a // DAY_S * DAY_S + DAY_S >= b > a for a, b in parts)
    assert not parts or (parts[0][0], parts[-1][1]) == (since, since + length)


def test_a_time_touches_months() -> None:
    assert list(months(FIRST, FIRST + 40 * DAY_S)) == ["2026-11", "2026-12", "2027-01"]


@given(HELD, st.lists(st.tuples(st.sampled_from(["r1", "r2", "r3"]), st.builds(
    used, st.floats(0.01, 30), st.integers(0, 4), st.sampled_from(CLASSES),
)), min_size=1, max_size=12))  # fmt: skip
def test_runs_bear_together_what_steps_bear(
    held: list[CapacityHeld], ran: list[tuple[str, dict[str, Any]]]
) -> None:
    told = shared(held, [row for _, row in ran])
    more = {"tokens": 2, "calls": 1}
    runs = [of_run(run, [r | more for name, r in ran if name == run], told)
            for run in ("r1", "r2", "r3")]  # fmt: skip
    for name in ("idle_usd", "cost_usd", "slot_s", "attempts"):
        steps = sum(r[name] for r in told if r["playbook"])
        assert math.isclose(sum(getattr(run, name) for run in runs), steps, abs_tol=1e-6)
    assert sum(run.tokens for run in runs) == 2 * len(ran)

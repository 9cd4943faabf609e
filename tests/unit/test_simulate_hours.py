"""What if a step had waited for other hours: as the engine would, at the prices that were seen."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from clocks import TIMES, WINDOWS, ZONES
from hypothesis import given
from hypothesis import strategies as st

from driven import Driver, step, world
from optimizer.simulate.estimate import CannotSay, Estimate
from optimizer.simulate.hours import HoursClock
from optimizer.simulate.question import BadChange
from optimizer.simulate.what_if import what_if
from optimizer.simulate.work import Firing, Work, from_events
from runtime.playbook.model import Arc, Playbook, Start, Step
from runtime.run import events as ev
from runtime.run.decide import Decision

H, DAY = 3600.0, 86_400.0
NOON = 20_000 * DAY + 12 * H
NIGHT = {"dear": {"start.hours": "22-6"}}
BOOK = Playbook("p", (
    Step("fetch", {"kind": "python"}, arcs=(Arc("dear"),)),
    Step("dear", {"kind": "python"}, arcs=(Arc("last"),), start=Start("any", 12 * H)),
    Step("last", {"kind": "python"}),
))  # fmt: skip


def recorded(
    began: float, price: float | None, *, held_s: float = 0.0, spend: float = 0.0
) -> Work:
    """A run of three steps of an hour each, on one class of hardware."""
    told: list[tuple[float, ev.Event]] = [(began, ev.RunSubmitted("p", "v", 1, {}, "me"))]
    at = began
    for name, arcs in (("fetch", ["dear"]), ("dear", ["last"]), ("last", [])):
        if name == "dear" and held_s:
            told.append((at, ev.StepHeld(name, at + held_s, "22-6", "c")))
            at += held_s
        told.append((at, ev.AttemptScheduled(f"r/{name}", name, 1, "c", "k")))
        at += H
        cost = None if price is None else price + spend
        told.append((at, ev.AttemptFinished(
            f"r/{name}", name, 1, "succeeded", 1, run_s=H, arcs=arcs, hardware="gpu",
            worker="w", price_usd_hour=price, cost_usd=cost, spend_usd=spend,
        )))  # fmt: skip
    told.append((at, ev.RunCompleted(1)))
    events = [ev.Recorded(1, i, "run/r", i, when, e) for i, (when, e) in enumerate(told, 1)]
    return from_events("r", events)


def asked(work: Work, changes: Any = NIGHT, history: Any = (), book: Any = BOOK) -> Any:
    return what_if(work, changes, random.Random(1), history=history, playbook=book, draws=5)


def nights(price: float) -> list[Work]:
    """Runs that began as the night does, and at its other hours."""
    return [recorded(NOON + hour * H, price) for hour in range(10, 15)]


def test_a_wait_is_time_and_the_work_costs_what_those_hours_were_seen_to_cost() -> None:
    found = asked(recorded(NOON, 2.0), history=nights(0.5))
    assert isinstance(found, Estimate)
    assert found.recorded_makespan_s == 3 * H
    assert found.makespan_s.median == pytest.approx(12 * H)  # from noon to midnight
    assert found.cost_usd is not None
    assert found.cost_usd.median == pytest.approx(2.0 + 0.5 + 0.5)  # what follows is later too
    assert found.cost_delta is not None
    assert found.cost_delta.median == pytest.approx(-0.5)
    assert any("waits 9.0 h" in said for said in found.assumptions)


def test_what_the_tool_spends_is_the_same_at_every_hour() -> None:
    found = asked(recorded(NOON, 2.0, spend=10.0), history=nights(0.5))
    assert found.cost_usd.median == pytest.approx(33.0)


def test_an_hour_at_which_nothing_was_seen_has_no_price() -> None:
    found = asked(recorded(NOON, 2.0))
    assert isinstance(found, CannotSay)
    assert (found.why, "22:00 (UTC) on gpu" in found.text) == ("hour_not_seen", True)
    free = asked(recorded(NOON, None))
    assert isinstance(free, Estimate)
    assert (free.cost_usd, free.makespan_s.median) == (None, pytest.approx(12 * H))


def test_a_run_that_waited_would_have_begun_at_once_without_hours() -> None:
    waited = recorded(NOON, 0.5, held_s=9 * H)
    day = [recorded(NOON + hour * H, 2.0) for hour in range(3)]
    found = asked(waited, {"dear": {"start.hours": "any"}}, day)
    assert waited.makespan_s == 12 * H
    assert found.makespan_s.median == pytest.approx(3 * H)
    assert found.cost_delta.median == pytest.approx(4.5 / 1.5 - 1.0)
    same = asked(waited, {"dear": {"start.hours": "22-6"}}, day)
    assert (same.makespan_s.median, same.cost_delta.median) == (pytest.approx(12 * H), 0.0)


def test_a_step_that_may_not_wait_and_hours_that_are_none_are_refused() -> None:
    for book in (None, Playbook("p", (Step("dear"),))):
        found = asked(recorded(NOON, 2.0), book=book)
        assert isinstance(found, CannotSay)
        assert found.why == "no_start"
    with pytest.raises(BadChange, match="no hours of the day"):
        asked(recorded(NOON, 2.0), {"dear": {"start.hours": "tonight"}})


def test_hours_that_open_too_late_for_the_deadline_are_not_waited_for() -> None:
    late = asked(recorded(NOON, 2.0), book=replace(BOOK, deadline_s=9.5 * H))
    assert late.makespan_s.median == pytest.approx(3 * H)
    said = "dear: with 22-6 (UTC) it begins at once, for they open later than it may wait"
    assert said in late.assumptions
    at_once = asked(recorded(NOON + 10 * H, 2.0))
    assert "dear: with 22-6 (UTC) it begins at once" in at_once.assumptions


@given(
    WINDOWS, TIMES, st.sampled_from(ZONES), st.floats(1.0, 24 * H), st.floats(0.0, 8 * H),
    st.sampled_from([None, 4 * H, 20 * H]),
)  # fmt: skip
def test_a_step_waits_in_a_replay_as_long_as_the_engine_lets_it(
    hours: str, when: float, zone: str, at_most_s: float, spread_s: float, deadline_s: float | None
) -> None:
    start = Start(hours, at_most_s, zone, spread_s)
    w = world(step("a", start=start), at=when)
    w.playbook = replace(w.playbook, deadline_s=deadline_s)
    d = Driver(w, [ev.RunSubmitted("p", "v", 1, {}, "me")])
    d.act(Decision.begin)
    held = [event.due - when for event in d.of(ev.StepHeld)]
    latest = {"a": deadline_s} if deadline_s is not None else {}
    clock = HoursClock("r", when, {"a": start}, {}, latest)
    lag_s = clock.lag_s(Firing("a", False, (), 5.0, 1.0, (), held_s=5.0), 0.0)
    assert lag_s == pytest.approx(held[0] if held else 0.0)

"""A step that may wait for hours of the day waits for them, and for nothing longer."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from clocks import TIMES, WINDOWS, ZONES
from hypothesis import given
from hypothesis import strategies as st

from driven import OK, Driver, World, failed, mapped, step, world
from runtime.engine import children
from runtime.net.compile import compile_net
from runtime.playbook.hours import of_day
from runtime.playbook.model import Arc, Join, Playbook, Retry, Start, Step
from runtime.run import events as ev
from runtime.run.decide import DEADLINE, Decision
from runtime.run.layers import CONTROL
from runtime.run.rewind import Wanted, rewind

H = 3600.0
NOON, TEN, NIGHT = 12 * H, 22 * H, Start("22-6", 12 * H)


def at(w: World, when: float) -> World:
    w.at = when
    return w


def held(*steps: Step, when: float = NOON) -> Driver:
    return Driver(at(world(*steps), when))


def due(d: Driver, when: float) -> list[ev.RunEvent]:
    d.world.at = when
    return d.act(Decision.due)


def statuses(d: Driver) -> list[str]:
    return [s.status for s in d.state.steps.values()]


# ---- waiting ----------------------------------------------------------------------------


def test_a_step_waits_for_its_hours_and_then_begins() -> None:
    d = held(step("a", "b", start=NIGHT), step("b"))
    (event,) = d.of(ev.StepHeld)
    assert (event.step, event.due, event.hours, event.config) == ("a", TEN, "22-6", event.config)
    assert (d.flying(), statuses(d)) == ([], ["active", "waiting"])
    assert due(d, TEN - 1) == []
    due(d, TEN)
    (tried,) = d.flying()
    assert (tried.step, tried.number, tried.config, tried.at) == ("a", 1, event.config, TEN)
    d.run_out()
    assert (d.state.status, d.world.at) == ("completed", TEN)


@pytest.mark.parametrize(
    ("start", "when"),
    [
        (Start("any"), NOON), (None, NOON), (NIGHT, 23 * H), (NIGHT, 2 * H),
        (Start("22-6", 9 * H), NOON),  # they open later than it may wait
    ],
)  # fmt: skip
def test_a_step_begins_at_once_in_its_hours_and_where_it_may_not_wait_for_them(
    start: Start | None, when: float
) -> None:
    d = held(step("a", start=start), when=when)
    assert (d.of(ev.StepHeld), [t.at for t in d.flying()]) == ([], [when])


@given(WINDOWS, TIMES, st.sampled_from(ZONES), st.floats(1.0, 24 * H))
def test_a_step_never_waits_longer_than_it_may_and_begins_in_its_hours_if_it_waits(
    hours: str, when: float, zone: str, at_most_s: float
) -> None:
    d = held(step("a", start=Start(hours, at_most_s, zone)), when=when)
    for event in d.of(ev.StepHeld):
        assert event.zone == zone
        assert when < event.due <= when + at_most_s
        assert datetime.fromtimestamp(event.due, ZoneInfo(zone)).hour in of_day(hours)
        due(d, event.due)
    assert len(d.flying()) == 1


@given(
    WINDOWS, TIMES, st.sampled_from(ZONES), st.floats(1.0, 24 * H), st.floats(0.0, 24 * H),
    st.integers(0, 99),
)  # fmt: skip
def test_a_spread_stays_within_the_hours_and_within_what_may_be_waited(
    hours: str, when: float, zone: str, at_most_s: float, spread_s: float, run: int
) -> None:
    sharp = held(step("a", start=Start(hours, at_most_s, zone)), when=when).of(ev.StepHeld)
    w = at(world(step("a", start=Start(hours, at_most_s, zone, spread_s))), when)
    spread = Driver(w, [ev.RunSubmitted("p", "v", 1, {}, "me")], f"r{run}")
    spread.act(Decision.begin)
    assert len(spread.of(ev.StepHeld)) == len(sharp)
    for event, first in zip(spread.of(ev.StepHeld), sharp, strict=True):
        assert first.due <= event.due <= first.due + spread_s
        assert event.due <= when + at_most_s
        assert datetime.fromtimestamp(event.due, ZoneInfo(zone)).hour in of_day(hours)


def test_runs_that_wait_for_the_same_hours_are_spread_evenly_and_each_always_alike() -> None:
    def begins(run: int) -> float:
        w = at(world(step("a", start=replace(NIGHT, spread_s=H))), NOON)
        d = Driver(w, [ev.RunSubmitted("p", "v", 1, {}, "me")], f"r{run}")
        d.act(Decision.begin)
        (event,) = d.of(ev.StepHeld)
        return float(event.due)

    found = [begins(run) for run in range(400)]
    assert found == [begins(run) for run in range(400)]
    quarters = [sum(int((due - TEN) // (H / 4)) == k for due in found) for k in range(4)]
    assert sum(quarters) == 400
    assert min(quarters) > 70  # of a hundred each


@pytest.mark.parametrize(
    ("deadline_s", "waits"), [(9.9 * H, False), (10 * H, True), (24 * H, True)]
)
def test_it_leaves_itself_its_time_before_the_run_s_deadline(
    deadline_s: float, waits: bool
) -> None:
    w = world(step("a", start=NIGHT))
    w.playbook = replace(w.playbook, deadline_s=deadline_s)
    assert bool(Driver(at(w, NOON)).of(ev.StepHeld)) is waits
    w.playbook = replace(w.playbook, steps=(step("a", start=NIGHT, total_timeout_s=15 * H),))
    assert not Driver(at(w, NOON)).of(ev.StepHeld)


@pytest.mark.parametrize(("due", "waits"), [(TEN - 1, False), (TEN + 59, False), (TEN + 60, True)])
def test_it_leaves_itself_its_time_before_whoever_waits_for_its_run_gives_up(
    due: float, waits: bool
) -> None:
    w = at(world(step("a", start=NIGHT, timeout_s=60.0)), NOON)
    d = Driver(w, [ev.RunSubmitted("p", "v", 1, {}, "me", due=due)])
    d.act(Decision.begin)
    assert bool(d.of(ev.StepHeld)) is waits


def test_a_child_is_due_when_any_of_those_above_it_or_the_try_itself_is_out_of_time() -> None:
    below = {"kind": "playbook", "path": "b"}
    w = at(world(step("a", tool=below, timeout_s=5 * H, total_timeout_s=6 * H)), NOON)
    w.playbook = replace(w.playbook, deadline_s=7 * H)
    d = Driver(w)
    (tried,) = d.flying()
    for name, hours in ((tried.attempt, 5), ("a", 6), (DEADLINE, 7)):
        assert children.due(d.state, tried) == NOON + hours * H
        del d.state.timers[name]
    d.state.due = NOON + 4 * H
    assert children.due(d.state, tried) == NOON + 4 * H
    d.state.due = None
    assert children.due(d.state, tried) is None


def test_it_does_not_make_a_join_late_that_is_counting_already() -> None:
    steps = (
        step("go", "quick", "first"), step("quick", "meet"), step("first", "slow"),
        step("slow", "meet", start=NIGHT), step("meet", join=Join(within_s=H)),
    )  # fmt: skip
    d = held(*steps)
    for name in ("go", "quick", "first"):
        d.end(d.flying(name)[0])
    assert d.of(ev.StepHeld) == []
    assert [t.step for t in d.flying()] == ["slow"]


def test_its_total_timeout_counts_from_when_it_begins() -> None:
    d = held(step("a", start=NIGHT, total_timeout_s=60.0))
    assert d.of(ev.TimerSet) == []
    due(d, TEN)
    assert [(t.name, t.due) for t in d.of(ev.TimerSet)] == [("a", TEN + 60)]


def test_what_failed_is_tried_again_at_once_whatever_the_hour() -> None:
    d = held(step("a", start=NIGHT, retry=Retry(2)))
    due(d, TEN)
    d.world.at = 9 * H + 24 * H
    d.end(d.flying()[0], failed())
    due(d, d.world.at + 60)
    assert [e.number for e in d.of(ev.AttemptScheduled)] == [1, 2]
    assert len(d.of(ev.StepHeld)) == 1


def test_a_later_round_of_a_loop_does_not_wait_again() -> None:
    arcs = (Arc("a", when="more", max=3), Arc("b", otherwise=True))
    w = world(step("a", split="exclusive", start=NIGHT), step("b"), conditions={"more": True})
    w.playbook = Playbook("p", (replace(w.playbook.steps[0], arcs=arcs), w.playbook.steps[1]))
    d = Driver(at(w, NOON))
    due(d, TEN)
    d.world.at = NOON + 24 * H
    d.end(d.flying()[0])
    assert (len(d.of(ev.StepHeld)), [t.step for t in d.flying()]) == (1, ["a"])


def test_the_items_of_an_each_are_counted_and_cut_when_its_hours_come() -> None:
    d = Driver(at(mapped(10, 5, 2, start=NIGHT), NOON))
    assert (d.of(ev.EachCut), statuses(d)) == ([], ["active"])
    due(d, TEN)
    assert [(e.kind, e.stop) for e in d.of(ev.EachCut)] == [("all", 10)]
    d.run_out()
    assert d.state.result == {"items": 10, "failed": 0, "results": [1, 1]}
    d = Driver(at(mapped(0, 5, 2, start=NIGHT), NOON))
    due(d, TEN)
    assert (d.state.status, d.state.pauses) == ("completed", {})


# ---- what happens meanwhile ---------------------------------------------------------------


def test_a_run_that_waits_can_be_cancelled_at_once() -> None:
    d = held(step("a", start=NIGHT))
    d.act(lambda d: d.cancel("me", ""))
    assert (d.state.status, d.state.pauses) == ("cancelled", {})


def test_a_paused_run_does_not_begin_and_does_when_it_is_resumed() -> None:
    d = held(step("a", start=NIGHT))
    d.act(lambda d: d.pause("me"))
    assert due(d, TEN) == []
    d.world.at = TEN + H
    d.act(lambda d: d.resume("me"))
    due(d, TEN + H)
    assert [t.step for t in d.flying()] == ["a"]


def test_a_run_that_fails_waits_no_longer() -> None:
    d = held(step("go", "a", "b"), step("a", start=NIGHT), step("b"))
    d.end(d.flying()[0])
    d.end(d.flying("b")[0], failed("permanent"))
    assert (d.state.status, d.state.pauses) == ("failed", {})


def test_a_loser_that_waits_is_let_go() -> None:
    meet = step("meet", join=Join(kind="any", losers="cancel"))
    d = held(step("go", "a", "b"), step("a", "meet"), step("b", "meet", start=NIGHT), meet)
    d.end(d.flying()[0])
    d.end(d.flying("a")[0])
    d.end(d.flying("meet")[0])
    assert (d.state.status, d.state.steps["b"].status) == ("completed", "cancelled")


def test_a_run_retried_from_a_step_that_waited_begins_it_anew() -> None:
    d = held(step("a", "b"), step("b", start=NIGHT))
    d.end(d.flying()[0])
    due(d, TEN)
    d.end(d.flying()[0], failed("permanent"))
    events = [ev.Recorded(1, i, "run/r", i, 1.0, e) for i, e in enumerate(d.log, 1)]
    found = rewind(d.world.playbook, compile_net(d.world.playbook), events, Wanted())
    assert found.steps == ["b"]
    assert not any(isinstance(r.event, ev.StepHeld) for r in found.events)


# ---- trials -------------------------------------------------------------------------------


def trial(share: float) -> ev.ExperimentStarted:
    return ev.ExperimentStarted(
        "x", "p-1", "p", "a", "schedule", "blocks", {}, {"candidate": {"start.hours": "22-6"}},
        {"candidate": share}, salt="s", bound="h", block_items=1,
    )  # fmt: skip


def tried(w: World, share: float) -> Driver:
    w.layers.evolve(trial(share))
    return Driver(at(w, NOON))


SINGLE: Any = {"start": Start(at_most_s=12 * H)}


def test_the_candidate_of_a_trial_waits_and_its_control_begins() -> None:
    d = tried(world(step("a", **SINGLE)), 1.0)
    (event,) = d.of(ev.StepHeld)
    assert (event.experiment, event.arm, event.share) == ("x", "candidate", 1.0)
    due(d, TEN)
    (begun,) = d.of(ev.AttemptScheduled)
    assert (begun.config, begun.experiment, begun.arm, begun.share) == (
        event.config, "x", "candidate", 1.0,
    )  # fmt: skip
    d = tried(world(step("a", **SINGLE)), 0.0)
    assert ([t.arm for t in d.flying()], d.of(ev.StepHeld)) == ([CONTROL], [])


@pytest.mark.parametrize(("share", "arm"), [(1.0, "candidate"), (0.0, CONTROL)])
def test_a_run_is_the_unit_of_a_trial_of_an_each_too(share: float, arm: str) -> None:
    w = mapped(10, 5, 2, **SINGLE)
    w.layers.evolve(trial(share).but(step="map"))
    d = Driver(at(w, NOON))
    assert len(d.of(ev.StepHeld)) == (arm != CONTROL)
    due(d, TEN)
    assert [(e.kind, e.start, e.stop, e.arm) for e in d.of(ev.EachCut)] == [("block", 0, 10, arm)]


def test_what_waits_for_a_trial_that_was_taken_back_begins_as_the_step_is() -> None:
    for w in (world(step("a", **SINGLE)), mapped(4, 2, 2, **SINGLE)):
        name = w.playbook.steps[0].name
        w.layers.evolve(trial(1.0).but(step=name))
        d = Driver(at(w, NOON))
        w.layers.evolve(ev.ExperimentEnded("x", "rolled_back"))
        d.act(lambda d: d.rescue("x"))
        assert {(t.step, t.arm, t.at) for t in d.flying()} == {(name, None, NOON)}
        d.run_out(lambda _: OK)
        assert d.state.status == "completed"


def test_what_waits_when_a_trial_has_ended_well_begins_in_its_hours_as_the_step_is_by_then() -> (
    None
):
    d = tried(world(step("a", **SINGLE)), 1.0)
    d.world.layers.evolve(ev.ExperimentEnded("x", "kept"))
    due(d, TEN)
    assert [(t.arm, t.at) for t in d.flying()] == [(None, TEN)]

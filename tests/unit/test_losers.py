"""When a join that cancels its losers has fired, what works for its sake alone is let go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from driven import OK, Driver, World, failed, step, world
from runtime.playbook.model import Arc, Hedge, Join, Playbook, Repeat, Retry, Step
from runtime.playbook.model import Each as EachSpec
from runtime.run import events as ev
from runtime.run.decide import Decision, Ended, losers
from runtime.run.state import Try
from runtime.run.tokens import LOSER

KILLED = Ended("", "cancelled", LOSER)


def race(*slow: Step, **join: Any) -> World:
    """``fast`` and the slow ones begin together; ``meet`` takes the first."""
    names = ["fast", *(s.name for s in slow if s.name.startswith("slow"))]
    meet = step("meet", "after", join=Join(**{"kind": "any", "losers": "cancel"} | join))
    return world(step("start", *names), step("fast", "meet"), *slow, meet, step("after"))


def won(w: World) -> Driver:
    """The race up to where ``meet`` has fired."""
    d = Driver(w)
    d.end(d.flying("start")[0])
    d.end(d.flying("fast")[0])
    return d


def statuses(d: Driver, *names: str) -> list[str]:
    return [d.state.steps[name].status for name in names]


def kill(d: Driver) -> list[str]:
    """What the engine does: it ends the tries of losers."""
    found = losers(d.state, d.world.playbook)
    for tried in found:
        d.end(tried, KILLED)
    return [t.step for t in found]


def test_a_loser_s_try_is_killed_and_what_would_have_followed_is_skipped() -> None:
    d = won(race(step("slow", "later"), step("later", "meet")))
    assert kill(d) == ["slow"]
    assert statuses(d, "slow", "later") == ["cancelled", "skipped"]
    assert d.state.steps["slow"].fault == LOSER
    d.run_out()
    assert (d.state.status, d.state.marking.lost, d.state.marking.tokens()) == (
        "completed", set(), {},
    )  # fmt: skip
    assert [e.step for e in d.of(ev.AttemptScheduled)] == [
        "start", "fast", "slow", "meet", "after",
    ]  # fmt: skip


def test_what_was_about_to_begin_for_a_join_that_fires_is_skipped() -> None:
    steps = (
        step("start", "pass", "meet"), Step("pass", None, (Arc("slow"),)),
        step("slow", "meet"), step("meet", join=Join("any", losers="cancel")),
    )  # fmt: skip
    d = Driver(world(*steps))
    d.end(d.flying("start")[0])
    assert statuses(d, "pass", "slow") == ["done", "skipped"]
    d.run_out()
    assert (d.state.status, d.state.marking.tokens()) == ("completed", {})


def test_losers_that_are_to_finish_are_left_alone() -> None:
    d = won(race(step("slow", "meet"), losers="finish"))
    assert kill(d) == []
    d.run_out()
    assert statuses(d, "slow", "meet") == ["done", "done"]


def test_what_also_leads_elsewhere_is_left_alone() -> None:
    d = won(race(step("slow", "meet", "log"), step("log")))
    assert kill(d) == []
    d.run_out()
    assert statuses(d, "slow", "log", "meet") == ["done", "done", "done"]


def test_an_effect_that_happens_once_and_may_be_under_way_finishes() -> None:
    d = won(race(step("slow", "later", effect="once"), step("later", "meet")))
    [tried] = d.flying("slow")
    d.take([ev.AttemptLeased(tried.attempt, "slow", "")], into_state=True)
    assert kill(d) == []
    d.end(tried)
    assert statuses(d, "slow", "later") == ["done", "skipped"]


def test_an_effect_that_happens_once_and_is_not_yet_allowed_is_withdrawn() -> None:
    d = won(race(step("slow", "meet", effect="once")))
    assert kill(d) == ["slow"]


def test_a_loser_of_which_nobody_knows_whether_it_acted_fails_the_run() -> None:
    d = won(race(step("slow", "meet", effect="once")))
    [tried] = d.flying("slow")
    d.take([ev.AttemptLeased(tried.attempt, "slow", "")], into_state=True)
    d.end(tried, Ended("", "lost", ev.Fault("lost", "gone")))
    assert d.state.status == "failing"
    assert d.of(ev.RunFailing)[0].fault.cls == "unknown"


@pytest.mark.parametrize("how", [failed(), Ended("", "lost", ev.Fault("lost", "gone"))])
def test_a_loser_that_fails_by_itself_is_not_tried_again_and_does_not_fail_the_run(
    how: Ended,
) -> None:
    d = won(race(step("slow", "meet", retry=Retry(attempts=5, on=("transient",)))))
    d.end(d.flying("slow")[0], how)
    assert (d.state.pauses, statuses(d, "slow")) == ({}, ["cancelled"])
    d.run_out()
    assert d.state.status == "completed"


def test_a_loser_that_ends_well_before_it_is_killed_is_done() -> None:
    d = won(race(step("slow", "later"), step("later", "meet")))
    d.end(d.flying("slow")[0])
    assert statuses(d, "slow", "later") == ["done", "skipped"]


def test_a_loser_that_waits_for_its_next_try_is_let_go_at_once() -> None:
    w = race(step("slow", "meet", retry=Retry(attempts=5, on=("transient",))))
    d = Driver(w)
    d.end(d.flying("start")[0])
    d.end(d.flying("slow")[0], failed())
    assert d.state.pauses
    d.end(d.flying("fast")[0])
    assert (d.state.pauses, statuses(d, "slow")) == ({}, ["cancelled"])


@pytest.mark.parametrize(
    "tool",
    [{"kind": "wait", "for": 900.0}, {"kind": "signal", "name": "go"}, {"kind": "approval"},
     {"kind": "playbook", "path": "t/child"}],
)  # fmt: skip
def test_a_loser_that_waits_for_a_time_a_signal_or_a_run_is_let_go_at_once(
    tool: dict[str, Any],
) -> None:
    d = won(race(step("slow", "meet", tool=tool, timeout_s=1000.0)))
    [ended] = [e for e in d.of(ev.AttemptFinished) if e.step == "slow"]
    assert (ended.outcome, ended.fault, statuses(d, "slow")) == ("cancelled", LOSER, ["cancelled"])
    d.run_out()
    assert (d.state.status, d.state.attempts) == ("completed", {})


def test_a_step_that_repeats_for_a_join_that_has_fired_repeats_no_more() -> None:
    d = won(race(step("slow", "meet", repeat=Repeat("done", max=9, wait_s=1.0))))
    d.end(d.flying("slow")[0], replace(OK, result=0))
    assert (d.state.pauses, statuses(d, "slow")) == ({}, ["cancelled"])


def test_an_each_that_lost_schedules_no_more_batches_and_keeps_what_it_has() -> None:
    w = race(step("slow", "meet", each=EachSpec("{{ x }}", 1, 2)))
    w.items_of["slow"] = 9
    d = Driver(w)
    d.end(d.flying("start")[0])
    d.end(d.flying("slow")[0])
    d.end(d.flying("fast")[0])
    assert kill(d) == ["slow", "slow"]
    assert statuses(d, "slow") == ["cancelled"]
    assert d.state.steps["slow"].value["results"] == [1]
    d.run_out()
    assert d.state.status == "completed"


def test_a_join_that_fires_at_its_deadline_cancels_who_is_late() -> None:
    d = Driver(race(step("slow", "meet"), kind="all", within_s=10.0, at_deadline="fire"))
    d.end(d.flying("start")[0])
    d.end(d.flying("fast")[0])
    d.world.at += 11
    d.act(Decision.due)
    assert kill(d) == ["slow"]
    d.run_out()
    assert d.state.status == "completed"


def test_so_many_of_them_are_enough() -> None:
    d = Driver(race(step("slow", "meet"), step("slower", "meet"), kind="at_least", n=2))
    d.end(d.flying("start")[0])
    d.end(d.flying("fast")[0])
    assert kill(d) == []
    d.end(d.flying("slow")[0])
    assert kill(d) == ["slower"]
    d.run_out()
    assert d.state.status == "completed"


def rounds() -> World:
    """Each round two ask, and the first to answer is enough."""
    meet = Step(
        "meet", {"kind": "x"}, (Arc("start", when="again", max=5), Arc("after", otherwise=True)),
        "exclusive", join=Join("any", losers="cancel"),
    )  # fmt: skip
    steps = (step("start", "fast", "slow"), step("fast", "meet"), step("slow", "meet"), meet,
             step("after"))  # fmt: skip
    return World(Playbook("p", steps), conditions={"again": True})


def test_in_a_loop_each_round_cancels_its_own_losers() -> None:
    d = Driver(rounds())
    for round_ in range(3):
        d.world.conditions["again"] = round_ < 2
        d.end(d.flying("start")[0])
        d.end(d.flying("slow" if round_ == 1 else "fast")[0])
        assert kill(d) == ["fast" if round_ == 1 else "slow"]
        d.end(d.flying("meet")[0])
    d.run_out()
    assert (d.state.status, d.state.marking.tokens()) == ("completed", {})
    assert d.state.steps["meet"].times == 3


def test_the_next_round_begins_when_the_losers_of_the_last_have_ended() -> None:
    d = Driver(rounds())
    d.end(d.flying("start")[0])
    [slow] = d.flying("slow")
    d.end(d.flying("fast")[0])
    d.end(d.flying("meet")[0])
    assert [t.step for t in d.flying()] == ["slow"], "nothing of the next round has begun"
    d.end(slow, KILLED)
    assert [t.step for t in d.flying()] == ["start"]


def test_a_run_that_fails_meanwhile_ends_its_losers_as_it_ends_everything() -> None:
    d = won(race(step("slow", "meet")))
    d.end(d.flying("meet")[0], failed("permanent"))
    assert d.state.status == "failing"
    d.end(d.flying("slow")[0], KILLED)
    assert d.state.status == "failed"


def test_a_loser_that_a_paused_run_had_under_way_ends_all_the_same() -> None:
    d = won(race(step("slow", "meet")))
    d.act(lambda x: x.pause("me"))
    kill(d)
    d.act(lambda x: x.resume("me"))
    d.run_out()
    assert d.state.status == "completed"


def test_the_try_of_a_loser_says_that_it_was_cancelled() -> None:
    d = won(race(step("slow", "meet")))
    tried: Try = d.flying("slow")[0]
    [event] = d.end(tried, KILLED)
    assert isinstance(event, ev.AttemptFinished)
    assert event.outcome == "cancelled"
    assert event.fault is not None
    assert (event.fault.cls, event.arcs) == ("cancelled", [])


def test_of_a_loser_that_was_hedged_both_tries_are_ended_and_then_the_step() -> None:
    d = Driver(race(step("slow", "meet", hedge=Hedge(1.0))))
    d.end(d.flying("start")[0])
    [slow] = d.flying("slow")
    d.act(lambda x: x.hedge(slow.attempt))
    d.end(d.flying("fast")[0])
    first, second = d.flying("slow")
    d.end(first, KILLED)
    assert statuses(d, "slow") == ["active"]
    d.end(second, KILLED)
    assert statuses(d, "slow") == ["cancelled"]
    d.run_out()
    assert d.state.status == "completed"

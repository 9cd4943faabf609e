"""A run that goes on from one of its steps: what stays, what begins again, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driven import OK, Driver, World, failed, mapped, step, world
from runtime.playbook.model import Arc, Hedge, Join, Playbook, Reduce, Retry, Step
from runtime.run import events as ev
from runtime.run.decide import Decision, Ended
from runtime.run.rewind import RewindFault, Rewound, Wanted, rewind

GONE = Ended("", "cancelled", ev.Fault("cancelled", "the run was ending"))


def told(d: Driver) -> list[ev.Recorded]:
    return [ev.Recorded(1, i, "run/r", i, 100.0, e) for i, e in enumerate(d.log, 1)]


def plan(d: Driver, **how: Any) -> Rewound:
    return rewind(d.world.playbook, d.net, told(d), Wanted(**how))


class Again(Driver):
    """A run that goes on with what still holds of another."""

    def __init__(self, old: Driver, **how: Any) -> None:
        self.plan = plan(old, **how)
        super().__init__(old.world, [r.event for r in self.plan.events])  # type: ignore[misc]
        for name, batch in self.plan.batches:
            self.act(lambda d, n=name, b=batch: d.recut(n, b))
        for end in self.plan.drained:
            self.act(lambda d, e=end: d.ended(Ended(e.attempt, e.outcome, result=e.result)))
        self.act(Decision.begin)
        self.act(Decision.due)

    def begun(self) -> list[str]:
        """What was scheduled since it went on."""
        kept = sum(isinstance(r.event, ev.AttemptScheduled) for r in self.plan.events)
        return [f"{e.step}" for e in self.of(ev.AttemptScheduled)[kept:]]


def diamond(**kw: Any) -> World:
    return world(
        step("a", "b", "c"), step("b", "d"), step("c", "e"), step("e", "d"), step("d"), **kw
    )


def broken(w: World, *bad: str, fault: Ended | None = None) -> Driver:
    d = Driver(w)
    d.run_out(lambda t: (fault or failed("permanent")) if t.step in bad else OK)
    assert d.state.status == "failed"
    return d


def test_a_failed_run_goes_on_with_the_step_that_failed() -> None:
    again = Again(broken(diamond(), "e"))
    again.run_out()
    assert again.plan.steps == ["e"]
    assert again.begun() == ["e", "d"]
    assert again.state.status == "completed"


def test_what_another_branch_did_stays_whenever_it_happened() -> None:
    d = Driver(diamond())
    d.run_out(lambda t: OK)
    again = Again(d, step="c")
    again.run_out()
    assert again.begun() == ["c", "e", "d"]
    assert again.state.steps["b"].times == 1


def test_what_ended_well_while_the_run_was_failing_is_not_done_again() -> None:
    d = Driver(diamond())
    d.end(d.flying("a")[0])
    d.end(d.flying("c")[0], failed("permanent"))
    d.end(d.flying("b")[0], replace(OK, result="kept"))
    assert d.state.status == "failed"
    again = Again(d)
    assert (again.plan.steps, [e.step for e in again.plan.drained]) == (["c"], ["b"])
    again.run_out()
    assert again.begun() == ["c", "e", "d"]
    assert again.state.steps["b"].value == "kept"


def test_a_cancelled_run_goes_on_where_it_was_cut_off() -> None:
    d = Driver(diamond())
    d.end(d.flying("a")[0])
    d.act(lambda x: x.cancel("me", ""))
    d.end(d.flying("b")[0], GONE)
    d.end(d.flying("c")[0], GONE)
    assert d.state.status == "cancelled"
    again = Again(d)
    again.run_out()
    assert again.plan.steps == ["b", "c"]
    assert again.state.status == "completed"


@pytest.mark.parametrize("failed_only", [True, False])
def test_of_an_each_the_failed_batches_alone_are_tried_again(failed_only: bool) -> None:
    d = Driver(mapped(10, batch=2, in_flight=2))
    d.run_out(lambda t: failed("permanent") if t.start == 4 else replace(OK, result=t.start))
    assert d.state.status == "failed"
    again = Again(d, failed_only=failed_only)
    again.run_out(lambda t: replace(OK, result=t.start))
    assert again.state.status == "completed"
    assert again.state.result["results"] == [0, 2, 4, 6, 8]
    assert again.state.result["failed"] == 0
    kept = {e.batch for r in again.plan.events if isinstance(e := r.event, ev.AttemptFinished)}
    assert (0 in kept) is failed_only


def test_batches_that_were_allowed_to_fail_are_tried_again_when_asked_for() -> None:
    w = mapped(6, batch=1, in_flight=6, allow=0.5)
    d = Driver(w)
    d.run_out(lambda t: failed("permanent") if t.batch in (1, 2) else OK)
    assert (d.state.status, d.state.result["failed"]) == ("completed", 2)
    again = Again(d, step="map", failed_only=True)
    again.run_out()
    assert again.state.result["failed"] == 0
    assert len(again.begun()) == 2


def test_an_each_that_was_cut_off_beside_a_failure_keeps_what_it_had() -> None:
    w = world(
        step("a", "map", "x"), mapped(4, 1, 2).playbook.steps[0], step("x"), items_of={"map": 4}
    )
    d = Driver(w)
    d.end(d.flying("a")[0])
    d.end(d.flying("map")[0], replace(OK, result=0))
    d.end(d.flying("x")[0], failed("permanent"))
    d.end(d.flying("map")[0], replace(OK, result=1))
    d.end(d.flying("map")[0], GONE)
    assert d.state.status == "failed"
    again = Again(d)
    assert again.plan.steps == ["map", "x"]
    again.run_out(lambda t: replace(OK, result=t.start))
    assert again.state.steps["map"].value["results"] == [0, 1, 2, 3]
    assert sorted(again.begun()) == ["map", "map", "x"]


@pytest.mark.parametrize("hedge_fails_first", [True, False])
def test_a_batch_whose_hedge_failed_is_not_tried_again_nor_is_one_that_beat_it(
    hedge_fails_first: bool,
) -> None:
    w = mapped(2, batch=1, in_flight=2)
    hedged = replace(w.playbook.step("map"), hedge=Hedge(2.0), arcs=(Arc("b"),))
    w.playbook = Playbook("p", (hedged, step("b")))
    d = Driver(w)
    one, other = d.flying()
    d.act(lambda x: x.hedge(one.attempt))
    pair = [one, d.flying()[2]]
    d.end(pair[hedge_fails_first], failed() if hedge_fails_first else OK)
    d.end(pair[not hedge_fails_first], OK if hedge_fails_first else failed())
    d.end(other)
    d.run_out(lambda _: failed("permanent"))
    again = Again(d)
    assert (again.plan.steps, again.begun()) == (["b"], ["b"])
    with pytest.raises(RewindFault, match="no batch of map failed"):
        plan(d, step="map", failed_only=True)


def compensated() -> World:
    undo = {"kind": "python", "call": "m:undo"}
    return world(step("pay", "book", compensate=undo), step("book", "send"), step("send"))


def test_a_step_that_was_compensated_begins_again_and_is_named() -> None:
    again = Again(broken(compensated(), "send"))
    assert (again.plan.steps, again.plan.undone) == (["pay", "send"], ["pay"])
    again.run_out()
    assert again.begun() == ["pay", "book", "send"]


def test_a_compensation_that_failed_leaves_nobody_knowing() -> None:
    d = broken(compensated(), "send", "pay.compensate")
    with pytest.raises(RewindFault, match=r"nobody knows whether pay is undone"):
        plan(d)
    again = Again(d, step="pay")
    again.run_out()
    assert again.state.status == "completed"


def leased(d: Driver) -> None:
    attempt = d.flying()[0]
    d.take([ev.AttemptLeased(attempt.attempt, attempt.step, "")])


def test_a_step_that_acts_once_acts_again_only_when_that_is_said() -> None:
    d = Driver(world(step("pay", "send", effect="once"), step("send")))
    leased(d)
    d.run_out(lambda t: failed("permanent") if t.step == "send" else OK)
    assert Again(d).plan.steps == ["send"]
    with pytest.raises(RewindFault, match="pay may act once"):
        plan(d, step="pay")
    again = Again(d, step="pay", once=True)
    again.run_out()
    assert again.begun() == ["pay", "send"]


@pytest.mark.parametrize(("cls", "refused"), [("permanent", False), ("unknown", True)])
def test_a_once_step_that_said_itself_that_it_failed_is_tried_again(
    cls: str, refused: bool
) -> None:
    d = Driver(world(step("pay", effect="once")))
    leased(d)
    d.run_out(lambda _: failed(cls))
    if refused:
        with pytest.raises(RewindFault, match="say `once`"):
            plan(d)
    else:
        assert plan(d).steps == ["pay"]


def test_a_value_combined_with_one_that_is_taken_out_is_combined_anew() -> None:
    add = {"total": Reduce("add", 1)}
    w = world(step("a", "b", "c"), step("b", sets=add), step("c", sets=add))
    d = Driver(w)
    d.end(d.flying("a")[0])
    for name in ("b", "c"):
        event = d.flying(name)[0]
        d.end(event)
    log = [
        e.but(sets={"total": 1}) if isinstance(e, ev.AttemptFinished) and e.step in "bc" else e
        for e in d.log
    ]
    d.log = log
    assert plan(d, step="b").steps == ["b", "c"]
    assert plan(d, step="c").steps == ["c"]


def test_in_a_loop_a_round_is_named_by_its_number() -> None:
    w = world(
        Step("head", {"kind": "x"}, (Arc("body"),)),
        Step("body", {"kind": "x"}, (Arc("head", when="more", max=9), Arc("out", otherwise=True)),
             "exclusive"),
        step("out"), conditions={"more": True},
    )  # fmt: skip
    d = Driver(w)
    while not d.state.ended:
        d.end(d.flying()[0])
        w.conditions["more"] = len(d.of(ev.AttemptFinished)) < 4
    assert d.state.steps["body"].times == 3
    assert plan(d, step="body", round=1).seq < plan(d, step="body").seq
    again = Again(d, step="body", round=2)
    again.run_out()
    assert again.begun() == ["body", "out"]
    with pytest.raises(RewindFault, match="began 3 times: there is no round 4"):
        plan(d, step="body", round=4)


def test_an_answer_is_asked_for_again_and_a_signal_that_came_stays() -> None:
    w = world(
        step("sig", "ask", tool={"kind": "signal", "name": "paid"}),
        step("ask", "end", tool={"kind": "approval", "prompt": "?"}),
        step("end"),
    )
    d = Driver(w)
    d.act(lambda x: x.signal("paid", 7, "me"))
    d.act(lambda x: x.signal("approval:ask", {"approved": True}, "me"))
    d.run_out(lambda _: failed("permanent"))
    assert Again(d).begun() == ["end"]
    asked = Again(d, step="ask")
    assert [t.step for t in asked.flying()] == ["ask"]
    assert [t.step for t in Again(d, step="sig").flying()] == ["sig"]


def test_a_step_out_of_time_has_its_time_again() -> None:
    d = Driver(world(step("a", total_timeout_s=10.0, retry=Retry(attempts=9, initial_s=8.0))))
    d.run_out(lambda _: failed())
    assert d.state.fault is not None
    assert d.state.fault.cls in ("timeout", "transient")
    again = Again(d)
    assert again.state.timers == {"a": again.world.at + 10.0}
    again.run_out()
    assert again.state.status == "completed"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, "nothing of it failed: name a step, of a, b, c, e, d"),
        ({"step": "nope"}, "there is no step nope"),
        ({"step": "a", "failed_only": True}, "a has no batches"),
    ],
)
def test_a_refusal_says_what_would_do(how: dict[str, Any], said: str) -> None:
    d = Driver(diamond())
    d.run_out()
    with pytest.raises(RewindFault, match=said):
        plan(d, **how)


def test_a_step_that_never_began_cannot_begin_again() -> None:
    d = broken(diamond(), "c")
    with pytest.raises(RewindFault, match="d never began in it: these did: a, b, c"):
        plan(d, step="d")


@given(
    st.lists(st.sampled_from(["a", "b", "c", "e", "d"]), max_size=2), st.randoms(),
    st.sampled_from(["a", "b", "c", "e", "d", None]), st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=200)
def test_from_any_step_of_any_run_it_goes_on_to_the_end(
    bad: list[str], chance: Any, name: str | None, quorum: bool
) -> None:
    """Whatever failed, in whatever order things ended: what is left of it completes."""
    w = diamond()
    if quorum:
        *others, last = w.playbook.steps
        w = world(*others, replace(last, join=Join("any")))
    d = Driver(w)
    while not d.state.ended:
        t = chance.choice(d.flying())
        d.end(t, failed("permanent") if t.step in bad else OK)
    try:
        again = Again(d, step=name)
    except RewindFault:
        assert d.state.status == "completed" if name is None else name not in d.state.order
        return
    again.run_out()
    assert again.state.status == "completed"
    assert all(s.status == "done" for s in again.state.steps.values())


# ---- losers of joins, and rounds --------------------------------------------------------


def raced(bad: str) -> Driver:
    """``quick`` wins, ``slow`` is let go, and ``bad`` fails."""
    join = step("meet", "after", join=Join("any", losers="cancel"))
    steps = (step("start", "quick", "slow"), step("quick", "meet"), step("slow", "meet"), join)
    d = Driver(world(*steps, step("after")))
    d.end(d.flying("start")[0])
    d.end(d.flying("quick")[0])
    d.end(d.flying("slow")[0], Ended("", "cancelled"))
    d.run_out(lambda t: failed("permanent") if t.step == bad else OK)
    assert d.state.steps["slow"].status == "cancelled"
    return d


def test_what_was_let_go_for_a_join_that_still_holds_does_not_begin_again() -> None:
    again = Again(raced("after"))
    again.run_out()
    assert again.begun() == ["after"]
    assert again.state.status == "completed"
    assert again.state.steps["slow"].status == "cancelled"


def test_what_was_let_go_begins_again_with_the_join_it_worked_for() -> None:
    again = Again(raced("after"), step="quick")
    assert sorted(t.step for t in again.flying()) == ["quick", "slow"]
    again.run_out()
    assert again.state.status == "completed"


def test_when_one_round_of_several_could_not_be_undone_nobody_knows() -> None:
    back = (Arc("book", when="again", max=1), Arc("after", otherwise=True))
    book = Step("book", {"kind": "x"}, back, "exclusive", compensate={"kind": "python"})
    d = Driver(world(step("a", "book"), book, step("after"), conditions={"again": True}))
    d.end(d.flying("a")[0])
    d.end(d.flying("book")[0])
    d.world.conditions["again"] = False
    ends = iter([failed("permanent"), OK])
    d.run_out(
        lambda t: failed("permanent") if t.step == "after"
        else next(ends) if t.step == "book.compensate" else OK
    )  # fmt: skip
    with pytest.raises(RewindFault, match=r"book.compensate failed: nobody knows"):
        plan(d)

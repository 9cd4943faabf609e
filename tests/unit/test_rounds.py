"""Rounds of loops: one too many can be caught, and each that was done is undone once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import pytest

from driven import OK, Driver, World, failed, step, world
from runtime.net.flow import describe
from runtime.net.soundness import Sound, Unsound, check
from runtime.playbook.model import Arc, Join, Playbook, Step
from runtime.playbook.model import Each as EachSpec
from runtime.run import events as ev
from runtime.run.decide import Ended
from runtime.run.state import RunState

TOO_OFTEN = "the loop of head has begun again 2 times and not ended"


def looped(*more: Arc, tool: bool = True, **kw: Any) -> tuple[Step, ...]:
    """``head`` and ``body`` go round, twice again at most; ``body`` has more arcs."""
    arcs = (Arc("head", when="again", max=2), Arc("after", otherwise=True), *more)
    body = Step("body", {"kind": "x"} if tool else None, arcs, "exclusive", **kw)
    return (step("first", "head"), step("head", "body"), body, step("after"), step("mend"))


CAUGHT = Arc("mend", on=("no_route",))


@pytest.mark.parametrize("tool", [True, False])
def test_a_loop_that_begins_again_too_often_is_caught_where_it_goes_back(tool: bool) -> None:
    d = Driver(world(*looped(CAUGHT, tool=tool), conditions={"again": True}))
    d.run_out()
    assert d.state.status == "completed"
    body = d.state.steps["body"]
    assert body.fault == ev.Fault("no_route", TOO_OFTEN)
    assert (body.times if tool else 3, body.status) == (3, "failed")
    assert [d.state.steps[n].status for n in ("mend", "after")] == ["done", "skipped"]
    assert d.state.marking.tokens() == {}


def test_one_round_less_is_not_caught() -> None:
    w = world(*looped(CAUGHT), conditions={"again": True})
    d = Driver(w)
    while not d.state.ended:
        w.conditions["again"] = d.state.loops.get("head", 0) < 2
        d.end(d.flying()[0])
    assert [d.state.steps[n].status for n in ("mend", "after")] == ["skipped", "done"]


def test_a_loop_that_is_not_caught_fails_the_run_by_the_class_no_route() -> None:
    d = Driver(world(*looped(Arc("mend", on=("data",))), conditions={"again": True}))
    d.run_out()
    assert d.of(ev.RunFailed)[0].fault == ev.Fault("no_route", TOO_OFTEN)


def test_an_error_arc_that_goes_back_too_often_tells_the_error_and_is_caught_too() -> None:
    fetch = Step(
        "fetch", {"kind": "x"},
        (Arc("store"), Arc("fetch", on=("data",), max=2), Arc("mend", on=("no_route",))),
    )  # fmt: skip
    d = Driver(world(fetch, step("store"), step("mend")))
    d.run_out(lambda t: failed("data") if t.step == "fetch" else OK)
    fault = d.state.steps["fetch"].fault
    assert fault is not None
    assert fault.message.endswith("2 times and not ended; the last time data: no luck")
    assert d.state.steps["mend"].status == "done"


def test_an_arc_that_catches_it_may_not_go_back_once_more() -> None:
    *steps, _ = looped(Arc("head", on=("no_route",), max=2))
    d = Driver(world(*steps, conditions={"again": True}))
    d.run_out()
    assert d.of(ev.RunFailed)[0].fault == ev.Fault("no_route", TOO_OFTEN)


def test_a_quorum_that_is_missed_again_and_again_goes_back_so_often_and_no_more() -> None:
    h = Step("h", {"kind": "x"}, (Arc("a", when="a"), Arc("b", when="b")), "inclusive")
    j = Step(
        "j", {"kind": "x"}, (Arc("x"), Arc("h", on=("no_quorum",), max=3)),
        join=Join("at_least", 2),
    )  # fmt: skip
    w = world(h, step("a", "j"), step("b", "j"), j, step("x"), conditions={"a": True, "b": False})
    d = Driver(w)
    d.run_out()
    assert (d.state.status, d.state.steps["h"].times) == ("failed", 4)
    assert d.of(ev.RunFailed)[0].fault.cls == "no_route"


def test_no_way_on_after_a_tool_is_caught_as_it_is_after_a_step_without_one() -> None:
    a = Step(
        "a", {"kind": "x"}, (Arc("b", when="b"), Arc("mend", on=("no_route",))), "exclusive"
    )  # fmt: skip
    d = Driver(world(a, step("b"), step("mend"), conditions={"b": False}))
    d.run_out()
    assert (d.state.status, d.state.steps["a"].status) == ("completed", "failed")
    assert (d.state.steps["a"].value, d.state.steps["mend"].status) == (1, "done")


def test_batches_that_went_round_too_often_keep_their_value_when_that_is_caught() -> None:
    body = looped(CAUGHT, each=EachSpec("{{ x }}", 2, 2))
    d = Driver(world(*body, conditions={"again": True}, items_of={"body": 3}))
    d.run_out()
    found = d.state.steps["body"]
    assert (found.status, found.fault) == ("failed", ev.Fault("no_route", TOO_OFTEN))
    assert found.value["results"] == [1, 1]
    assert d.state.steps["mend"].status == "done"


def test_the_checker_knows_that_a_loop_may_begin_again_too_often() -> None:
    assert isinstance(check(describe(Playbook("p", looped(CAUGHT)))), Sound)
    verdict = check(describe(Playbook("p", looped())))
    assert isinstance(verdict, Unsound)
    assert (verdict.reason, verdict.steps) == ("unreachable_step", ("mend",))
    *steps, mend = looped(CAUGHT)
    forked = (*steps[:1], replace(steps[1], arcs=(Arc("body"), Arc("log"))), *steps[2:], mend,
              Step("log", {"kind": "x"}, (Arc("after"),)))  # fmt: skip
    assert isinstance(check(describe(Playbook("p", forked))), Unsound)


def test_an_inner_loop_that_ends_by_the_outer_arc_back_skips_nothing_that_was_done() -> None:
    b = Step(
        "b", {"kind": "x"},
        (Arc("b", when="inner", max=2), Arc("a", when="outer", max=2), Arc("c", otherwise=True)),
        "exclusive",
    )  # fmt: skip
    w = world(step("a", "b"), b, step("c"), conditions={"inner": False, "outer": True})
    d = Driver(w)
    while not d.state.ended:
        w.conditions["outer"] = d.state.loops.get("a", 0) < 2
        d.end(d.flying()[0])
    assert [(s.status, s.times) for s in d.state.steps.values()] == [
        ("done", 3), ("done", 3), ("done", 1),
    ]  # fmt: skip


def test_an_arc_that_nothing_can_take_makes_no_loop() -> None:
    a = Step("a", {"kind": "x"}, (Arc("b", when="x"), Arc("c", when="y")), "exclusive")
    c = Step("c", {"kind": "x"}, (Arc("a", on=("no_quorum",), max=3),))
    d = Driver(world(a, step("b"), c, conditions={"x": False, "y": True}))
    d.run_out()
    assert [s.status for s in d.state.steps.values()] == ["done", "skipped", "done"]
    below = replace(c, tool={"kind": "playbook", "path": "t/below"})
    d = Driver(world(a, step("b"), below, conditions={"x": False, "y": True}))
    d.end(d.flying()[0])
    d.end(d.flying("c")[0], failed("no_quorum"))
    assert [t.step for t in d.flying()] == ["a"], "a run below it may have failed in any way"


# ---- what was done is undone -------------------------------------------------------------


@dataclass
class Seeing(World):
    """An edge that notes what each compensation sees of ``book`` and of the context."""

    seen: list[tuple[str, Any, Any]] = field(default_factory=list)

    def render(self, state: RunState, step: Step) -> dict[str, Any]:
        if step.name.endswith(".compensate"):
            past = state.past_for(step.name)
            steps = state.steps if past is None else past.values
            ctx = state.ctx if past is None else past.ctx
            known = steps.get("book", state.steps["book"])
            self.seen.append((step.name, known.value, ctx.get("n")))
        return super().render(state, step)


def undone(name: str, *arcs: Arc) -> Step:
    split = "exclusive" if len(arcs) > 1 else "all"
    return Step(name, {"kind": "x"}, arcs, split, compensate={"kind": "python", "call": "m:u"})  # type: ignore[arg-type]


def booking() -> Seeing:
    """Each round books and pays; what follows the loop fails."""
    back = (Arc("book", when="again", max=9), Arc("after", otherwise=True))
    steps = (undone("open", Arc("book")), undone("book", Arc("pay")), undone("pay", *back),
             step("after"))  # fmt: skip
    return Seeing(Playbook("p", steps), conditions={"again": True})


def undo_of(d: Driver) -> list[str]:
    return [e.step for e in d.of(ev.AttemptScheduled) if e.step.endswith(".compensate")]


def booked(rounds: int, bad: str = "after") -> Driver:
    """Play so many rounds, of which each gives another number; ``bad`` fails in the last."""
    w = booking()
    d, numbers = Driver(w), count(1)
    while d.state.status == "running":
        [tried] = d.flying()
        last = d.state.steps["book"].times == rounds
        w.conditions["again"] = not last
        if tried.step == bad and last:
            d.end(tried, failed("permanent"))
            break
        d.end(tried, Ended("", "succeeded", result=next(numbers) if tried.step == "book" else 0))
    return d


def test_each_round_that_was_done_is_undone_once_the_last_first_with_its_own_values() -> None:
    d = booked(3)
    d.run_out()
    assert d.state.status == "failed"
    assert d.world.seen == [  # type: ignore[attr-defined]
        ("pay.compensate", 3, None),
        ("book.compensate", 3, None),
        ("pay.compensate", 2, None),
        ("book.compensate", 2, None),
        ("pay.compensate", 1, None),
        ("book.compensate", 1, None),
        ("open.compensate", 3, None),
    ]
    keys = [e.key for e in d.of(ev.AttemptScheduled)]
    assert len(set(keys)) == len(keys), "each round is undone by a key of its own"
    assert [d.state.steps[f"{n}.compensate"].status for n in ("open", "book")] == ["done", "done"]


def test_a_round_that_was_not_done_is_not_undone() -> None:
    d = booked(2, bad="pay")
    d.run_out()
    assert undo_of(d) == ["book.compensate", "pay.compensate", "book.compensate",
                          "open.compensate"]  # fmt: skip


def test_that_one_round_cannot_be_undone_keeps_no_other_from_being() -> None:
    d = booked(2)
    first = iter([failed("permanent")])
    d.run_out(lambda t: next(first, OK) if t.step == "book.compensate" else OK)
    assert undo_of(d) == ["pay.compensate", "book.compensate"] * 2 + ["open.compensate"]
    assert d.state.status == "failed"


def test_a_round_s_undoing_that_is_tried_again_is_of_the_same_round() -> None:
    d = booked(2)
    d.end(d.flying("pay.compensate")[0])
    d.end(d.flying("book.compensate")[0], Ended("", "lost", ev.Fault("lost", "gone")))
    d.run_out()
    seen = [value for name, value, _ in d.world.seen if name == "book.compensate"]  # type: ignore[attr-defined]
    assert seen == [2, 2, 1]


def test_a_run_that_completes_or_is_cancelled_undoes_nothing() -> None:
    d = booked(3, bad="nothing")
    assert (d.state.status, undo_of(d)) == ("completed", [])


def test_what_is_kept_of_a_round_is_one_moment_however_much_of_it_is_to_be_undone() -> None:
    d = booked(3)
    kept = {id(done.past) for done in d.state.undo if done.past is not None}
    assert len(kept) == 2, "one for each round but the last"
    assert all(set(x.past.values) == {"book", "pay"} for x in d.state.undo if x.past is not None)


def test_a_loop_without_compensation_keeps_nothing() -> None:
    d = Driver(world(*looped(CAUGHT), conditions={"again": True}))
    d.run_out()
    assert d.state.undo == []

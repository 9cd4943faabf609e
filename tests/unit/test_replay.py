"""A replay comes to the same trace, and to another one when the history is another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.net.compile import compile_net
from runtime.playbook.model import Arc, Playbook, Step
from runtime.run import events as ev
from runtime.run.evolve import evolve
from runtime.run.replay import replay
from runtime.run.state import new_run


def step(name: str, *to: str) -> Step:
    return Step(name, {"kind": "python", "call": "m:f"}, tuple(Arc(t) for t in to))


BOOK = Playbook("p", (step("a", "b", "c"), step("b", "d"), step("c", "d"), step("d")))
NET = compile_net(BOOK)
ARCS = {s.name: [arc.to for arc in s.arcs] for s in BOOK.steps}


def history(order: list[str]) -> list[ev.Recorded]:
    """A run in which the steps end in this order, with the trace its last event carries."""
    run: list[ev.RunEvent] = [ev.RunSubmitted("p", "v", 1, {}, "me"), ev.RunStarted()]
    seq = {}
    for name in order:
        run.append(ev.AttemptScheduled(f"r/{name}/-1/1", name, 1, "c", f"r/{name}/-1"))
        seq[name] = len(run)
        done = ev.AttemptFinished(f"r/{name}/-1/1", name, 1, "succeeded", seq[name])
        run.append(done.but(result=name, arcs=ARCS[name]))
    state = new_run("r", NET)
    for event in run:
        evolve(state, event, 1.0)
    run.append(ev.RunCompleted("d", state.trace))
    return [ev.Recorded(1, i, "run/r", i, float(i), e) for i, e in enumerate(run, 1)]


@given(st.permutations(["b", "c"]))
def test_a_replay_is_the_run_it_replays(middle: list[str]) -> None:
    events = history(["a", *middle, "d"])
    found = replay("r", NET, events)
    assert found.equal is True
    assert found.state.status == "completed"
    assert found.events == len(events)


def test_another_order_of_the_same_steps_is_another_history() -> None:
    one, other = history(["a", "b", "c", "d"]), history(["a", "c", "b", "d"])
    mixed = [*other[:-1], one[-1]]
    assert replay("r", NET, mixed).equal is False


def test_a_run_that_has_not_ended_has_nothing_to_be_equal_to() -> None:
    assert replay("r", NET, history(["a", "b", "c", "d"])[:-1]).equal is None


def test_a_replay_up_to_an_event_shows_the_marking_then() -> None:
    found = replay("r", NET, history(["a", "b", "c", "d"]), until=4)
    assert found.state.seq == 4
    assert found.state.marking.tokens() == {"a>b": "live", "a>c": "live"}

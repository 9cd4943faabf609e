"""Tokens move as the net says: none is lost, and a join waits for what can still come."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.net.compile import NotSound, compile_net
from runtime.net.net import Net, StepNotEnabled, Transition, enabled, fire, start
from runtime.playbook.model import Arc, Join, Playbook, Step


def playbook(arcs: dict[str, list[str]]) -> Playbook:
    return Playbook("p", tuple(Step(n, arcs=tuple(map(Arc, to))) for n, to in arcs.items()))


@st.composite
def nets(draw: st.DrawFn) -> Net:
    """Random acyclic nets with joins of every kind, in which every step can be reached."""
    size = draw(st.integers(1, 9))
    arcs: dict[str, list[str]] = {str(i): [] for i in range(size)}
    for i in range(1, size):
        for source in draw(st.sets(st.integers(0, i - 1), min_size=1, max_size=3)):
            arcs[str(source)].append(str(i))
    net = compile_net(playbook(arcs))
    quorums = {
        name: draw(st.none() | st.integers(1, len(t.inputs))) if t.inputs else None
        for name, t in net.transitions.items()
    }
    joined = {n: replace(t, quorum=quorums[n]) for n, t in net.transitions.items()}
    return Net(net.first, joined)


@given(nets(), st.randoms())
def test_whatever_arcs_are_taken_in_whatever_order_the_net_ends_empty(
    net: Net, chance: random.Random
) -> None:
    marking = start(net)
    settled: set[str] = set()
    while ready := [*enabled(net, marking), *marking.starved]:
        step = chance.choice(ready)
        outputs = net.transitions[step].outputs
        taken = {t for t in outputs if chance.random() < 0.6}
        skipped = fire(net, marking, step, taken)
        assert settled.isdisjoint({step, *skipped})
        settled |= {step, *skipped}
    assert (marking.tokens(), marking.fired) == ({}, set())
    assert settled == set(net.transitions)


def test_a_step_that_is_not_enabled_cannot_fire_and_says_what_is_missing() -> None:
    net = Net("a", {"a": Transition("a", (), ("b",)), "b": Transition("b", ("a",), ())})
    marking = start(net)
    with pytest.raises(StepNotEnabled, match="no token yet from a"):
        fire(net, marking, "b", set())
    assert enabled(net, marking) == ["a"]


def test_a_join_of_dead_tokens_is_skipped_and_passes_death_on() -> None:
    net = compile_net(playbook({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": ["e"], "e": []}))
    marking = start(net)
    assert fire(net, marking, "a", set()) == ["b", "c", "d", "e"]
    assert enabled(net, marking) == []


def test_a_join_of_some_inputs_within_a_loop_is_refused_rather_than_mixed_up() -> None:
    steps = (
        Step("h", arcs=(Arc("a"), Arc("b"))), Step("a", arcs=(Arc("j"),)),
        Step("b", arcs=(Arc("j"),)),
        Step("j", arcs=(Arc("h", when="x", max=3), Arc("end", otherwise=True)),
             split="exclusive", join=Join("any")),
        Step("end"),
    )  # fmt: skip
    with pytest.raises(NotSound, match="does not wait for all is in a loop"):
        compile_net(Playbook("p", steps))


@pytest.mark.parametrize(
    ("arcs", "reason"),
    [
        ({"a": ["b"], "b": ["a"]}, "no exit: a → b → a"),
        ({"a": ["b", "c"], "b": ["c", "x"], "c": ["b", "x"], "x": []}, "at two steps: b → c → b"),
        ({"a": ["b"], "b": ["a", "c"], "c": []}, "always taken: b → a"),
        ({"a": [], "b": []}, "cannot be reached: b"),
        ({"a": ["x"]}, "does not exist: a → x"),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, "no exit: b → c → b"),
    ],
)
def test_a_net_that_cannot_end_is_refused_with_the_way_there(
    arcs: dict[str, list[str]], reason: str
) -> None:
    with pytest.raises(NotSound, match=reason):
        compile_net(playbook(arcs))

"""Tokens move as the net says: none is lost, and a join waits for what can still come."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.net.compile import NotSound, compile_net
from runtime.net.loops import Loops, find_loops
from runtime.net.losers import losers_of
from runtime.net.net import (
    Marking,
    Net,
    StepNotEnabled,
    Transition,
    consume,
    enabled,
    fire,
    lost,
    produce,
    start,
)
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


NAMES = st.sampled_from("abcd")


@given(
    st.dictionaries(NAMES, st.dictionaries(NAMES, st.booleans())), st.lists(NAMES, unique=True)
)  # fmt: skip
def test_what_goes_into_a_trace_is_every_token_by_its_place_and_what_may_fire(
    waiting: dict[str, dict[str, bool]], ready: list[str]
) -> None:
    """Ends of recorded runs hold its hash: it may never be told in another way."""
    marking = Marking(waiting, ready)
    tokens = ",".join(f"{place}={kind}" for place, kind in marking.tokens().items())
    assert marking.text() == f"{tokens}|{','.join(ready)}"


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


def looped(**join: Any) -> Net:
    """A round forks to ``a`` and ``b``, and ``j`` goes back or leaves."""
    steps = (
        Step("h", arcs=(Arc("a"), Arc("b"))), Step("a", arcs=(Arc("j"),)),
        Step("b", arcs=(Arc("c"),)), Step("c", arcs=(Arc("j"),)),
        Step("j", arcs=(Arc("h", when="x", max=3), Arc("end", otherwise=True)),
             split="exclusive", join=Join(**join)),
        Step("end"),
    )  # fmt: skip
    return compile_net(Playbook("p", steps))


def test_a_round_waits_for_its_losers_so_that_none_counts_in_the_next() -> None:
    net = looped(kind="any")
    marking = start(net)
    fire(net, marking, "h", {"a", "b"})
    fire(net, marking, "a", {"j"})
    fire(net, marking, "j", {"h"})
    assert enabled(net, marking) == ["b"], "the round has a loser"
    fire(net, marking, "b", {"c"})
    assert enabled(net, marking) == ["c"]
    fire(net, marking, "c", {"j"})
    assert (enabled(net, marking), marking.tokens()) == (["h"], {})


def test_a_loop_that_was_left_does_not_send_its_dead_tokens_twice() -> None:
    net = looped(kind="any")
    marking = start(net)
    fire(net, marking, "h", {"a", "b"})
    fire(net, marking, "a", {"j"})
    fire(net, marking, "j", {"end"})
    assert enabled(net, marking) == ["b", "end"], "the loser does not hold the others up"
    fire(net, marking, "end", set())
    fire(net, marking, "b", {"c"})
    fire(net, marking, "c", {"j"})
    assert marking == Marking()


def test_a_join_that_cancels_its_losers_skips_what_has_not_begun_for_its_sake() -> None:
    net = looped(kind="any", losers="cancel")
    assert net.losers == {"j": {"a", "b", "c"}}
    marking = start(net)
    fire(net, marking, "h", {"a", "b"})
    fire(net, marking, "a", {"j"})
    assert fire(net, marking, "j", {"h"}) == ["b", "c"]
    assert enabled(net, marking) == ["h"]


def test_what_runs_for_the_sake_of_a_join_that_fired_is_lost_and_its_tokens_are_dead() -> None:
    net = looped(kind="any", losers="cancel")
    marking = start(net)
    fire(net, marking, "h", {"a", "b"})
    consume(net, marking, "b")
    fire(net, marking, "a", {"j"})
    fire(net, marking, "j", {"h"})
    assert (lost(net, marking), enabled(net, marking)) == ({"b"}, [])
    assert produce(net, marking, "b", {"c"}).skipped == ["c"]
    assert (enabled(net, marking), marking.tokens()) == (["h"], {})


def test_a_loop_of_losers_ends_with_dead_tokens_at_all_its_exits() -> None:
    steps = (
        Step("s", arcs=(Arc("a"), Arc("l"))), Step("a", arcs=(Arc("j"),)),
        Step("l", {"kind": "x"}, (Arc("l", when="x", max=9), Arc("j", otherwise=True),
                                  Arc("m", on=("data",)))),
        Step("m", arcs=(Arc("j"),)), Step("j", join=Join("any", losers="cancel")),
    )  # fmt: skip
    net = compile_net(Playbook("p", steps))
    assert net.losers == {"j": {"s", "a", "l", "m"}}
    marking = start(net)
    fire(net, marking, "s", {"a", "l"})
    fire(net, marking, "l", {"l"})
    consume(net, marking, "l")
    fire(net, marking, "a", {"j"})
    consume(net, marking, "j")
    assert produce(net, marking, "l", {"l"}).skipped == ["m"], "no further round"
    produce(net, marking, "j", set())
    assert marking == Marking()


@pytest.mark.parametrize(
    ("arcs", "losers"),
    [
        ({"s": ["a", "b"], "a": ["j"], "b": ["j", "log"], "j": [], "log": []}, {"a"}),
        ({"s": ["a", "b"], "a": ["j"], "b": [], "j": []}, {"a"}),
        ({"s": ["a", "b"], "a": ["m", "j"], "b": ["m"], "m": ["j"], "j": []},
         {"s", "a", "b", "m"}),
    ],
)  # fmt: skip
def test_only_what_leads_nowhere_else_is_a_join_s_loser(
    arcs: dict[str, list[str]], losers: set[str]
) -> None:
    assert losers_of("j", {name: tuple(to) for name, to in arcs.items()}, Loops()) == losers


def test_the_next_round_of_a_join_s_loop_is_no_loser_of_this_one() -> None:
    out = {"h": ("a", "b"), "a": ("j",), "b": ("j",), "j": ("k",), "k": ("h", "x"), "x": ()}
    assert losers_of("j", out, find_loops("h", out)) == {"a", "b"}
    out = {"s": ("p", "h"), "p": ("h",), "h": ("k",), "k": ("h", "x"), "x": ()}
    assert losers_of("h", out, find_loops("s", out)) == {"s", "p"}


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

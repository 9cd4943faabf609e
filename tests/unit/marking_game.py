"""The runtime's marking, played at random: steps begin and end in any order, and are late."""

from __future__ import annotations

import random

from runtime.net.flow import FlowNet, Way
from runtime.net.loops import find_loops
from runtime.net.losers import losers_of
from runtime.net.net import (
    Marking,
    Net,
    Transition,
    consume,
    lost,
    make_ready,
    produce,
    start,
)

MOST_MOVES = 400


def net_of(flow: FlowNet, *, cancels: bool = False) -> Net:
    """The net of a flow; every join that may have losers cancels them if ``cancels``."""
    graph = {step.name: step.targets for step in flow.steps}
    loops = find_loops(flow.first, graph)
    inputs = {
        name: tuple(s for s, to in graph.items() if name in to and not loops.is_back(s, name))
        for name in graph
    }
    transitions = {
        name: Transition(name, inputs[name], to, flow.step(name).join.quorum)
        for name, to in graph.items()
    }
    early = [s.name for s in flow.steps if s.join.quorum is not None or s.join.late]
    losers = {name: losers_of(name, graph, loops) for name in early if cancels}
    return Net(flow.first, transitions, loops=loops, losers=losers)


def play(flow: FlowNet, net: Net, chance: random.Random) -> Marking | None:
    """Play until nothing can happen; None when the run failed or went round too often."""
    marking = start(net)
    ends: dict[str, tuple[Way, ...]] = {}
    for _ in range(MOST_MOVES):
        late = [n for n in marking.waiting if marking.begun(n) and flow.step(n).join.late]
        moves = [*marking.ready, *marking.starved, *sorted(ends), *late]
        if not moves:
            return marking
        name = chance.choice(moves)
        if name in ends:
            ways, cancelled = ends.pop(name), name in lost(net, marking)
            if not ways and not cancelled:
                return None
            kills = cancelled and (not ways or chance.random() < 0.8)
            produce(net, marking, name, frozenset() if kills else chance.choice(ways).live)
            continue
        step = flow.step(name)
        ways = step.ways()
        if name in late:
            make_ready(marking, name)
            ways = step.late_ways()
        elif name in marking.starved:
            ways = step.missed_ways()
        consume(net, marking, name)
        ends[name] = ways
    return None

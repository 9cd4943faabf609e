"""The outline of a flow: its graph, its loops, and the faults that show without playing it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from runtime.net.flow import FlowNet
from runtime.net.graph import ordered, path_to, reached, turned
from runtime.net.loops import Loop, find_loops
from runtime.net.verdict import Reason, Unsound


def stray(flow: FlowNet) -> Unsound | None:
    """Find an arc to nowhere, or a step that no arc leads to."""
    for step in flow.steps:
        for arc in step.arcs:
            if arc.to not in flow.named:
                return Unsound("missing_step", (), (step.name, arc.to))
    seen = reached({step.name: step.targets for step in flow.steps}, flow.first)
    for step in flow.steps:
        if step.name not in seen:
            return Unsound("unreachable_step", (), (step.name,))
    return None


def entangled(flow: FlowNet, circle: list[str]) -> Unsound:
    """Say what is wrong with a circle (its first step comes last again) that is no loop.

    When each of its steps waits for every input, and no arc has a ``max`` that would show that a
    loop was meant, none of them can ever begin.
    """
    sources = turned({step.name: step.targets for step in flow.steps})
    entries = [n for n in circle if any(s not in circle for s in sources[n])]
    way = min((_way_in(flow, entry) for entry in entries), key=len)
    steps = [flow.step(name) for name in circle]
    meant = any(arc.max and arc.to in circle for step in steps for arc in step.arcs)
    waits = all(s.join.quorum is None and s.join.late is None for s in steps)
    reason: Reason = "deadlock" if waits and not meant else "two_entries"
    return Unsound(reason, way, tuple(circle))


def walk(flow: FlowNet, *stations: str) -> tuple[str, ...]:
    """Return the firings along the shortest arcs from one step to the next."""
    graph = {step.name: step.targets for step in flow.steps}
    way: list[str] = []
    for start, goal in pairwise(stations):
        steps = [*path_to(graph, start, goal), goal]
        way += [flow.step(source).firing_to(target) for source, target in pairwise(steps)]
    return tuple(way)


def _way_in(flow: FlowNet, goal: str) -> tuple[str, ...]:
    return () if goal == flow.first else walk(flow, flow.first, goal)


class Outline:
    """A flow all of whose steps can be reached, with its loops, the inner ones first.

    Raises:
        TwoEntries: a circle has no step that all ways into it go through.
    """

    def __init__(self, flow: FlowNet) -> None:
        self.flow = flow
        self.graph = {step.name: step.targets for step in flow.steps}
        self.order = ordered(self.graph, flow.first)
        found = find_loops(flow.first, self.graph)
        self.loops = sorted(found.by_head.values(), key=lambda loop: len(loop.body))
        self.sources = {
            name: [s for s in sources if not found.is_back(s, name)]
            for name, sources in turned(self.graph).items()
        }

    def exits(self, loop: Loop) -> tuple[str, ...]:
        """Return the steps that a loop may be left to."""
        to = (t for name in sorted(loop.body) for t in self.graph[name])
        return tuple(dict.fromkeys(t for t in to if t not in loop.body))

    def ring(self, loop: Loop) -> tuple[str, ...]:
        """Return a shortest round of a loop, from its head."""
        return tuple(path_to(self.graph, loop.head, loop.head))

    def faults(self) -> Iterator[Unsound]:
        """Find impossible quorums, and loops without a way out."""
        yield from self._quorums()
        for loop in self.loops:
            if not self.exits(loop):
                yield self._unending("loop_without_exit", loop)
            if not any(self.flow.step(name).works for name in loop.body):
                yield self._unending("endless_loop", loop)

    def boundless(self) -> Iterator[Unsound]:
        """Find loops that do not say how many rounds they may take."""
        for loop in self.loops:
            steps = [self.flow.step(name) for name in loop.back]
            arcs = [arc for step in steps for arc in step.arcs if arc.to == loop.head]
            if not all(arc.max for arc in arcs):
                yield Unsound("loop_without_max", (), (*self.ring(loop), loop.head))

    def _quorums(self) -> Iterator[Unsound]:
        backs = {loop.head: len(loop.back) for loop in self.loops}
        for step in self.flow.steps:
            quorum = step.join.quorum
            has = len(self.sources[step.name]) + (step.name == self.flow.first)
            if quorum is not None and not 1 <= quorum <= has:
                helps = 1 <= quorum <= has + backs.get(step.name, 0)
                yield Unsound("join_on_cycle" if helps else "quorum_too_large", (), (step.name,))

    def _unending(self, reason: Reason, loop: Loop) -> Unsound:
        way = (*_way_in(self.flow, loop.head), *walk(self.flow, loop.head, loop.head))
        return Unsound(reason, way, (*self.ring(loop), loop.head))

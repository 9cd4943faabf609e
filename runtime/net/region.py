"""A region: a part of a flow without circles, in which every arc sees one token at most.

The whole flow is a region, and so is the body of each loop, with the loops inside it folded
into one node each. Tokens that leave by the region's ``border`` are counted: a round of a
loop must end by exactly one firing, or the loop would go on and be over at once.

Which tokens are live depends on how steps end and not on the order in which they fire. So
`sweep` plays the nodes in one order and branches on their ways alone, holding only the
tokens still on their way. `shortest` plays every order, to find the shortest way there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal, TypeAlias

from runtime.net.flow import Way

Trail: TypeAlias = "tuple[Trail, Way] | None"
"""The ways taken so far, the last one first."""
Token: TypeAlias = tuple[str, str]
"""Source and target."""


class OutOfBudget(Exception):
    """More states than may be looked at."""


@dataclass(slots=True)
class Budget:
    """How many states may still be looked at."""

    left: int
    spent: int = 0

    def spend(self, states: int = 1) -> None:
        """Count states.

        Raises:
            OutOfBudget: there were too many.
        """
        self.spent += states
        self.left -= states
        if self.left < 0:
            raise OutOfBudget


@dataclass(frozen=True, slots=True)
class Node:
    """A step, or a loop folded into one: what it waits for and the ways it may end."""

    name: str
    inputs: tuple[str, ...]
    ways: tuple[Way, ...]
    quorum: int | None = None
    late: tuple[Way, ...] = ()
    missed: tuple[Way, ...] = ()


@dataclass(frozen=True, slots=True)
class Region:
    """Nodes in an order in which tokens only go forward; the first one has a live token."""

    nodes: Mapping[str, Node]
    border: frozenset[str] = frozenset()

    @property
    def first(self) -> str:
        return next(iter(self.nodes))

    def before(self, name: str) -> Region:
        """Return the part of the region that a node depends on, itself included."""
        wanted, open_ = {name}, [name]
        while open_:
            for source in self.nodes[open_.pop()].inputs:
                if source not in wanted:
                    wanted.add(source)
                    open_.append(source)
        return Region({n: node for n, node in self.nodes.items() if n in wanted}, self.border)


@dataclass(frozen=True, slots=True)
class Crossing:
    """A firing that put live tokens on the border; ``inside`` when it put some within, too."""

    source: str
    over: frozenset[str]
    inside: bool


@dataclass(frozen=True, slots=True)
class Clash:
    """Tokens crossed the border that should not have: a second firing's, or one's too many."""

    crossings: tuple[Crossing, ...]
    trail: Trail


@dataclass(slots=True)
class Swept:
    """How a region's rounds may end: the borders crossed, and the clashes on the way."""

    ends: dict[frozenset[str], Trail] = field(default_factory=dict)
    clashes: list[Clash] = field(default_factory=list)
    stopped: dict[str, Trail] = field(default_factory=dict)
    """Nodes at which the last token went without anything having been crossed."""


@dataclass(frozen=True, slots=True)
class _Tokens:
    """What is on its way: live tokens, and those that will never come. All others are dead."""

    live: frozenset[Token]
    absent: frozenset[Token] = frozenset()
    crossed: Crossing | None = None


def sweep(region: Region, budget: Budget) -> Swept:
    """Play every choice of ways in one order.

    Raises:
        OutOfBudget: too many markings are on the way at once.
    """
    swept = Swept()
    states: dict[_Tokens, Trail] = {_Tokens(frozenset({("", region.first)})): None}
    followers = _followers(region)
    for node in region.nodes.values():
        states = _pass_node(region, node, followers[node.name], states, swept)
        budget.spend(len(states))
    return swept


def firings(trail: Trail) -> tuple[str, ...]:
    """Return the firings of a trail in their order."""
    parts: list[tuple[str, ...]] = []
    while trail is not None:
        trail, way = trail
        parts.append(way.firings)
    return tuple(firing for part in reversed(parts) for firing in part)


def _followers(region: Region) -> dict[str, list[str]]:
    after: dict[str, list[str]] = {name: [] for name in region.nodes}
    for node in region.nodes.values():
        for source in node.inputs:
            after[source].append(node.name)
    return after


def _pass_node(
    region: Region, node: Node, after: list[str], states: Mapping[_Tokens, Trail], swept: Swept
) -> dict[_Tokens, Trail]:
    passed: dict[_Tokens, Trail] = {}
    mine = [(source, node.name) for source in node.inputs or ("",)]
    for state, trail in states.items():
        alive = sum(token in state.live for token in mine)
        absent = sum(token in state.absent for token in mine)
        left = _Tokens(state.live.difference(mine), state.absent.difference(mine), state.crossed)
        options = _options(node, alive, absent)
        if options is None:
            passed.setdefault(left, trail)
        elif not options:
            gone = left.absent.union((node.name, target) for target in after)
            passed.setdefault(_Tokens(left.live, gone, left.crossed), trail)
        for way in options or ():
            new = _take(region, node, way, left, (trail, way), swept)
            if new is not None:
                passed.setdefault(new, (trail, way))
    return passed


def _options(node: Node, alive: int, absent: int) -> tuple[Way, ...] | None:
    """Return the ways a node may end with these tokens, none if it waits; None if it is dead."""
    if not alive and not absent:
        return None
    ways: tuple[Way, ...] = node.late if alive else ()
    if node.quorum is None:
        return ways if absent else (*node.ways, *ways)
    if alive >= node.quorum:
        return (*node.ways, *ways)
    return (*node.missed, *ways) if alive and alive + absent < node.quorum else ways


def _take(
    region: Region, node: Node, way: Way, left: _Tokens, trail: Trail, swept: Swept
) -> _Tokens | None:
    """Return what is on its way after a node ended; None when the round is over."""
    over, inside = way.live & region.border, way.live - region.border
    live = left.live.union((node.name, target) for target in inside)
    crossed = left.crossed
    if over:
        crossing = Crossing(node.name, over, bool(inside))
        if crossed is not None or (len(over) > 1 and region.first in over):
            both = (crossing,) if crossed is None else (crossed, crossing)
            swept.clashes.append(Clash(both, trail))
            return None
        crossed = crossing
    if crossed is not None and not live:
        swept.ends.setdefault(crossed.over, trail)
        return None
    if region.border and not live and not left.absent:
        swept.stopped.setdefault(node.name, trail)
        return None
    return _Tokens(live, left.absent, crossed)


# ---- the shortest way there -------------------------------------------------------------

Goal: TypeAlias = Callable[["Play"], bool]
Stage: TypeAlias = Literal["idle", "waits", "ready", "missed"]
"""A node has no live token or has ended; waits for more; may fire; or never can."""


@dataclass(frozen=True, slots=True)
class Play:
    """A region at one moment: the way each node ended, or None when it was skipped."""

    region: Region
    ended: Mapping[str, Way | None]

    def alive(self, node: Node) -> tuple[int, int]:
        """Return how many live tokens a node has, and how many are still to come."""
        if not node.inputs:
            return 1, 0
        known = [source for source in node.inputs if source in self.ended]
        ends = [self.ended[source] for source in known]
        live = sum(way is not None and node.name in way.live for way in ends)
        return live, len(node.inputs) - len(known)

    def stage(self, node: Node) -> Stage:
        """Return how far a node is."""
        live, coming = self.alive(node)
        if node.name in self.ended or not live:
            return "idle"
        if node.quorum is None:
            return "waits" if coming else "ready"
        if live >= node.quorum:
            return "ready"
        return "waits" if live + coming >= node.quorum else "missed"

    def options(self, node: Node) -> tuple[Way, ...]:
        """Return the ways in which a node may end now."""
        match self.stage(node):
            case "idle":
                return ()
            case "ready":
                return node.ways
            case "waits":
                return node.late
            case "missed":
                return node.missed

    def after(self, name: str, way: Way) -> Play:
        """Return the moment after a firing, when the dead tokens have gone their way."""
        ended = {**self.ended, name: way}
        play = Play(self.region, ended)
        for node in self.region.nodes.values():
            if node.name not in ended and play.alive(node) == (0, 0):
                ended[node.name] = None
        return play

    def crossings(self) -> tuple[Crossing, ...]:
        """Return the firings that put live tokens on the border."""
        border = self.region.border
        return tuple(
            Crossing(name, way.live & border, bool(way.live - border))
            for name, way in self.ended.items()
            if way is not None and way.live & border
        )

    def key(self) -> frozenset[tuple[str, Way | None]]:
        """What makes two moments the same."""
        return frozenset(self.ended.items())


def shortest(region: Region, goal: Goal, budget: Budget) -> tuple[tuple[str, ...], Play] | None:
    """Return the fewest firings after which ``goal`` holds, or None when it never does.

    The moment they lead to comes with them.

    Raises:
        OutOfBudget: too many moments were looked at.
    """
    start = Play(region, {})
    best = {start.key(): 0}
    queue: list[tuple[int, int, Play, Trail]] = [(0, 0, start, None)]
    while queue:
        cost, _, play, trail = heappop(queue)
        if cost > best[play.key()]:
            continue
        if goal(play):
            return firings(trail), play
        if clashed(play):
            continue  # what follows a fault is nobody's way to another
        for name, way in _moves(play):
            budget.spend()
            new, reached = play.after(name, way), cost + len(way.firings)
            if reached < best.get(new.key(), reached + 1):
                best[new.key()] = reached
                heappush(queue, (reached, budget.spent, new, (trail, way)))
    return None


def _moves(play: Play) -> Iterator[tuple[str, Way]]:
    for node in play.region.nodes.values():
        for way in play.options(node):
            yield node.name, way


def ready(name: str) -> Goal:
    """The goal that a node can begin."""

    def can(play: Play) -> bool:
        node = play.region.nodes[name]
        stage = play.stage(node)
        return stage == "ready" or (stage != "idle" and bool(play.options(node)))

    return can


def crossed(over: frozenset[str]) -> Goal:
    """The goal that a firing has put live tokens on just these arcs of the border."""
    return lambda play: any(crossing.over == over for crossing in play.crossings())


def stopped(play: Play) -> bool:
    """The goal that all is over and nothing has crossed the border."""
    return len(play.ended) == len(play.region.nodes) and not play.crossings()


def clashed(play: Play) -> bool:
    """The goal that tokens crossed the border that should not have."""
    found = play.crossings()
    return len(found) > 1 or any(play.region.first in c.over and len(c.over) > 1 for c in found)


def clashed_going_back(play: Play) -> bool:
    """The goal that they did while one of them went back to the head."""
    return clashed(play) and any(play.region.first in c.over for c in play.crossings())

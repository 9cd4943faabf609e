"""The rounds of loops: each must end by exactly one firing that goes back or leaves.

Loops are played innermost first; one that was played is a single node of the loop around it.
A round that can end wrongly is shown by the shortest way there from the start of the run.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.net.flow import SUBSETS_UP_TO, Way
from runtime.net.graph import reached
from runtime.net.loops import Loop
from runtime.net.outline import Outline, walk
from runtime.net.reduce import reduce
from runtime.net.region import (
    Budget,
    Crossing,
    Goal,
    Node,
    OutOfBudget,
    Play,
    Region,
    Swept,
    clashed,
    clashed_going_back,
    crossed,
    firings,
    ready,
    shortest,
    stopped,
    sweep,
)
from runtime.net.verdict import Reason, Undecided, Unsound

SEARCHED = 4_000
"""How many moments are looked at for the shortest way to a fault that is known."""
SEARCHED_NODES = 60
"""Regions larger than this are not searched: the way that was found is shown."""


class Rounds:
    """One look at the loops of a flow."""

    def __init__(self, outline: Outline, budget: Budget) -> None:
        self.outline, self.flow, self.budget = outline, outline.flow, budget
        self.folded: dict[str, tuple[Way, ...]] = {}
        """The ways of the loops that were played, by their heads."""

    def judge(self) -> Unsound | Undecided | None:
        """Play every loop; return the first fault, or what could not be decided."""
        undecided = self._uncountable()
        played: list[tuple[Loop, Swept]] = []
        for loop in self.outline.loops if undecided is None else ():
            try:
                played.append((loop, self._play(loop)))
            except OutOfBudget:
                why = f"the loop of {loop.head} can be gone through in too many ways"
                undecided = Undecided(self.budget.spent, why)
                break
        faults = (self._fault(loop, swept) for loop, swept in played)
        return next((fault for fault in faults if fault is not None), undecided)

    def _uncountable(self) -> Undecided | None:
        """Say so when a join counts tokens and a split has more subsets than are looked at."""
        if not any((step.join.quorum or 0) > 1 for step in self.flow.steps):
            return None
        for loop in self.outline.loops:
            for name in loop.body:
                if self.flow.step(name).is_wide:
                    why = f"{name} may take any of over {SUBSETS_UP_TO} arcs while a join counts"
                    return Undecided(0, why)
        return None

    def _play(self, loop: Loop) -> Swept:
        region = self.region(loop)
        swept = sweep(reduce(region), self.budget)
        if any(node.late for node in region.nodes.values()):
            for over in [over for over in swept.ends if self._never(loop, crossed(over))]:
                del swept.ends[over]
            if swept.stopped and self._never(loop, stopped):
                swept.stopped.clear()
        self.folded[loop.head] = tuple(
            Way(over, firings(trail))
            for over, trail in swept.ends.items()
            if loop.head not in over
        )
        return swept

    def _never(self, loop: Loop, goal: Goal) -> bool:
        """Whether no order of firing leads there, as when a join is never made to wait."""
        try:
            return self._seek(loop, goal) is None
        except OutOfBudget:
            return False

    def _fault(self, loop: Loop, swept: Swept) -> Unsound | None:
        if swept.stopped:
            return self._stopped(loop, swept)
        if swept.clashes and (fault := self._clashed(loop, swept)):
            return fault
        if not self.folded[loop.head]:
            return self._closed(loop, swept)
        return None

    # ---- regions ------------------------------------------------------------------------

    def region(self, loop: Loop | None) -> Region:
        """Return a loop's body, or the whole flow, with the loops inside it folded."""
        members = loop.body if loop else frozenset(self.outline.graph)
        stands = {name: inner.head for inner in self._inside(loop) for name in inner.body}
        nodes: dict[str, Node] = {}
        for name in self.outline.order:
            if name in members and stands.get(name, name) == name:
                nodes[name] = self._node(name, members, stands, first=not nodes)
        border = [loop.head, *self.outline.exits(loop)] if loop else []
        return Region(nodes, frozenset(border))

    def _node(
        self, name: str, members: frozenset[str], stands: dict[str, str], *, first: bool
    ) -> Node:
        """Make a node of a step, or of the loop whose head it is."""
        step, sources = self.flow.step(name), self.outline.sources[name]
        late, missed = step.late_ways(), step.missed_ways()
        if len(sources) < 2 or step.join.quorum == 1:
            late = ()  # it never waits
        ways = self.folded.get(name, ()) if name in stands else step.ways()
        if name in stands:
            late, missed = ways if late else (), ways if missed else ()
        if first:  # it has its token, and how it came by it is not seen from here
            return Node(name, (), _once((*ways, *late, *missed)))
        inputs = tuple(dict.fromkeys(stands.get(s, s) for s in sources if s in members))
        return Node(name, inputs, ways, step.join.quorum, late, missed)

    def _inside(self, loop: Loop | None) -> list[Loop]:
        """Return the loops that stand directly in a loop, or in the flow."""
        loops = self.outline.loops
        within = [one for one in loops if loop is None or one.body < loop.body]
        return [one for one in within if not any(one.body < other.body for other in within)]

    # ---- showing what is wrong ----------------------------------------------------------

    def _stopped(self, loop: Loop, swept: Swept) -> Unsound:
        name, trail = next(iter(swept.stopped.items()))
        found = self._search(loop, stopped)
        way = found[0] if found else firings(trail)
        return Unsound("branch_ends_in_loop", (*self._way_to(loop), *way), (loop.head, name))

    def _clashed(self, loop: Loop, swept: Swept) -> Unsound | None:
        """Say which of its clashes tells most; None when none can happen after all."""
        going = [c for c in swept.clashes if any(loop.head in x.over for x in c.crossings)]
        clash = (going or swept.clashes)[0]
        crossings, way = clash.crossings, firings(clash.trail)
        try:
            found = self._seek(loop, clashed_going_back) or self._seek(loop, clashed)
            if found is None:
                return None
            way, crossings = found[0], found[1].crossings()
        except OutOfBudget:
            pass  # what was found by the sweep is shown
        reason = self._kind(loop, crossings)
        return Unsound(reason, (*self._way_to(loop), *way), _ends(crossings))

    def _closed(self, loop: Loop, swept: Swept) -> Unsound:
        over = frozenset({loop.head})
        found = self._search(loop, crossed(over))
        way = found[0] if found else firings(swept.ends.get(over))
        steps = (*self.outline.ring(loop), loop.head)
        return Unsound("loop_without_exit", (*self._way_to(loop), *way), steps)

    def _kind(self, loop: Loop, crossings: Sequence[Crossing]) -> Reason:
        if any(self._just_ends(loop, crossing) for crossing in crossings):
            return "branch_ends_in_loop"
        back = any(loop.head in crossing.over for crossing in crossings)
        return "unbounded_place" if back else "lost_token"

    def _just_ends(self, loop: Loop, crossing: Crossing) -> bool:
        """Whether what left the loop beside what stayed ends without meeting it again."""
        left = crossing.over - {loop.head}
        if not left or not (crossing.inside or loop.head in crossing.over):
            return False
        graph = self.outline.graph
        others = set(self.outline.exits(loop)) - left
        apart = set[str]().union(*(reached(graph, to) for to in left))
        return bool(others) and not any(apart & reached(graph, to) for to in others)

    # ---- the way there ------------------------------------------------------------------

    def _search(self, loop: Loop | None, goal: Goal) -> tuple[tuple[str, ...], Play] | None:
        """Return a shortest way within a loop, or None when it is too large for that."""
        try:
            return self._seek(loop, goal)
        except OutOfBudget:
            return None

    def _seek(
        self, loop: Loop | None, goal: Goal, before: str | None = None
    ) -> tuple[tuple[str, ...], Play] | None:
        for inner in self._inside(loop):
            self._sharpen(inner)
        region = self.region(loop)
        region = region.before(before) if before else region
        if len(region.nodes) > SEARCHED_NODES:
            raise OutOfBudget
        return shortest(region, goal, Budget(SEARCHED))

    def _sharpen(self, loop: Loop) -> None:
        """Let every way of a folded loop be the shortest one to its end."""
        ways = self.folded.get(loop.head, ())
        found = [(way, self._search(loop, crossed(way.live))) for way in ways]
        self.folded[loop.head] = tuple(
            Way(way.live, better[0]) if better else way for way, better in found
        )

    def _way_to(self, loop: Loop) -> tuple[str, ...]:
        """Return a shortest way from the start to the first firing of a loop's head."""
        around = [one for one in self.outline.loops[::-1] if loop.body < one.body]
        way: tuple[str, ...] = ()
        for outer, inner in zip([None, *around], [*around, loop], strict=True):
            try:
                found = self._seek(outer, ready(inner.head), inner.head)
            except OutOfBudget:
                found = None
            if found is None:
                return walk(self.flow, self.flow.first, loop.head)
            way += found[0]
        return way


def _once(ways: Sequence[Way]) -> tuple[Way, ...]:
    found: dict[frozenset[str], Way] = {}
    for way in ways:
        found.setdefault(way.live, way)
    return tuple(found.values())


def _ends(crossings: Sequence[Crossing]) -> tuple[str, ...]:
    """Return who crossed, and to where."""
    names = [name for c in crossings for name in (c.source, *sorted(c.over))]
    return tuple(dict.fromkeys(names))

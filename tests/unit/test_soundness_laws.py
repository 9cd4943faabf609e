"""The checker agrees with a game that is played by the words of the design and nothing else.

The game here knows no regions, no reduction and no order: tokens carry the rounds of the loops
they are in, every order of firing is played, and what happened is looked at afterwards.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from marking_game import net_of, play
from runtime.net.flow import FlowArc, FlowJoin, FlowNet, FlowStep
from runtime.net.net import Marking
from runtime.net.outline import Outline
from runtime.net.reduce import reduce
from runtime.net.region import Budget, sweep
from runtime.net.rounds import Rounds
from runtime.net.soundness import Sound, Undecided, Unsound, check

CLASHES = {"unbounded_place", "lost_token", "branch_ends_in_loop"}
CLASSES = ("permanent", "timeout", "no_quorum", "no_route")
MOST_STATES = 3_000

# ---- random flows -------------------------------------------------------------------------


@st.composite
def flows(draw: st.DrawFn, *, least: int = 0, most: int = 3) -> FlowNet:
    """Flows of which most can be reached, and whose loops mostly have one entry."""
    names = "abcdefg"[: draw(st.integers(2, 7))]
    to: dict[str, list[str]] = {name: [] for name in names}
    for i, name in enumerate(names[1:], 1):
        for source in draw(st.sets(st.sampled_from(names[:i]), min_size=1, max_size=2)):
            to[source].append(name)
    for _ in range(draw(st.integers(least, most))):
        source = draw(st.sampled_from(names))
        above = [n for n in names if n == source or source not in reach(to, names[0], n)]
        head = draw(st.sampled_from(above * 4 + list(names)))
        if head not in to[source]:
            to[source].insert(0, head)
    has = {name: sum(name in others for others in to.values()) for name in names}
    return FlowNet(tuple(draw(steps_to(name, to[name], has[name])) for name in names))


@st.composite
def steps_to(draw: st.DrawFn, name: str, to: list[str], has: int) -> FlowStep:
    split = draw(st.sampled_from(["all", "exclusive", "exclusive", "exclusive", "inclusive"]))
    kinds = ["always"] * len(to) if split == "all" else ["when"] * len(to)
    for i in range(len(to)):
        if draw(st.integers(0, 7)) == 0:
            kinds[i] = "error"
    if kinds.count("when") > 1 and kinds[-1] == "when" and draw(st.booleans()):
        kinds[-1] = "otherwise"
    classes = st.sampled_from([frozenset({cls}) for cls in CLASSES])
    arcs = [
        FlowArc(t, kind, draw(classes) if kind == "error" else frozenset(), 3)
        for t, kind in zip(to, kinds, strict=True)
    ]
    split = split if "when" in kinds else "all"
    quorum = draw(st.sampled_from([None, None, 1, 2])) if has > 1 else None
    late = draw(st.sampled_from([None, None, "fire", "fail", *to])) if has > 1 else None
    if late not in (None, "fire", "fail"):
        arcs.append(FlowArc(late, "late", max=3))
    return FlowStep(name, tuple(arcs), split, FlowJoin(quorum, late))


# ---- what a step may do, once more --------------------------------------------------------


def outcomes(step: FlowStep, *, missed: bool) -> set[frozenset[str]]:
    """The sets of steps that may get a live token when the step ends."""
    found: set[frozenset[str]] = set()
    for cls in CLASSES:
        to = frozenset(arc.to for arc in step.arcs if cls in arc.classes)
        if to and (cls == "no_quorum") == missed and (cls != "no_route" or lacks_way(step)):
            found.add(to)
    if missed:
        return found
    when = [arc.to for arc in step.arcs if arc.kind == "when"]
    rest = frozenset(arc.to for arc in step.arcs if arc.kind in ("always", "otherwise"))
    if not when:
        return found | {rest}
    sizes = [1] if step.split == "exclusive" else range(1, len(when) + 1)
    found |= {frozenset(some) for size in sizes for some in combinations(when, size)}
    return found | {rest} if rest else found


def lacks_way(step: FlowStep) -> bool:
    """Whether its conditions may all fail, or an arc was taken as often as it may be."""
    kinds = {arc.kind for arc in step.arcs}
    often = any(arc.max and "no_route" not in arc.classes for arc in step.arcs)
    return ("when" in kinds and "otherwise" not in kinds) or often


def overdue(step: FlowStep) -> set[frozenset[str]]:
    """The same when it has waited for too long."""
    if step.join.late == "fire":
        return outcomes(step, missed=False)
    if step.join.late == "fail":
        to = frozenset(arc.to for arc in step.arcs if "timeout" in arc.classes)
        return {to} if to else set()
    return {frozenset({step.join.late})} if step.join.late else set()


@dataclass
class World:
    """A flow with its loops, found by their definitions."""

    flow: FlowNet
    to: dict[str, list[str]] = field(default_factory=dict)
    bodies: dict[str, set[str]] = field(default_factory=dict)
    entangled: bool = False

    def __post_init__(self) -> None:
        for step in self.flow.steps:
            starved = (step.join.quorum or 0) > 1
            ends = outcomes(step, missed=False) | (
                outcomes(step, missed=True) if starved else set()
            )
            ends |= overdue(step)
            self.to[step.name] = sorted({t for end in ends for t in end})
        arcs = [(s, t) for s, to in self.to.items() for t in to]
        back = [(s, t) for s, t in arcs if s == t or s not in self.reach(self.flow.first, t)]
        for source, head in back:
            self.bodies.setdefault(head, {head}).update(
                n for n in self.to if n != head and source in {n} | self.reach(n, head)
            )
        plain = {s: [t for t in to if (s, t) not in back] for s, to in self.to.items()}
        self.entangled = any(n in reach(plain, t, "") for n, to in plain.items() for t in to)
        self.back = set(back)

    def reach(self, start: str, without: str) -> set[str]:
        return reach(self.to, start, without)

    def chain(self, step: str) -> list[str]:
        """The heads of the loops around a step, the outermost first."""
        around = [head for head, body in self.bodies.items() if step in body]
        return sorted(around, key=lambda head: -len(self.bodies[head]))

    def left(self, source: str, target: str) -> list[str]:
        return [head for head in self.chain(source) if target not in self.bodies[head]]

    def inputs(self, step: str) -> list[str]:
        return [s for s, to in self.to.items() if step in to and (s, step) not in self.back]


def reach(to: dict[str, list[str]], start: str, without: str) -> set[str]:
    seen: set[str] = set()
    open_ = [start] if start != without else []
    while open_:
        name = open_.pop()
        if name not in seen:
            seen.add(name)
            open_ += [t for t in to[name] if t != without]
    return seen


# ---- the game -----------------------------------------------------------------------------

At = tuple[int, ...]
"""In which round of each loop around it, the outermost first."""


class Broken(Exception):
    """A token was where none should have been; ``back`` when one of them went back."""

    def __init__(self, *, back: bool) -> None:
        super().__init__()
        self.back = back


@dataclass(frozen=True)
class State:
    came: frozenset[tuple[str, str, At, bool]] = frozenset()
    done: frozenset[tuple[str, At, bool]] = frozenset()
    again: frozenset[tuple[str, At]] = frozenset()
    crossed: frozenset[tuple[str, At, bool]] = frozenset()


class Game:
    def __init__(self, world: World, last: int = 2) -> None:
        self.world, self.last = world, last
        self.fired: set[str] = set()
        self.exited: set[str] = set()
        self.clash: int | None = None
        self.clash_back: int | None = None
        self.stuck = False

    def play(self) -> bool:
        """Play every order. Returns False when there are too many states."""
        seen = {State()}
        queue = deque([(State(), 0)])
        while queue:
            state, count = queue.popleft()
            moves = list(self.moves(state))
            if not moves:
                self.look(state)
            for step, rounds, live in moves:
                try:
                    new = self.fire(state, step, rounds, live)
                except Broken as broken:
                    self.note(count + 1, broken)
                    continue
                if new is not None and new not in seen:
                    seen.add(new)
                    queue.append((new, count + 1))
            if len(seen) > MOST_STATES:
                return False
        return True

    def note(self, count: int, broken: Broken) -> None:
        if self.clash is None:
            self.clash = count
        if broken.back and self.clash_back is None:
            self.clash_back = count

    def look(self, state: State) -> None:
        """See what is left when nothing can fire. A starved join has failed."""
        settled = {(step, rounds) for step, rounds, _ in state.done}
        left = {(to, rounds) for _, to, rounds, _ in state.came} - settled
        starved = [(step, at) for step, at in left if self.starved(state, step, at)]
        for head, at, back in state.crossed:
            within = [s for s, r in starved if s in self.world.bodies[head] and r[: len(at)] == at]
            if not back and not within:
                self.exited.add(head)
        if starved:
            return
        ended = {(head, rounds) for head, rounds, _ in state.crossed}
        begun = {
            (head, rounds) for head, rounds, live in state.done
            if live and head in self.world.bodies and len(rounds) == len(self.world.chain(head))
        }  # fmt: skip
        if left or begun - ended:
            self.stuck = True

    # A head has two kinds of instance: as a join, in the rounds around its loop, and in a round.

    def tokens(self, state: State, step: str, rounds: At) -> list[bool]:
        return [live for _, to, at, live in state.came if (to, at) == (step, rounds)]

    def starved(self, state: State, step: str, rounds: At) -> bool:
        tokens, quorum = self.tokens(state, step, rounds), self.world.flow.step(step).join.quorum
        coming = len(self.world.inputs(step)) - len(tokens)
        return quorum is not None and sum(tokens) > 0 and sum(tokens) + coming < quorum

    def moves(self, state: State):  # type: ignore[no-untyped-def]
        for step, rounds in sorted(state.again):
            for live in outcomes(self.world.flow.step(step), missed=False):
                yield step, rounds, live
        places = {(to, rounds) for _, to, rounds, _ in state.came}
        if not state.done:
            places.add((self.world.flow.first, ()))
        settled = {(step, rounds) for step, rounds, _ in state.done}
        for step, rounds in sorted(places - settled):
            tokens, wanted = self.tokens(state, step, rounds), len(self.world.inputs(step))
            if step == self.world.flow.first:
                tokens, wanted = [True], 1
            quorum = self.world.flow.step(step).join.quorum
            if self.starved(state, step, rounds) and step != self.world.flow.first:
                ready, missed = True, True
            else:
                ready = sum(tokens) >= quorum if quorum else len(tokens) == wanted and any(tokens)
                missed = False
            ends = outcomes(self.world.flow.step(step), missed=missed) if ready else set()
            if not ready and any(tokens):
                ends = overdue(self.world.flow.step(step))
            for live in ends:
                yield step, (*rounds, 1) if step in self.world.bodies else rounds, live

    def fire(self, state: State, step: str, rounds: At, live: frozenset[str]) -> State | None:
        self.fired.add(step)
        world = self.world
        came, done = set(state.came), set(state.done)
        again, crossed = set(state.again), set(state.crossed)
        again.discard((step, rounds))
        done.add((step, rounds, True))
        if step in world.bodies and rounds[-1] == 1:
            done.add((step, rounds[:-1], True))
        chain = world.chain(step)
        now: dict[tuple[str, At], set[bool]] = {}
        for to in live:
            for head in world.left(step, to):
                now.setdefault((head, rounds[: chain.index(head) + 1]), set()).add(False)
            if (step, to) in world.back:
                now.setdefault((to, rounds[: chain.index(to) + 1]), set()).add(True)
        for (head, at), ways in now.items():
            before = [back for h, r, back in crossed if (h, r) == (head, at)]
            if before or len(ways) > 1:
                raise Broken(back=True in ways or True in before)
        crossed |= {(head, at, back) for (head, at), ways in now.items() for back in ways}
        for to in world.to[step]:
            if (step, to) in world.back:
                at = rounds[: chain.index(to) + 1]
                if to in live:
                    if at[-1] == self.last:
                        return None
                    again.add((to, (*at[:-1], at[-1] + 1)))
            elif to in live or not world.left(step, to):
                self.put(came, step, to, rounds, live=to in live)
        for (head, at), ways in now.items():
            if False in ways:
                self.close(came, head, at[:-1], step, live)
        self.spread(came, done)
        return State(frozenset(came), frozenset(done), frozenset(again), frozenset(crossed))

    def put(self, came: set[Any], source: str, to: str, rounds: At, *, live: bool) -> None:
        at = rounds[: len(self.world.chain(to)) - (to in self.world.bodies)]
        if any((s, t, r) == (source, to, at) for s, t, r, _ in came):
            raise Broken(back=False)
        came.add((source, to, at, live))

    def close(
        self, came: set[Any], head: str, around: At, step: str, live: frozenset[str]
    ) -> None:
        """The loop has ended: exits that were not taken send a dead token."""
        for source in self.world.bodies[head]:
            for to in self.world.to[source]:
                left = self.world.left(source, to)
                taken = source == step and to in live
                if left[:1] == [head] and (source, to) not in self.world.back and not taken:
                    self.put(came, source, to, around, live=False)

    def spread(self, came: set[Any], done: set[Any]) -> None:
        """Steps that only dead tokens reach are skipped, and pass them on."""
        while True:
            settled = {(step, rounds) for step, rounds, _ in done}
            dead = [
                (step, rounds)
                for step, rounds in {(to, at) for _, to, at, _ in came} - settled
                if len(tokens := [x for _, t, r, x in came if (t, r) == (step, rounds)])
                == len(self.world.inputs(step))
                and not any(tokens)
            ]
            if not dead:
                return
            for step, rounds in dead:
                done.add((step, rounds, False))
                if step in self.world.bodies:
                    self.close(came, step, rounds, "", frozenset())
                    continue
                for to in self.world.to[step]:
                    if not self.world.left(step, to) and (step, to) not in self.world.back:
                        self.put(came, step, to, rounds, live=False)


def is_shaped(world: World) -> bool:
    """Whether the graph alone refuses nothing."""
    for step in world.flow.steps:
        has = 1 if step.name == world.flow.first else len(world.inputs(step.name))
        if step.join.quorum is not None and step.join.quorum > has:
            return False
    reached = world.reach(world.flow.first, "")
    return len(reached) == len(world.flow.steps) and not world.entangled


def few(examples: int) -> settings:
    return settings(
        max_examples=examples, deadline=None,
        suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
    )  # fmt: skip


@few(200)
@given(flows(least=1))
def test_the_checker_agrees_with_the_game_and_shows_a_shortest_way(flow: FlowNet) -> None:
    world, verdict = World(flow), check(flow)
    assert not isinstance(verdict, Undecided)
    if not is_shaped(world):
        event("shape")
        assert isinstance(verdict, Unsound)
        assert verdict.reason not in CLASHES
        return
    # How a head came by its first token is not seen by its rounds: they are judged all the same.
    assume(not any(overdue(flow.step(head)) for head in world.bodies))
    assume(not any((flow.step(head).join.quorum or 0) > 1 for head in world.bodies))
    game = Game(world)
    assume(game.play())
    assume(game.fired == set(world.to))  # a part that never begins is judged all the same
    broken = game.clash is not None or game.stuck or not game.exited >= set(world.bodies)
    event(getattr(verdict, "reason", f"sound with {len(world.bodies)} loops"))
    assert isinstance(verdict, Unsound) == broken, (verdict, vars(game))
    if isinstance(verdict, Unsound) and verdict.reason in CLASHES and len(world.bodies) == 1:
        assume(not game.stuck)
        assert len(verdict.firings) == (game.clash_back or game.clash), (verdict, vars(game))


@few(100)
@given(flows(least=1))
def test_a_region_made_smaller_ends_in_the_same_ways(flow: FlowNet) -> None:
    assume(is_shaped(World(flow)))
    rounds = Rounds(Outline(flow), Budget(10_000))
    rounds.judge()
    for loop in rounds.outline.loops:
        region = rounds.region(loop)
        smaller = reduce(region)
        whole, less = sweep(region, Budget(10_000)), sweep(smaller, Budget(10_000))
        event(f"{len(region.nodes) - len(smaller.nodes)} nodes fewer")
        assert set(whole.ends) == set(less.ends)
        assert bool(whole.clashes) == bool(less.clashes)
        assert set(whole.stopped) == set(less.stopped)


@few(100)
@given(flows(most=0))
def test_without_loops_every_order_ends_properly(flow: FlowNet) -> None:
    assume(isinstance(check(flow), Sound))
    game = Game(World(flow))
    assume(game.play())
    assert (game.clash, game.stuck) == (None, False)


@few(100)
@given(flows())
def test_in_a_sound_flow_every_order_ends_properly(flow: FlowNet) -> None:
    assume(isinstance(check(flow), Sound))
    game = Game(World(flow))
    assume(game.play())
    assert (game.clash, game.stuck) == (None, False)


# ---- the runtime's own marking --------------------------------------------------------------


@few(150)
@given(flows(), st.booleans(), st.randoms(use_true_random=False))
def test_in_a_sound_flow_the_runtime_s_marking_ends_empty_whatever_the_order(
    flow: FlowNet, cancels: bool, chance: random.Random
) -> None:
    assume(isinstance(check(flow), Sound))
    net = net_of(flow, cancels=cancels)
    for _ in range(5):
        ended = play(flow, net, chance)
        event("failed or too long" if ended is None else "ended")
        assert ended is None or ended == Marking()

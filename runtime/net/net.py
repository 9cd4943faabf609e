"""The net: how tokens move through a playbook.

A step is a transition, an arc between two steps is a place, and what waits in a place is
a token: live when the arc was taken, dead when it was not. Dead tokens let a join wait
for exactly what can still come (dead-path elimination), so nothing is ever guessed. In a
loop an exit that is not taken sends its one dead token when the loop ends, and a back edge
carries no dead token at all.
Everything here is a value or a function of values.

>>> net = Net(
...     "a",
...     {
...         "a": Transition("a", (), ("b", "c")),
...         "b": Transition("b", ("a",), ("d",)),
...         "c": Transition("c", ("a",), ("d",)),
...         "d": Transition("d", ("b", "c"), ()),
...     },
... )
>>> marking = start(net)
>>> fire(net, marking, "a", {"b"})
['c']
>>> enabled(net, marking)
['b']
>>> fire(net, marking, "b", {"d"})
[]
>>> enabled(net, marking)
['d']
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Final

from runtime.net.loops import Loop, Loops

START: Final = ""
"""The source of the place before the first step."""


class NetError(Exception):
    """A net was used against its rules."""


class StepNotEnabled(NetError):
    """A step was fired while tokens were still missing before it."""

    def __init__(self, step: str, missing: list[str]) -> None:
        super().__init__(f"{step} cannot fire: no token yet from {', '.join(missing) or 'start'}")
        self.step, self.missing = step, missing


@dataclass(frozen=True, slots=True)
class Transition:
    """A step as the net sees it: where its tokens come from and where they may go.

    ``quorum`` live tokens let it fire; None means that every token must have come, dead
    ones too.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    quorum: int | None = None


@dataclass(frozen=True, slots=True)
class Net:
    """Transitions by name; ``first`` takes the start token.

    ``beside`` names the steps that no token reaches: compensations, and what runs at
    every end. A back edge is an output of its source and no input of its head.
    """

    first: str
    transitions: Mapping[str, Transition]
    beside: frozenset[str] = frozenset()
    loops: Loops = field(default_factory=Loops)

    def inputs(self, step: str) -> tuple[str, ...]:
        """The sources of a step's tokens, the start among them."""
        declared = self.transitions[step].inputs
        return (START, *declared) if step == self.first else declared


@dataclass(slots=True)
class Marking:
    """The tokens that wait, per step: source → live or dead.

    ``ready`` steps may fire, in order; ``starved`` ones never can, because too few live
    tokens are left to come; ``fired`` ones have, and absorb what still comes.
    """

    waiting: dict[str, dict[str, bool]] = field(default_factory=dict)
    ready: list[str] = field(default_factory=list)
    starved: list[str] = field(default_factory=list)
    fired: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)
    looping: set[str] = field(default_factory=set)
    """Heads that a back edge has made ready, and heads of the loops that are under way."""

    def tokens(self) -> dict[str, str]:
        """Every waiting token by its place ``source>step``, for people and for hashing."""
        return {
            f"{source}>{step}": "live" if live else "dead"
            for step, tokens in sorted(self.waiting.items())
            for source, live in sorted(tokens.items())
        }

    def begun(self, step: str) -> bool:
        """Whether a live token waits for the step to be able to fire."""
        may = step in self.ready or step in self.starved or step in self.fired
        return not may and any(self.waiting.get(step, {}).values())


@dataclass(slots=True)
class Moved:
    """What a step's tokens did: steps that are skipped, loops that begin again."""

    skipped: list[str] = field(default_factory=list)
    again: list[Loop] = field(default_factory=list)


def start(net: Net) -> Marking:
    """Return the marking of a run that has not begun: one live token before the first step."""
    marking = Marking()
    _put(net, marking, START, net.first, live=True)
    return marking


def enabled(net: Net, marking: Marking) -> list[str]:
    """Return the steps that could fire now, in the order they became ready."""
    return list(marking.ready)


def make_ready(marking: Marking, step: str) -> None:
    """Let a step fire with the tokens it has: its time to wait is over."""
    marking.ready.append(step)


def consume(net: Net, marking: Marking, step: str) -> None:
    """Take a step's tokens: it has begun, or can never begin.

    Raises:
        StepNotEnabled: a token is missing; the marking is unchanged.
    """
    tokens = marking.waiting.get(step, {})
    for steps in (marking.ready, marking.starved):
        if step in steps:
            steps.remove(step)
            break
    else:
        raise StepNotEnabled(step, [s for s in net.inputs(step) if s not in tokens])
    if step in net.loops.by_head:
        marking.looping.add(step)
    if step in marking.again:
        marking.again.discard(step)
    elif len(tokens) < len(net.inputs(step)):
        marking.fired.add(step)
    else:
        del marking.waiting[step]


def produce(net: Net, marking: Marking, step: str, taken: Set[str]) -> Moved:
    """Put a finished step's tokens on its arcs: live on those taken, dead on the others.

    A step that only dead tokens reach is skipped and passes death on.
    """
    moved = Moved()
    open_ = list(_sent(net, marking, step, taken, moved))
    while open_:
        source, target, live = open_.pop(0)
        if _put(net, marking, source, target, live=live):
            moved.skipped.append(target)
            open_ += _sent(net, marking, target, frozenset(), moved)
    return moved


def _sent(
    net: Net, marking: Marking, step: str, taken: Set[str], moved: Moved
) -> Iterator[tuple[str, str, bool]]:
    """The tokens that leave a step, as source, target and whether they are live."""
    outputs = net.transitions[step].outputs
    if not net.loops.by_head:
        yield from ((step, target, target in taken) for target in outputs)
        return
    ended: dict[str, Loop] = {}
    for target in outputs:
        if net.loops.is_back(step, target):
            if target in taken:
                _begin_again(marking, net.loops.by_head[target], moved)
            continue
        left = net.loops.left_by(step, target)
        if target in taken:
            ended |= {loop.head: loop for loop in left if loop.head in marking.looping}
        elif left and left[-1].head in marking.looping:
            continue  # the loop may still leave this way: its end sends the dead token
        yield step, target, target in taken
    for loop in ended.values():
        marking.looping.discard(loop.head)
        yield from _closed(net, loop, step, taken)


def _closed(net: Net, loop: Loop, step: str, taken: Set[str]) -> Iterator[tuple[str, str, bool]]:
    """The dead tokens of the exits that a loop that has ended did not leave by."""
    outputs = {name: t.outputs for name, t in net.transitions.items()}
    for source, target in net.loops.exits(loop, outputs):
        if not (source == step and target in taken):
            yield source, target, False


def _begin_again(marking: Marking, loop: Loop, moved: Moved) -> None:
    marking.again.add(loop.head)
    marking.ready.append(loop.head)
    moved.again.append(loop)


def fire(net: Net, marking: Marking, step: str, taken: Set[str]) -> list[str]:
    """Consume and produce at once; returns the steps that were skipped."""
    consume(net, marking, step)
    return produce(net, marking, step, taken).skipped


def _put(net: Net, marking: Marking, source: str, target: str, *, live: bool) -> bool:
    """Put one token. Returns whether the target is now dead and its tokens are gone."""
    tokens = marking.waiting.setdefault(target, {})
    tokens[source] = live
    left = len(net.inputs(target)) - len(tokens)
    if target in marking.fired:
        if not left:
            marking.fired.discard(target)
            del marking.waiting[target]
        return False
    if target in marking.ready or target in marking.starved:
        return False
    return _judge(net, marking, target, left)


def _judge(net: Net, marking: Marking, target: str, left: int) -> bool:
    """See what the tokens before a step let it do; True when it is dead."""
    alive = sum(marking.waiting[target].values())
    if not left and not alive:
        del marking.waiting[target]
        return True
    quorum = net.transitions[target].quorum
    if quorum is None:
        if not left:
            marking.ready.append(target)
    elif alive >= quorum:
        marking.ready.append(target)
    elif alive and alive + left < quorum:
        marking.starved.append(target)
    return False

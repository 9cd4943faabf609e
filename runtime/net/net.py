"""The net: how tokens move through a playbook.

A step is a transition, an arc between two steps is a place, and what waits in a place is
a token: live when the arc was taken, dead when it was not. Dead tokens let a join wait
for exactly what can still come (dead-path elimination), so nothing is ever guessed. In a
loop an exit that is not taken sends its one dead token when the loop ends, and a back edge
carries no dead token at all. A round is over when it is quiet: a back edge that was taken
waits for the losers of its round, so that no late token counts in the next one.
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
from typing import Final, TypeAlias

from runtime.net.loops import Loop, Loops
from runtime.net.marking import Marking, Moved

__all__ = [
    "START", "Marking", "Moved", "Net", "NetError", "StepNotEnabled", "Transition", "consume",
    "enabled", "fire", "lost", "make_ready", "produce", "start",
]  # fmt: skip

START: Final = ""
"""The source of the place before the first step."""
Sent: TypeAlias = tuple[str, str, bool]
"""A token on its way: from where, to where, and whether it is live."""


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
    every end. A back edge is an output of its source and no input of its head. ``losers`` are,
    by join, the steps that work for its sake alone, and are cancelled once it has fired.
    """

    first: str
    transitions: Mapping[str, Transition]
    beside: frozenset[str] = frozenset()
    loops: Loops = field(default_factory=Loops)
    losers: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def inputs(self, step: str) -> tuple[str, ...]:
        """The sources of a step's tokens, the start among them."""
        declared = self.transitions[step].inputs
        return (START, *declared) if step == self.first else declared


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


def consume(net: Net, marking: Marking, step: str) -> Moved:
    """Take a step's tokens: it has begun, or can never begin.

    A join that cancels its losers lets none of them begin any more: those are skipped.

    Raises:
        StepNotEnabled: a token is missing; the marking is unchanged.
    """
    moved, tokens = Moved(), marking.waiting.get(step, {})
    for steps in (marking.ready, marking.starved):
        if step in steps:
            steps.remove(step)
            break
    else:
        raise StepNotEnabled(step, [s for s in net.inputs(step) if s not in tokens])
    marking.active.add(step)
    if step in net.loops.by_head:
        marking.looping.add(step)
    if step in marking.again:
        marking.again.discard(step)
    elif len(tokens) == len(net.inputs(step)):
        del marking.waiting[step]
    else:
        marking.fired.add(step)
        if step in net.losers:
            _lose(net, marking, step, moved)
    return moved


def produce(net: Net, marking: Marking, step: str, taken: Set[str]) -> Moved:
    """Put a finished step's tokens on its arcs: live on those taken, dead on the others.

    A step that only dead tokens reach is skipped and passes death on.
    """
    moved = Moved()
    marking.active.discard(step)
    _spread(net, marking, _sent(net, marking, step, taken), moved)
    return moved


def _spread(net: Net, marking: Marking, tokens: list[Sent], moved: Moved) -> None:
    """Put tokens, and those that follow from them, until none is left to put."""
    while tokens:
        source, target, live = tokens.pop(0)
        if _put(net, marking, source, target, live=live):
            moved.skipped.append(target)
            tokens += _sent(net, marking, target, frozenset())
    if marking.held or marking.left or marking.lost:
        _settle(net, marking, moved)


def _sent(net: Net, marking: Marking, step: str, taken: Set[str]) -> list[Sent]:
    """The tokens that leave a step, as source, target and whether they are live."""
    if net.loops.by_head:
        return list(_sent_in_loops(net, marking, step, taken))
    return [(step, target, target in taken) for target in net.transitions[step].outputs]


def _sent_in_loops(net: Net, marking: Marking, step: str, taken: Set[str]) -> Iterator[Sent]:
    """The same where there are loops: a back edge has no dead token, a loop's end has others."""
    outputs = net.transitions[step].outputs
    ended: dict[str, Loop] = {}
    for target in outputs:
        left = net.loops.left_by(step, target)
        if target in taken:
            ended |= {loop.head: loop for loop in left if loop.head in marking.looping}
        if net.loops.is_back(step, target):
            if target in taken:
                marking.held.add(target)
        elif target in taken or not (left and marking.is_in_round(left[-1].head)):
            yield step, target, target in taken
    for loop in ended.values():
        marking.looping.discard(loop.head)
        marking.left.add(loop.head)
        yield from _closed(net, loop, step, taken)


def _closed(net: Net, loop: Loop, step: str, taken: Set[str]) -> Iterator[Sent]:
    """The dead tokens of the exits that a loop that has ended did not leave by."""
    outputs = {name: t.outputs for name, t in net.transitions.items()}
    for source, target in net.loops.exits(loop, outputs):
        if not (source == step and target in taken):
            yield source, target, False


# ---- what is over once it is quiet --------------------------------------------------------


def _settle(net: Net, marking: Marking, moved: Moved) -> None:
    """End what has become quiet: loops of losers, loops that were left, and rounds."""
    loops = [loop for loop in net.loops.inner_first if marking.is_quiet(loop.body, loop.head)]
    for loop in loops:
        if loop.head in marking.looping and _is_lost(net, marking, loop.head):
            marking.looping.discard(loop.head)
            marking.held.discard(loop.head)
            _spread(net, marking, list(_closed(net, loop, "", frozenset())), moved)
            return
    over = [join for join in marking.lost if _is_absorbed(net, marking, join)]
    marking.lost.difference_update(over)
    for loop in loops:
        if marking.is_quiet(loop.body, loop.head):
            marking.left.discard(loop.head)
            if loop.head in marking.held:
                _begin_again(marking, loop, moved)


def _begin_again(marking: Marking, loop: Loop, moved: Moved) -> None:
    marking.held.discard(loop.head)
    marking.again.add(loop.head)
    marking.ready.append(loop.head)
    moved.again.append(loop)


def _lose(net: Net, marking: Marking, join: str, moved: Moved) -> None:
    """What waits to begin for a join's sake alone is dead, now that the join has its tokens."""
    marking.lost.add(join)
    tokens: list[Sent] = []
    for name in sorted(net.losers[join]):
        marking.forget(name)
        waiting = marking.waiting.get(name, {})
        waiting.update(dict.fromkeys(waiting, False))
        if name not in marking.fired and 0 < len(waiting) == len(net.inputs(name)):
            del marking.waiting[name]
            moved.skipped.append(name)
            tokens += _sent(net, marking, name, frozenset())
    _spread(net, marking, tokens, moved)


def _is_lost(net: Net, marking: Marking, step: str) -> bool:
    return any(step in net.losers[join] for join in marking.lost)


def _is_absorbed(net: Net, marking: Marking, join: str) -> bool:
    """Whether nothing of a join's losers is left."""
    losers = net.losers[join]
    return join not in marking.fired and marking.is_quiet(losers)


def lost(net: Net, marking: Marking) -> set[str]:
    """Return the steps under way whose join has fired without them: they are to be cancelled."""
    return {step for step in marking.active if _is_lost(net, marking, step)}


def fire(net: Net, marking: Marking, step: str, taken: Set[str]) -> list[str]:
    """Consume and produce at once; returns the steps that were skipped."""
    skipped = consume(net, marking, step).skipped
    return skipped + produce(net, marking, step, taken).skipped


def _put(net: Net, marking: Marking, source: str, target: str, *, live: bool) -> bool:
    """Put one token. Returns whether the target is now dead and its tokens are gone."""
    tokens = marking.waiting.setdefault(target, {})
    tokens[source] = live and not (marking.lost and _is_lost(net, marking, target))
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

"""The net: how tokens move through a playbook.

A step is a transition, an arc between two steps is a place, and what waits in a place is
a token: live when the arc was taken, dead when it was not. Dead tokens let a join wait
for exactly what can still come (dead-path elimination), so nothing is ever guessed.
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

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Final

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
    """A step as the net sees it: where its tokens come from and where they may go."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Net:
    """Transitions by name; ``first`` takes the start token."""

    first: str
    transitions: Mapping[str, Transition]

    def inputs(self, step: str) -> tuple[str, ...]:
        """The sources of a step's tokens, the start among them."""
        declared = self.transitions[step].inputs
        return (START, *declared) if step == self.first else declared


@dataclass(slots=True)
class Marking:
    """The tokens that wait: per step, source → live or dead. Ready steps are kept in order."""

    waiting: dict[str, dict[str, bool]] = field(default_factory=dict)
    ready: list[str] = field(default_factory=list)

    def tokens(self) -> dict[str, str]:
        """Every waiting token by its place ``source>step``, for people and for hashing."""
        return {
            f"{source}>{step}": "live" if live else "dead"
            for step, tokens in sorted(self.waiting.items())
            for source, live in sorted(tokens.items())
        }


def start(net: Net) -> Marking:
    """Return the marking of a run that has not begun: one live token before the first step."""
    marking = Marking()
    _put(net, marking, START, net.first, live=True)
    return marking


def enabled(net: Net, marking: Marking) -> list[str]:
    """Return the steps that could fire now, in the order they became ready."""
    return list(marking.ready)


def consume(net: Net, marking: Marking, step: str) -> None:
    """Take a step's tokens: it has begun.

    Raises:
        StepNotEnabled: a token is missing; the marking is unchanged.
    """
    tokens = marking.waiting.get(step, {})
    missing = [s for s in net.inputs(step) if s not in tokens]
    if missing or step not in marking.ready:
        raise StepNotEnabled(step, missing)
    marking.ready.remove(step)
    del marking.waiting[step]


def produce(net: Net, marking: Marking, step: str, taken: Set[str]) -> list[str]:
    """Put a finished step's tokens on its arcs: live on those taken, dead on the others.

    Returns the steps that were skipped because only dead tokens reached them.
    """
    skipped: list[str] = []
    open_: list[tuple[str, Set[str]]] = [(step, taken)]
    while open_:
        source, live = open_.pop(0)
        for target in net.transitions[source].outputs:
            if _put(net, marking, source, target, live=target in live):
                skipped.append(target)
                open_.append((target, frozenset()))
    return skipped


def fire(net: Net, marking: Marking, step: str, taken: Set[str]) -> list[str]:
    """Consume and produce at once; see both."""
    consume(net, marking, step)
    return produce(net, marking, step, taken)


def _put(net: Net, marking: Marking, source: str, target: str, *, live: bool) -> bool:
    """Put one token. Returns whether the target is now dead and its tokens are gone."""
    tokens = marking.waiting.setdefault(target, {})
    tokens[source] = live
    if len(tokens) < len(net.inputs(target)):
        return False
    if any(tokens.values()):
        marking.ready.append(target)
        return False
    del marking.waiting[target]
    return True

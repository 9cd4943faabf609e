"""Playbook → net: each step a transition, each arc a place.

A loop must have one entry, an exit and a limit: what could not end is refused here. Which
steps a join cancels when it fires is worked out here, once for all runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from runtime.net.flow import describe
from runtime.net.loops import Loops, TwoEntries, find_loops
from runtime.net.losers import losers_of
from runtime.net.net import Net, Transition
from runtime.net.verdict import NotSound
from runtime.playbook.model import Arc, Playbook, Step, compensation

__all__ = ["NotSound", "compile_net"]


def compile_net(playbook: Playbook) -> Net:
    """Return the playbook's net.

    Raises:
        NotSound: a loop has two entries, no exit or no limit, a step cannot be reached, or
            an arc leads nowhere.
    """
    names = {step.name for step in playbook.steps}
    outputs = {s.name: tuple(dict.fromkeys(_targets(s))) for s in playbook.steps}
    for name, targets in outputs.items():
        for target in targets:
            if target not in names:
                raise NotSound("an arc leads to a step that does not exist", [name, target])
    first = playbook.steps[0].name
    _refuse_islands(first, outputs)
    outputs = _possible(playbook, first, outputs)
    loops = _loops(playbook, first, outputs)
    inputs: dict[str, list[str]] = {name: [] for name in names}
    for name, targets in outputs.items():
        for target in targets:
            if not loops.is_back(name, target):
                inputs[target].append(name)
    transitions = {
        s.name: Transition(s.name, tuple(inputs[s.name]), outputs[s.name], s.join.quorum)
        for s in playbook.steps
    }
    undone = [compensation(s).name for s in playbook.steps if s.compensate is not None]
    beside = frozenset([*undone, *(s.name for s in playbook.finally_)])
    losers = {
        s.name: losers_of(s.name, outputs, loops)
        for s in playbook.steps
        if s.join.losers == "cancel"
    }
    return Net(first, transitions, beside, loops, losers)


def _possible(
    playbook: Playbook, first: str, outputs: dict[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Leave out arcs that nothing can ever take, where one of them might make up a loop.

    Without loops they stay, and carry dead tokens, as they have in runs of old.
    """
    try:
        if not find_loops(first, outputs).by_head:
            return outputs
    except TwoEntries:
        pass
    flow = describe(playbook)
    return {n: tuple(t for t in to if t in flow.step(n).targets) for n, to in outputs.items()}


def _loops(playbook: Playbook, first: str, outputs: dict[str, tuple[str, ...]]) -> Loops:
    """Find the loops and refuse those that could not end."""
    try:
        loops = find_loops(first, outputs)
    except TwoEntries as error:
        raise NotSound("a loop can be entered at two steps", error.cycle) from error
    for loop in loops.by_head.values():
        if not any(loop in loops.left_by(s, t) for s in loop.body for t in outputs[s]):
            raise NotSound("a loop has no exit", [loop.head, *sorted(loop.back), loop.head])
        for source in sorted(loop.back):
            for arc in playbook.step(source).arcs:
                if arc.to == loop.head and (why := _endless(arc)):
                    raise NotSound(f"the arc that closes a loop {why}", [source, loop.head])
    return loops


def _endless(arc: Arc) -> str:
    """Why an arc back could be taken for ever, or nothing."""
    if arc.when is None and not arc.otherwise and not arc.on:
        return "is always taken"
    return "" if arc.max else "has no max"


def _targets(step: Step) -> Iterator[str]:
    """Where a step's tokens may go: its arcs, and what takes over when its join is late."""
    yield from (arc.to for arc in step.arcs)
    if step.join.takeover is not None:
        yield step.join.takeover


def _refuse_islands(first: str, outputs: dict[str, tuple[str, ...]]) -> None:
    seen, open_ = {first}, [first]
    while open_:
        for target in outputs[open_.pop()]:
            if target not in seen:
                seen.add(target)
                open_.append(target)
    for name in outputs:
        if name not in seen:
            raise NotSound("a step cannot be reached", [name])

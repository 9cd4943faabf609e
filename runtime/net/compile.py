"""Playbook → net: each step a transition, each arc a place.

A loop must have one entry, an exit and a limit: what could not end is refused here.
"""

from __future__ import annotations

from collections.abc import Iterator

from runtime.net.loops import Loops, TwoEntries, find_loops
from runtime.net.net import Net, NetError, Transition
from runtime.playbook.model import Playbook, Step, compensation


class NotSound(NetError):
    """The playbook's net could not end properly; ``steps`` shows where."""

    def __init__(self, reason: str, steps: list[str]) -> None:
        super().__init__(f"{reason}: {' → '.join(steps)}")
        self.reason, self.steps = reason, steps


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
    loops = _loops(playbook, first, outputs)
    _refuse_islands(first, outputs)
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
    return Net(first, transitions, beside, loops)


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
            step = playbook.step(source)
            if step.split == "all" or any(a.to == loop.head and not a.max for a in step.arcs):
                why = "has no max" if step.split != "all" else "is always taken"
                raise NotSound(f"the arc that closes a loop {why}", [source, loop.head])
    return loops


def _targets(step: Step) -> Iterator[str]:
    """Where a step's tokens may go: its arcs, and what takes over when its join is late."""
    yield from (arc.to for arc in step.arcs)
    if step.join.within_s is not None and step.join.at_deadline not in ("fire", "fail"):
        yield step.join.at_deadline


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

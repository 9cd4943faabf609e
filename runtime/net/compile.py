"""Playbook → net: each step a transition, each arc a place.

Loops are refused here: the runtime has no iterations yet, and a net with a cycle and
plain joins would wait for ever.
"""

from __future__ import annotations

from collections.abc import Iterator

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
        NotSound: a step is in a loop, cannot be reached, or an arc leads nowhere.
    """
    names = {step.name for step in playbook.steps}
    outputs = {s.name: tuple(dict.fromkeys(_targets(s))) for s in playbook.steps}
    for name, targets in outputs.items():
        for target in targets:
            if target not in names:
                raise NotSound("an arc leads to a step that does not exist", [name, target])
    inputs: dict[str, list[str]] = {name: [] for name in names}
    for name, targets in outputs.items():
        for target in targets:
            inputs[target].append(name)
    first = playbook.steps[0].name
    _refuse_loops(first, outputs)
    _refuse_islands(first, outputs)
    transitions = {
        s.name: Transition(s.name, tuple(inputs[s.name]), outputs[s.name], s.join.quorum)
        for s in playbook.steps
    }
    undone = [compensation(s).name for s in playbook.steps if s.compensate is not None]
    return Net(first, transitions, frozenset([*undone, *(s.name for s in playbook.finally_)]))


def _targets(step: Step) -> Iterator[str]:
    """Where a step's tokens may go: its arcs, and what takes over when its join is late."""
    yield from (arc.to for arc in step.arcs)
    if step.join.within_s is not None and step.join.at_deadline not in ("fire", "fail"):
        yield step.join.at_deadline


def _refuse_loops(first: str, outputs: dict[str, tuple[str, ...]]) -> None:
    done: set[str] = set()
    for root in (first, *outputs):
        path: list[str] = []
        stack: list[tuple[str, int]] = [(root, 0)]
        while stack:
            node, i = stack.pop()
            if i == 0:
                if node in done:
                    continue
                path.append(node)
            targets = outputs[node]
            if i == len(targets):
                done.add(node)
                path.pop()
                continue
            stack.append((node, i + 1))
            target = targets[i]
            if target in path:
                raise NotSound("steps form a loop", [*path[path.index(target) :], target])
            stack.append((target, 0))


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

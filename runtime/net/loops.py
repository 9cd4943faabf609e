"""Loops: single-entry regions whose back edge begins them again.

A back edge leads to a step that every way to its source goes through (its dominator), the
loop's *head*; the *body* is all that lies between. An arc that leaves the body is an
exit. A cycle that can be entered at two places has no head and is refused. (Natural loops:
Aho, Lam, Sethi, Ullman, "Compilers", §9.6.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Outputs: TypeAlias = Mapping[str, tuple[str, ...]]
Arc: TypeAlias = tuple[str, str]


class TwoEntries(Exception):
    """A cycle can be entered at more than one step."""

    def __init__(self, cycle: list[str]) -> None:
        super().__init__(" → ".join(cycle))
        self.cycle = cycle


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop: where it begins, what is in it, and the sources of its back edges."""

    head: str
    body: frozenset[str]
    back: frozenset[str]


@dataclass(frozen=True, slots=True)
class Loops:
    """All loops of a net, by head."""

    by_head: Mapping[str, Loop] = field(default_factory=dict)
    inner_first: tuple[Loop, ...] = field(init=False)

    def __post_init__(self) -> None:
        ordered = sorted(self.by_head.values(), key=lambda loop: (len(loop.body), loop.head))
        object.__setattr__(self, "inner_first", tuple(ordered))

    def is_back(self, source: str, target: str) -> bool:
        """Whether the arc begins a loop again."""
        loop = self.by_head.get(target)
        return loop is not None and source in loop.back

    def left_by(self, source: str, target: str) -> list[Loop]:
        """The loops that an arc leaves, the outermost last."""
        left = [x for x in self.by_head.values() if source in x.body and target not in x.body]
        return sorted(left, key=lambda loop: len(loop.body))

    def exits(self, loop: Loop, outputs: Outputs) -> Iterator[Arc]:
        """The arcs whose outermost loop left is this one."""
        for source in sorted(loop.body):
            for target in outputs[source]:
                left = self.left_by(source, target)
                if left and left[-1] is loop and not self.is_back(source, target):
                    yield source, target


def find_loops(first: str, outputs: Outputs) -> Loops:
    """Return the loops of a net.

    Raises:
        TwoEntries: a cycle has no step that all ways into it go through.
    """
    back: dict[str, set[str]] = {}
    for source, target, cycle in _closing(first, outputs):
        if source != target and source in _reachable(first, outputs, without=target):
            raise TwoEntries(cycle)
        back.setdefault(target, set()).add(source)
    inputs = _inputs(outputs)
    return Loops(
        {head: Loop(head, _body(head, s, inputs), frozenset(s)) for head, s in back.items()}
    )


def _closing(first: str, outputs: Outputs) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each arc that closes a cycle in a depth-first walk, with the cycle."""
    done: set[str] = set()
    for root in (first, *outputs):
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, int]] = [(root, 0)]
        while stack:
            node, i = stack.pop()
            if i == 0:
                if node in done:
                    continue
                path.append(node)
                on_path.add(node)
                done.add(node)
            if i == len(outputs[node]):
                path.pop()
                on_path.discard(node)
                continue
            stack.append((node, i + 1))
            target = outputs[node][i]
            if target in on_path:
                yield node, target, [*path[path.index(target) :], target]
            else:
                stack.append((target, 0))


def _reachable(first: str, outputs: Outputs, without: str) -> set[str]:
    if first == without:
        return set()
    seen, open_ = {first}, [first]
    while open_:
        for target in outputs[open_.pop()]:
            if target != without and target not in seen:
                seen.add(target)
                open_.append(target)
    return seen


def _inputs(outputs: Outputs) -> dict[str, list[str]]:
    inputs: dict[str, list[str]] = {name: [] for name in outputs}
    for source, targets in outputs.items():
        for target in targets:
            inputs[target].append(source)
    return inputs


def _body(head: str, back: set[str], inputs: Mapping[str, list[str]]) -> frozenset[str]:
    body, open_ = {head}, [s for s in back if s != head]
    while open_:
        node = open_.pop()
        if node not in body:
            body.add(node)
            open_ += inputs[node]
    return frozenset(body)

"""A graph of steps: what can be reached, in which order, and by which way.

Names to the names their arcs lead to; nothing here knows of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Graph: TypeAlias = Mapping[str, Sequence[str]]


def reached(graph: Graph, start: str) -> set[str]:
    """Return the steps that can be reached from ``start``, itself among them."""
    seen, open_ = {start}, [start]
    while open_:
        for target in graph[open_.pop()]:
            if target not in seen:
                seen.add(target)
                open_.append(target)
    return seen


def turned(graph: Graph) -> dict[str, list[str]]:
    """Return the graph with every arc turned round."""
    sources: dict[str, list[str]] = {name: [] for name in graph}
    for name, targets in graph.items():
        for target in targets:
            sources[target].append(name)
    return sources


def ordered(graph: Graph, first: str) -> list[str]:
    """Return the steps so that only arcs that close a circle lead to an earlier one."""
    seen: set[str] = {first}
    after: list[str] = []
    stack = [(first, iter(graph[first]))]
    while stack:
        name, targets = stack[-1]
        target = next(targets, None)
        if target is None:
            after.append(name)
            stack.pop()
        elif target not in seen:
            seen.add(target)
            stack.append((target, iter(graph[target])))
    return after[::-1]


def path_to(graph: Graph, start: str, goal: str) -> list[str]:
    """Return the shortest way by at least one arc, start included and goal left out."""
    came: dict[str, str] = {}
    open_ = [start]
    for name in open_:
        for target in graph[name]:
            if target == goal:
                path = [name]
                while path[-1] != start:
                    path.append(came[path[-1]])
                return path[::-1]
            if target not in came and target != start:
                came[target] = name
                open_.append(target)
    return []

"""Reduction: a region is made smaller in ways that change nothing at its border.

One rule does the work of three. A node with one source and one way to end, all within the
region, is folded into its source. Along a chain that is the series rule; a fork whose
branches meet again folds into one arc (the parallel rule), and so does a choice whose branches
meet again (the choice rule). Ways keep the firings they stand for, so a trail through
the smaller region is still one through the larger.
"""

from __future__ import annotations

from dataclasses import replace

from runtime.net.flow import Way
from runtime.net.region import Node, Region


def reduce(region: Region) -> Region:
    """Return the region with every node folded away that the rule allows."""
    fold = _Fold(region)
    open_ = list(region.nodes)[::-1]
    while open_:
        name = open_.pop()
        if name in fold.nodes and fold.may(name):
            open_ += fold.take(name)
    return Region(fold.nodes, region.border)


class _Fold:
    """A region while it is made smaller."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self.nodes = dict(region.nodes)
        self.after: dict[str, set[str]] = {name: set() for name in region.nodes}
        for node in region.nodes.values():
            for source in node.inputs:
                self.after[source].add(node.name)

    def may(self, name: str) -> bool:
        node = self.nodes[name]
        if len(node.inputs) != 1 or len(node.ways) != 1 or node.late:
            return False
        live = node.ways[0].live
        if (node.quorum or 1) > 1 or not live or live & self.region.border:
            return False
        return not any(self._joins_twice(node.inputs[0], target) for target in self.after[name])

    def _joins_twice(self, source: str, target: str) -> bool:
        """Whether two of the tokens that a join counts would become one."""
        other = self.nodes[target]
        return (other.quorum or 1) > 1 and source in other.inputs

    def take(self, name: str) -> list[str]:
        """Fold a node into its source. Returns the nodes that may be folded now."""
        node = self.nodes.pop(name)
        source, way = node.inputs[0], node.ways[0]
        followers = self.after.pop(name)
        for target in sorted(followers):
            other = self.nodes[target]
            inputs = tuple(dict.fromkeys(source if i == name else i for i in other.inputs))
            self.nodes[target] = replace(other, inputs=inputs)
        self.nodes[source] = _longer(self.nodes[source], name, way)
        self.after[source] = self.after[source] - {name} | followers
        return [source, *sorted(followers)]


def _longer(node: Node, name: str, then: Way) -> Node:
    ways, late, missed = (_through(w, name, then) for w in (node.ways, node.late, node.missed))
    return replace(node, ways=ways, late=late, missed=missed)


def _through(ways: tuple[Way, ...], name: str, then: Way) -> tuple[Way, ...]:
    found: dict[frozenset[str], Way] = {}
    for way in ways:
        if name in way.live:
            way = Way(way.live - {name} | then.live, way.firings + then.firings)
        found.setdefault(way.live, way)
    return tuple(found.values())

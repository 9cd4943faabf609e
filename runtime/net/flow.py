r"""The flow of a playbook: what its steps wait for and which ways they may end.

A `FlowNet` says all that soundness depends on and nothing else: no conditions, no tools, no
data. Whatever decides which way a step ends (a condition, an error, a clock) is taken to be
free, so what holds for a flow holds for every run of its playbook.

>>> from runtime.net.notation import read
>>> flow = read("a: b? | c\nb: d\nc: d\nd")
>>> [sorted(way.live) for way in flow.step("a").ways()]
[['b'], ['c']]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Final, Literal, TypeAlias

from runtime.playbook.model import Arc, Json, Playbook, Step

Split: TypeAlias = Literal["all", "exclusive", "inclusive"]
ArcKind: TypeAlias = Literal["always", "when", "otherwise", "error", "late"]

SUBSETS_UP_TO: Final = 8
"""An inclusive split over more arcs than this is known by its single arcs and all at once."""
ROUTING: Final = frozenset({"no_route", "no_quorum", "expression"})
"""The classes of failure that a step without a tool can have."""


@dataclass(frozen=True, slots=True)
class FlowArc:
    """A way on. ``classes`` are the failures an error arc catches; ``late`` is a deadline's."""

    to: str
    kind: ArcKind = "always"
    classes: frozenset[str] = frozenset()
    max: int | None = None


@dataclass(frozen=True, slots=True)
class FlowJoin:
    """``quorum`` live tokens are enough, or every input when it is None.

    ``late`` is what happens when a time to wait is over: ``fire``, ``fail`` or a step's name.
    """

    quorum: int | None = None
    late: str | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """One way a step may end: where live tokens go, and what a person would call it."""

    live: frozenset[str]
    firings: tuple[str, ...]


@dataclass(frozen=True)
class FlowStep:
    """A step as soundness sees it.

    ``works`` is false for a step that leaves no mark: no tool and no ``set``. ``raises`` holds
    the classes of failure it can have; None means any that a tool has. ``hands_up`` is true for
    a step that may fail in any way, since a run below it did.
    """

    name: str
    arcs: tuple[FlowArc, ...] = ()
    split: Split = "all"
    join: FlowJoin = field(default_factory=FlowJoin)
    works: bool = True
    raises: frozenset[str] | None = None
    hands_up: bool = False

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The steps that tokens may go to, each once, and only those that can be taken."""
        ways = (*self.ways(), *self.late_ways(), *self.missed_ways())
        taken = frozenset[str]().union(*(way.live for way in ways))
        return tuple(dict.fromkeys(arc.to for arc in self.arcs if arc.to in taken))

    def ways(self) -> tuple[Way, ...]:
        """The ways the step may end once it fired; no two with the same live arcs."""
        ends = list(self._chosen())
        many = len(set(ends)) > 1
        ways = [Way(live, (self._told(live) if many else self.name,)) for live in ends]
        ways += self._failing(self._can_fail)
        return _distinct(ways)

    def late_ways(self) -> tuple[Way, ...]:
        """The ways it may end when a live token waited for too long."""
        match self.join.late:
            case None:
                return ()
            case "fire":
                return self.ways()
            case "fail":
                return tuple(self._failing(lambda cls: cls == "timeout"))
            case step:
                return (Way(frozenset({step}), (f"{self.name} is late → {step}",)),)

    def missed_ways(self) -> tuple[Way, ...]:
        """The ways it may end when its quorum can no longer be reached."""
        if (self.join.quorum or 0) < 2:
            return ()
        return tuple(self._failing(lambda cls: cls == "no_quorum"))

    def firing_to(self, target: str) -> str:
        """Return what a person would call the firing that sends a token there."""
        ways = (*self.ways(), *self.missed_ways(), *self.late_ways())
        return min((w for w in ways if target in w.live), key=lambda w: len(w.live)).firings[0]

    @property
    def is_wide(self) -> bool:
        """Whether `ways` leaves out some subsets of an inclusive split."""
        return self.split == "inclusive" and len(self._to("when")) > SUBSETS_UP_TO

    def _to(self, *kinds: ArcKind) -> tuple[str, ...]:
        return tuple(dict.fromkeys(arc.to for arc in self.arcs if arc.kind in kinds))

    def _chosen(self) -> Iterator[frozenset[str]]:
        conditional = self._to("when")
        if not conditional:
            yield frozenset(self._to("always", "otherwise"))
            return
        if self.split == "exclusive":
            yield from (frozenset({to}) for to in conditional)
        else:
            yield from _subsets(conditional)
        if others := self._to("otherwise"):
            yield frozenset(others)

    def _can_fail(self, cls: str) -> bool:
        if self.hands_up:
            return True
        if cls == "no_quorum" or (self.raises is not None and cls not in self.raises):
            return False
        if cls != "no_route":
            return True
        has_else = not self._to("when") or bool(self._to("otherwise"))
        return not has_else or any(arc.max and cls not in arc.classes for arc in self.arcs)

    def _failing(self, can: Callable[[str], bool]) -> list[Way]:
        caught: dict[str, set[str]] = {}
        for arc in self.arcs:
            for cls in arc.classes:
                caught.setdefault(cls, set()).add(arc.to)
        return [
            Way(frozenset(to), (f"{self.name} fails ({cls}) → {', '.join(sorted(to))}",))
            for cls, to in sorted(caught.items())
            if can(cls)
        ]

    def _told(self, live: frozenset[str]) -> str:
        return f"{self.name} → {', '.join(sorted(live))}" if live else f"{self.name} ends"


@dataclass(frozen=True)
class FlowNet:
    """Steps in the author's order; the first takes the start token."""

    steps: tuple[FlowStep, ...]

    @property
    def first(self) -> str:
        return self.steps[0].name

    def step(self, name: str) -> FlowStep:
        """Return the step of that name, or raise KeyError."""
        return self.named[name]

    @cached_property
    def named(self) -> dict[str, FlowStep]:
        """The steps by name."""
        return {step.name: step for step in self.steps}


def describe(playbook: Playbook) -> FlowNet:
    """Return the flow of a playbook."""
    return FlowNet(tuple(_step(step) for step in playbook.steps))


def _step(step: Step) -> FlowStep:
    arcs = [_arc(arc) for arc in step.arcs]
    late = step.join.at_deadline if step.join.within_s is not None else None
    if late not in (None, "fire", "fail"):
        arcs.append(FlowArc(late, "late"))
    routes = step.tool is None
    raises = (ROUTING | {"timeout"} if late == "fail" else ROUTING) if routes else None
    return FlowStep(
        step.name, tuple(arcs), step.split, FlowJoin(step.join.quorum, late),
        works=not routes or bool(step.sets), raises=raises,
        hands_up=any(tool.get("kind") == "playbook" for tool in _tools(step)),
    )  # fmt: skip


def _tools(step: Step) -> Iterator[Mapping[str, Json]]:
    if step.tool is not None:
        yield step.tool
    yield from (other.tool for other in step.alternatives.values())


def _arc(arc: Arc) -> FlowArc:
    kind: ArcKind = "always"
    if arc.on:
        kind = "error"
    elif arc.when is not None:
        kind = "when"
    elif arc.otherwise:
        kind = "otherwise"
    return FlowArc(arc.to, kind, frozenset(arc.on), arc.max)


def _subsets(names: tuple[str, ...]) -> Iterator[frozenset[str]]:
    if len(names) > SUBSETS_UP_TO:
        yield from (frozenset({name}) for name in names)
        yield frozenset(names)
        return
    for size in range(1, len(names) + 1):
        yield from map(frozenset, combinations(names, size))


def _distinct(ways: Iterable[Way]) -> tuple[Way, ...]:
    found: dict[frozenset[str], Way] = {}
    for way in ways:
        found.setdefault(way.live, way)
    return tuple(found.values())

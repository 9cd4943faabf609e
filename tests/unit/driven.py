"""A run that a test plays by hand, and whose fold is checked after every event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from runtime.net.compile import compile_net
from runtime.playbook.hours import closes, opens
from runtime.playbook.model import (
    Arc,
    Playbook,
    Step,
)
from runtime.playbook.model import Each as EachSpec
from runtime.run import events as ev
from runtime.run.budget import Budget
from runtime.run.decide import Decision, Ended
from runtime.run.evolve import evolve
from runtime.run.layers import Experiment, Layers, Resolved, resolve
from runtime.run.life import LEADS_TO, RUN, STEP, WORK
from runtime.run.route import Route, route
from runtime.run.state import Each, RunState, Try, new_run

OK = Ended("", "succeeded", result=1)


def failed(cls: str = "transient") -> Ended:
    return Ended("", "failed", ev.Fault(cls, "no luck"))


@dataclass
class World:
    """An edge whose clock, configurations and conditions the test holds in its hand."""

    playbook: Playbook
    layers: Layers = field(default_factory=Layers)
    conditions: dict[str, bool] = field(default_factory=dict)
    items_of: dict[str, int] = field(default_factory=dict)
    at: float = 100.0
    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    budgets: dict[str, Budget] = field(default_factory=dict)

    def now(self) -> float:
        return self.at

    def chance(self) -> float:
        return 0.5

    def route(
        self, state: RunState, step: Step, value: Any, fault: ev.Fault | None
    ) -> Route | None:
        return route(step, lambda text: self.conditions[text], fault.cls if fault else None)

    def holds(self, state: RunState, step: Step, text: str, value: Any) -> bool:
        return bool(value)

    def render(self, state: RunState, step: Step) -> dict[str, Any]:
        tool = dict(step.tool or {})
        if tool.get("kind") == "wait":
            tool["due"] = self.at + tool["for"]
        return {"tool": tool, "with": {}}

    def items(self, state: RunState, step: Step) -> tuple[int, Any]:
        return self.items_of[step.name], {"$ref": "x", "rows": self.items_of[step.name]}

    def fold(self, state: RunState, step: Step, result: Any) -> dict[str, Any]:
        reduce = step.each.reduce if step.each else {}
        return {name: {wanted.op: result} for name, wanted in reduce.items()}

    def gather(self, state: RunState, step: Step, each: Each) -> Any:
        counts = {"items": each.total, "failed": each.failed_items}
        reduce = step.each.reduce if step.each else {}
        if not reduce:
            return counts | {"results": list(each.results)}
        found = {name: each.folded.value(name, wanted.op) for name, wanted in reduce.items()}
        return counts | {"reduced": found}

    def configure(
        self, state: RunState, step: Step, experiment: Experiment | None, arm: str | None
    ) -> Resolved:
        defaults: dict[str, Any] = {"retry.attempts": step.retry.attempts}
        if step.each:
            defaults |= {"each.batch": step.each.batch, "each.in_flight": step.each.in_flight}
        if step.start:
            defaults["start.hours"] = step.start.hours
        found = resolve(
            self.layers, "p", step.name, defaults=defaults, bound="h", experiment=experiment,
            arm=arm,
        )  # fmt: skip
        self.configs[found.config] = found.effective
        return found

    def effective(self, config: str) -> dict[str, Any]:
        return self.configs[config]

    def experiment(self, state: RunState, step: Step) -> Experiment | None:
        return self.layers.experiment("p", step.name, "h")

    def is_live(self, experiment: str) -> bool:
        return any(x.id == experiment for x in self.layers.experiments.values())

    def opens(self, step: Step, hours: str, at: float) -> float:
        return opens(hours, at, ZoneInfo(step.start.zone if step.start else "UTC"))

    def closes(self, step: Step, hours: str, at: float) -> float:
        return closes(hours, at, ZoneInfo(step.start.zone if step.start else "UTC"))

    def budget(self, step: Step, arm: tuple[str, str]) -> Budget:
        return self.budgets.setdefault("/".join((step.name, *filter(None, arm))), Budget())


Pair = tuple[str, str, str]
PAIRS: set[Pair] = {
    *(("run", state, LEADS_TO[move]) for state, moves in RUN.items() for move in moves),
    *(("step", state, to) for state, moves in STEP.items() for to in moves.values()),
    ("step", "active", "waiting"),  # it ends, and its end begins the next round of its loop
    *(("work", state, to) for state, moves in WORK.items() for to in moves.values()),
}
"""Every pair of states that may follow each other, of each life."""


def lives(state: RunState) -> dict[tuple[str, str], str]:
    """The state of every life in a run: its own, its steps' and its pieces of work."""
    found = {("run", ""): str(state.status)}
    found |= {("step", name): str(step.status) for name, step in state.steps.items()}
    found |= {("work", f"{name} {batch}"): "waiting" for name, batch in state.pauses}
    for tried in state.attempts.values():
        found["work", f"{tried.step} {tried.batch}"] = "leased" if tried.leased else "scheduled"
    return found


def moved(before: dict[tuple[str, str], str], now: dict[tuple[str, str], str]) -> set[Pair]:
    """What changed; work that is not there has not begun, or is over."""
    pairs = {
        (key[0], before.get(key, "none"), now.get(key, "ended")) for key in {*before, *now}
    }  # fmt: skip
    return {pair for pair in pairs if pair[1] != pair[2]}


class Driver:
    """Plays a run by hand: decides commands, and checks the fold after every event."""

    def __init__(
        self, world: World, made: list[ev.RunEvent] | None = None, run: str = "r"
    ) -> None:
        self.world, self.net = world, compile_net(world.playbook)
        self.state, self.twin = new_run(run, self.net), new_run(run, self.net)
        self.log: list[ev.RunEvent] = []
        self.lived: set[Pair] = set()
        self.take(made or [ev.RunSubmitted("p", "v", 1, {}, "me")])
        if made is None:
            self.act(Decision.begin)

    def act(self, command: Callable[[Decision], object]) -> list[ev.RunEvent]:
        decision = Decision(self.state, self.world.playbook, self.world)
        command(decision)
        self.take(decision.events, into_state=False)
        return decision.events

    def take(self, new: list[ev.RunEvent], *, into_state: bool = True) -> None:
        for event in new:
            if into_state:
                evolve(self.state, event, self.world.at)
            before = lives(self.twin)
            evolve(self.twin, event, self.world.at)
            self.lived |= moved(before, lives(self.twin))
            self.log.append(event)
        assert not self.lived - PAIRS, "not in the tables of runtime/run/life.py"
        assert self.twin.hash() == self.state.hash()

    def end(self, attempt: Try, how: Ended = OK) -> list[ev.RunEvent]:
        return self.act(lambda d: d.ended(replace(how, attempt=attempt.attempt)))

    def flying(self, step: str | None = None) -> list[Try]:
        return [t for t in self.state.attempts.values() if step in (None, t.step)]

    def run_out(self, judge: Callable[[Try], Ended] = lambda _: OK) -> None:
        while not self.state.ended:
            if flying := self.flying():
                self.end(flying[0], judge(flying[0]))
            else:
                self.world.at += 60
                self.act(Decision.due)

    def of(self, kind: type) -> list[Any]:
        return [e for e in self.log if isinstance(e, kind)]


def step(name: str, *to: str, **kw: Any) -> Step:
    kw.setdefault("tool", {"kind": "python", "call": "m:f"})
    return Step(name, arcs=tuple(Arc(t) for t in to), **kw)


def world(*steps: Step, **kw: Any) -> World:
    return World(Playbook("p", steps), **kw)


def mapped(count: int, batch: int, in_flight: int, **kw: Any) -> World:
    each = EachSpec("{{ x }}", batch, in_flight, kw.pop("allow", 0.0))
    return world(step("map", each=each, **kw), items_of={"map": count})

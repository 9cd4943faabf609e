"""In a sound playbook every order of events ends properly, whatever its steps come to.

Random flows that the checker calls sound are run by the real decisions: attempts end well,
fail or are lost, deadlines pass, loops go round, losers are killed, steps wait for hours, runs
are paused and go on, all in any order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import assume, event, given
from hypothesis import strategies as st
from test_soundness_laws import few, flows

from driven import OK, Driver, World
from runtime.net.compile import NotSound, compile_net
from runtime.net.flow import FlowArc, FlowNet, FlowStep, describe
from runtime.net.net import Marking
from runtime.net.soundness import Sound, check
from runtime.playbook.model import Arc, Join, Playbook, Start, Step
from runtime.run import events as ev
from runtime.run.decide import Decision, Ended, losers
from runtime.run.route import Route, route
from runtime.run.state import RunState, Try
from runtime.run.tokens import LOSER

MOST_MOVES = 2_000
OF_TOOLS = ("permanent", "timeout")
"""Classes that a tool may fail with itself; the others are the net's own."""
STARTS = (None, None, Start("1-3", 7_200.0), Start("1-3", 86_400.0, spread_s=1_800.0))
"""Runs begin at midnight. The hours come within the day; a step that waits is under way."""
TOOLS: list[Any] = [{"kind": "x"}, {"kind": "x"}, {"kind": "wait", "for": 30.0}, None]


@dataclass
class Chance(World):
    """An edge at which a condition holds or not by chance."""

    random: random.Random = field(default_factory=random.Random)

    def route(
        self, state: RunState, step: Step, value: Any, fault: ev.Fault | None
    ) -> Route | None:
        return route(step, lambda _: self.random.random() < 0.6, fault.cls if fault else None)


def arc_of(arc: FlowArc) -> Arc:
    when = f"to {arc.to}" if arc.kind == "when" else None
    return Arc(arc.to, when, arc.kind == "otherwise", tuple(sorted(arc.classes)), arc.max)


def step_of(step: FlowStep, tool: Any, start: Start | None, *, cancels: bool) -> Step:
    late, quorum = step.join.late, step.join.quorum
    join = Join(
        "all" if quorum is None else "at_least", quorum or 0,
        within_s=20.0 if late else None, at_deadline=late or "fail",
        losers="cancel" if cancels and (late or quorum) else "finish",
    )  # fmt: skip
    arcs = tuple(arc_of(arc) for arc in step.arcs if arc.kind != "late")
    split = "inclusive" if step.split == "inclusive" else "exclusive"
    held = start if tool is not None else None
    return Step(step.name, tool, arcs, split, join=join, start=held)


@st.composite
def sound(draw: st.DrawFn) -> Playbook:
    flow: FlowNet = draw(flows())
    cancels = draw(st.booleans())
    steps = [
        step_of(s, draw(st.sampled_from(TOOLS)), draw(st.sampled_from(STARTS)), cancels=cancels)
        for s in flow.steps
    ]
    playbook = Playbook("p", tuple(steps))
    assume(isinstance(check(describe(playbook)), Sound))
    try:
        compile_net(playbook)
    except NotSound:
        assume(False)
    return playbook


class Fate:
    """What happens next, by chance."""

    def __init__(self, playbook: Playbook, chance: random.Random) -> None:
        self.chance = chance
        self.driver = Driver(Chance(playbook, random=chance))

    def move(self) -> None:
        d = self.driver
        lost = losers(d.state, d.world.playbook)
        here = [t for t in d.flying() if not t.waits_here]
        late = self.chance.random() < 0.2
        if d.state.status == "paused" and self.chance.random() < 0.3:
            d.act(lambda d: d.resume("me"))
        elif d.state.status == "running" and self.chance.random() < 0.05:
            d.act(lambda d: d.pause("me"))
        elif lost and self.chance.random() < 0.5:
            d.end(self.chance.choice(lost), Ended("", "cancelled", LOSER))
        elif here and not late:
            tried = self.chance.choice(here)
            d.end(tried, self.end_of(tried))
        else:
            d.world.at += self.chance.choice([5.0, 25.0, 100.0, 2_000.0])
            d.act(Decision.due)

    def end_of(self, tried: Try) -> Ended:
        """A try ends well, is lost and tried again, or fails in a way that is mostly caught."""
        arcs = self.driver.world.playbook.step(tried.step).arcs
        caught = [cls for arc in arcs for cls in arc.on if cls in OF_TOOLS]
        if caught and self.chance.random() < 0.4:
            return Ended("", "failed", ev.Fault(self.chance.choice(caught), "no luck"))
        if self.chance.random() < 0.1:
            return Ended("", "lost", ev.Fault("lost", "gone"))
        if self.chance.random() < 0.02:
            return Ended("", "failed", ev.Fault("data", "nobody catches this"))
        return OK


@few(120)
@given(sound(), st.integers(0, 2**32))
def test_a_run_of_a_sound_playbook_ends_properly_whatever_the_order(
    playbook: Playbook, seed: int
) -> None:
    fate = Fate(playbook, random.Random(seed))
    d = fate.driver
    for _ in range(MOST_MOVES):
        if d.state.ended:
            break
        fate.move()
    assert d.state.ended, (d.state.marking, d.flying())
    event(d.state.status)
    event(f"held {bool(d.of(ev.StepHeld))}")
    assert (d.state.attempts, d.state.pauses) == ({}, {})
    if d.state.status == "completed":
        assert d.state.marking == Marking()
        ends = {name: str(step.status) for name, step in d.state.steps.items()}
        assert set(ends.values()) <= {"done", "failed", "skipped", "cancelled"}, ends
        assert d.state.timers == {}

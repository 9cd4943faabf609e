"""A run's tokens: a step takes its own and gives them on, and what follows for other steps.

A join that fires gives up what works for its sake; a loop that goes round has its steps wait
again, while what they gave can still be read.
"""

from __future__ import annotations

from dataclasses import replace

from runtime.ids import STEP_BATCH
from runtime.net.loops import Loop
from runtime.net.net import Moved, consume, lost, produce
from runtime.run.events import Fault
from runtime.run.state import Each, Past, RunState

LATE_JOIN = "@join"
"""Ends the name of the timer of a join that waits; no step can have such a name."""
LOSER = Fault("cancelled", "the join that it worked for has fired without it")
"""Why a step ends that nobody waits for any more."""


def take_tokens(state: RunState, name: str) -> None:
    """Take a step's tokens; what works for the sake of a join that fires is given up."""
    _take_in(state, consume(state.net, state.marking, name))
    if not state.marking.lost:
        return
    for join in state.marking.lost:
        for loser in state.net.losers[join]:
            state.timers.pop(loser + LATE_JOIN, None)
    for loser in lost(state.net, state.marking):
        each = state.steps[loser].each
        if each is None:
            state.pauses.pop((loser, STEP_BATCH), None)
        elif each.fault is None and not _all_flies(state, loser, each):
            give_up(state, loser, each, LOSER)


def _all_flies(state: RunState, name: str, each: Each) -> bool:
    """Whether the batches in flight are all that is left of a step."""
    waits = any(work[0] == name for work in state.pauses)
    return each.cut_to >= each.total and each.next_open() is None and not waits


def begun(state: RunState, name: str) -> None:
    """A step has its tokens: nothing waits for them any more."""
    step = state.steps[name]
    step.status, step.times = "active", step.times + 1
    state.timers.pop(name + LATE_JOIN, None)
    state.note_marking()


def give_up(state: RunState, name: str, each: Each, fault: Fault | None) -> None:
    """Nothing more of the step is scheduled; what waited for another try is dropped."""
    each.fault = fault
    for work in [w for w in state.pauses if w[0] == name]:
        del state.pauses[work]
        each.active -= 1


def is_lost(state: RunState, step: str) -> bool:
    """Whether a step that runs does so for the sake of a join that has fired and cancels it."""
    return bool(state.marking.lost) and step in lost(state.net, state.marking)


def give_tokens(state: RunState, step: str, arcs: list[str]) -> None:
    """A step gives its tokens on along the arcs taken; what runs at a run's end has none."""
    if step in state.net.beside:
        return
    state.timers.pop(step, None)
    state.timers.pop(step + LATE_JOIN, None)
    _take_in(state, produce(state.net, state.marking, step, frozenset(arcs)))
    state.note_marking()


def _take_in(state: RunState, moved: Moved) -> None:
    for skipped in moved.skipped:
        state.steps[skipped].status = "skipped"
        state.timers.pop(skipped + LATE_JOIN, None)
    for loop in moved.again:
        _again(state, loop)


def _keep_past(state: RunState, loop: Loop) -> None:
    """What this round's steps gave is kept for those of them that may have to be undone."""
    open_ = [d for d in state.undo if d.past is None and d.step in loop.body]
    if open_:
        values = {name: replace(state.steps[name], each=None) for name in loop.body}
        past = Past(values, dict(state.ctx))
        for done in open_:
            done.past = past


def _again(state: RunState, loop: Loop) -> None:
    """The steps of a loop wait as if they had never run; what they gave can still be read."""
    state.loops[loop.head] = state.loops.get(loop.head, 0) + 1
    _keep_past(state, loop)
    for name in loop.body:
        step = state.steps[name]
        step.status, step.each, step.fault = "waiting", None, None
        state.rounds.pop(name, None)
        state.expired.discard(name)
        if name != loop.head:
            state.loops.pop(name, None)

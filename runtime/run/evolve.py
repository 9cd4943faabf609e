"""Evolve: the fold. State and event in, state after it out.

It believes what it reads: the arcs taken, the values set, the ranges cut are in the
events, so that replay never evaluates an expression or resolves a configuration again.
"""

from __future__ import annotations

from typing import assert_never

from runtime.ids import STEP_BATCH
from runtime.net.net import make_ready, start
from runtime.run.ending import finished, undone
from runtime.run.events import (
    AttemptFinished,
    AttemptLeased,
    AttemptScheduled,
    CheckFailed,
    ContextSet,
    EachCut,
    Fault,
    ProductPublished,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunFailing,
    RunHurried,
    RunPaused,
    RunResumed,
    RunStarted,
    RunSubmitted,
    SignalReceived,
    StepHeld,
    StepRouted,
    TimerFired,
    TimerSet,
)
from runtime.run.life import Move, after
from runtime.run.state import Block, Each, Pause, Race, RunState, Try
from runtime.run.tokens import LATE_JOIN, begun, give_tokens, give_up, is_lost, take_tokens

OUT_OF_TIME = "total_timeout has passed"
"""Why a step ends that has used up its time."""


def evolve(state: RunState, event: RunEvent, at: float) -> RunState:
    """Change ``state`` by one event of its stream, and return it."""
    state.seq += 1
    match event:
        case AttemptScheduled():
            _scheduled(state, event, at)
        case AttemptFinished():
            finished(state, event)
        case EachCut():
            _cut(state, event)
        case AttemptLeased():
            state.attempts[event.attempt].leased = True
        case StepRouted():
            _routed(state, event)
        case StepHeld():
            _held(state, event)
        case RunSubmitted():
            _submitted(state, event, at)
        case RunStarted():
            _move(state, Move.STARTED)
            state.marking = start(state.net)
        case RunPaused():
            _move(state, Move.PAUSED)
        case RunResumed():
            _move(state, Move.RESUMED)
        case RunCancelRequested():
            _move(state, Move.CANCEL_REQUESTED)
            _drop_pauses(state)
        case RunFailing():
            _failing(state, event)
        case RunCompleted():
            _move(state, Move.COMPLETED)
            state.result = event.result
        case RunFailed():
            _move(state, Move.FAILED)
        case RunCancelled():
            _move(state, Move.CANCELLED)
        case ContextSet():
            state.ctx.update(event.values)
        case TimerSet():
            state.timers[event.name] = event.due
        case TimerFired():
            _timer_fired(state, event)
        case SignalReceived():
            state.signals.setdefault(event.name, []).append(event.value)
        case ProductPublished() | CheckFailed() | RunHurried():
            pass
        case _:
            assert_never(event)
    return state


def _move(state: RunState, move: Move) -> None:
    state.status = after(state.status, move)


def _submitted(state: RunState, event: RunSubmitted, at: float) -> None:
    _move(state, Move.SUBMITTED)
    state.submitted_at = at
    state.workload, state.overrides = event.workload, event.overrides
    state.system, state.labels = event.system, event.labels
    state.priority, state.parent, state.depth = event.priority, event.parent, event.depth
    state.children, state.due = event.children, event.due


def _scheduled(state: RunState, event: AttemptScheduled, at: float) -> None:
    step = state.steps[event.step]
    work = (event.step, event.batch)
    if event.hedges is not None:
        race = state.races.setdefault(work, Race([event.hedges]))
        race.open.append(event.attempt)
        race.hedges += 1
    elif work in state.pauses:
        del state.pauses[work]
    elif step.each is None:
        if event.step not in state.net.beside:
            take_tokens(state, event.step)
        begun(state, event.step)
    else:
        step.each.block_of(event.batch).next = event.batch + 1
        step.each.active += 1
    state.attempts[event.attempt] = Try(
        event.attempt, event.step, event.batch, event.number, state.seq, at, event.config,
        event.start, event.items, event.block, event.args, event.experiment, event.key,
        event.hedges is not None, event.arm, event.share,
    )  # fmt: skip


def _held(state: RunState, event: StepHeld) -> None:
    take_tokens(state, event.step)
    begun(state, event.step)
    state.pauses[(event.step, STEP_BATCH)] = Pause(
        1, event.due, event.config, event.experiment, event.arm, event.share
    )  # fmt: skip


def _cut(state: RunState, event: EachCut) -> None:
    step = state.steps[event.step]
    if event.items is not None:
        if state.pauses.pop((event.step, STEP_BATCH), None) is None:
            take_tokens(state, event.step)
            begun(state, event.step)
        step.each = Each(event.items["count"], event.items["source"])
    each = step.each
    if each is None:
        raise ValueError(f"{event.step}: cut before its items were known")
    if event.kind == "rescue" and event.rescues is not None:
        _take_back(state, event.step, each, event.rescues)
    batches = -(-(event.stop - event.start) // event.size)
    each.blocks.append(
        Block(
            event.block, event.kind, event.start, event.stop, event.size, event.first_batch,
            event.in_flight, event.config, event.experiment, event.arm, event.share,
            event.drained, event.first_batch, event.first_batch + batches,
        )
    )  # fmt: skip
    each.next_batch = event.first_batch + batches
    if event.kind != "rescue":
        each.cut_to = event.stop


def _take_back(state: RunState, name: str, each: Each, batch: int) -> None:
    """The items of a batch, or of all batches from it on, are cut again by a rescue."""
    block = each.block_of(batch)
    if batch >= block.next:
        block.last = batch
    elif state.pauses.pop((name, batch), None) is not None:
        each.active -= 1
    else:
        each.failed_items -= block.range(batch)[1]
        each.failed_batches -= 1


def _timer_fired(state: RunState, event: TimerFired) -> None:
    """A step out of time has no further tries: what waited for one is dropped."""
    state.timers.pop(event.name, None)
    if event.name.endswith(LATE_JOIN):
        _late(state, event.name.removesuffix(LATE_JOIN))
        return
    step = state.steps.get(event.name)
    if step is None or step.status != "active":
        return
    state.expired.add(event.name)
    if step.each is not None:
        give_up(state, event.name, step.each, Fault("timeout", OUT_OF_TIME))
    state.pauses.pop((event.name, STEP_BATCH), None)


def _late(state: RunState, step: str) -> None:
    """A join has waited long enough: what is there is enough, if the step says so."""
    if state.marking.begun(step):
        make_ready(state.marking, step)


def _routed(state: RunState, event: StepRouted) -> None:
    step = state.steps[event.step]
    if step.status != "active" and event.step not in state.net.beside:
        take_tokens(state, event.step)
    state.pauses.pop((event.step, STEP_BATCH), None)
    step.value, step.fault = event.value, event.fault
    step.status = "failed" if event.fault is not None else "done"
    if event.step in state.net.beside:
        undone(state, event.step)
    if event.fault is not None and not event.arcs:
        if not is_lost(state, event.step):
            return
        step.status = "cancelled"
    state.ctx.update(event.sets)
    give_tokens(state, event.step, event.arcs)


def _failing(state: RunState, event: RunFailing) -> None:
    _move(state, Move.FAILING)
    state.fault, state.fault_step = event.fault, event.step
    _drop_pauses(state)
    step = state.steps.get(event.step)
    if step is not None:
        step.status, step.fault = "failed", event.fault


def _drop_pauses(state: RunState) -> None:
    """Nothing of the flow is tried again; what a run does because it ends still is."""
    state.pauses = {w: pause for w, pause in state.pauses.items() if w[0] in state.net.beside}

"""Evolve: the fold. State and event in, state after it out.

It believes what it reads: the arcs taken, the values set, the ranges cut are in the
events, so that replay never evaluates an expression or resolves a configuration again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from runtime.ids import STEP_BATCH
from runtime.net.loops import Loop
from runtime.net.net import Moved, consume, lost, make_ready, produce, start
from runtime.run.events import (
    AttemptFinished,
    AttemptLeased,
    AttemptScheduled,
    CheckFailed,
    ContextSet,
    EachCut,
    Fault,
    Json,
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
    StepRouted,
    TimerFired,
    TimerSet,
)
from runtime.run.life import Move, after
from runtime.run.state import (
    Block,
    Done,
    Each,
    Past,
    Pause,
    Race,
    Round,
    RunState,
    Try,
    Work,
    compensation_of,
)

APPROVAL = "approval:"
"""Begins the name of the signal that answers a step; no other signal may have such a name."""
LATE_JOIN = "@join"
"""Ends the name of the timer of a join that waits; no step can have such a name."""
OUT_OF_TIME = "total_timeout has passed"
"""Why a step ends that has used up its time."""
LOSER = Fault("cancelled", "the join that it worked for has fired without it")
"""Why a step ends that nobody waits for any more."""


def evolve(state: RunState, event: RunEvent, at: float) -> RunState:
    """Change ``state`` by one event of its stream, and return it."""
    state.seq += 1
    match event:
        case AttemptScheduled():
            _scheduled(state, event, at)
        case AttemptFinished():
            _finished(state, event)
        case EachCut():
            _cut(state, event)
        case AttemptLeased():
            state.attempts[event.attempt].leased = True
        case StepRouted():
            _routed(state, event)
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
    state.children = event.children


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
            _consume(state, event.step)
        _begun(state, event.step)
    else:
        step.each.block_of(event.batch).next = event.batch + 1
        step.each.active += 1
    state.attempts[event.attempt] = Try(
        event.attempt, event.step, event.batch, event.number, state.seq, at, event.config,
        event.start, event.items, event.block, event.args, event.experiment, event.key,
        event.hedges is not None, event.arm, event.share,
    )  # fmt: skip


def _consume(state: RunState, name: str) -> None:
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
            _give_up(state, loser, each, LOSER)


def _all_flies(state: RunState, name: str, each: Each) -> bool:
    """Whether the batches in flight are all that is left of a step."""
    waits = any(work[0] == name for work in state.pauses)
    return each.cut_to >= each.total and each.next_open() is None and not waits


def _begun(state: RunState, name: str) -> None:
    """A step has its tokens: nothing waits for them any more."""
    step = state.steps[name]
    step.status, step.times = "active", step.times + 1
    state.timers.pop(name + LATE_JOIN, None)
    state.note_marking()


def _cut(state: RunState, event: EachCut) -> None:
    step = state.steps[event.step]
    if event.items is not None:
        _consume(state, event.step)
        _begun(state, event.step)
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


def _finished(state: RunState, event: AttemptFinished) -> None:
    tried = state.attempts.pop(event.attempt)
    work = (event.step, event.batch)
    if event.outcome == "lost":
        state.losses[work] = state.losses.get(work, 0) + (not event.moot)
        if event.worker:  # a server that is restarted loses what waited for a worker, too
            state.deaths[work] = state.deaths.get(work, 0) + 1
    if event.moot:
        _leave_race(state, event)
        return
    _decide_race(state, event)
    state.timers.pop(event.attempt, None)
    if event.retry_at is not None:
        state.pauses[work] = _pause(tried, event, event.retry_at)
        if event.outcome == "succeeded":
            _another_round(state, event)
        return
    _forget_losses(state, work)
    if state.signals:
        _take_signal(state, tried, event)
    step = state.steps[event.step]
    if step.each is not None:
        _batch_done(step.each, tried, event)
        if event.fatal:
            _give_up(state, event.step, step.each, event.fault)
        value = event.value
    else:
        value = event.result if event.outcome == "succeeded" else None
        step.fault = event.fault
        if event.arcs is None:
            step.status = "done" if event.outcome == "succeeded" else "failed"
            step.value = value
    if event.arcs is not None:
        _ended(state, event, value)
    elif step.status == "done":
        _done(state, event.step)
    if event.step in state.net.beside:
        _undone(state, event.step)


def _ended(state: RunState, event: AttemptFinished, value: Json) -> None:
    """A step has ended with this attempt, and its tokens go on."""
    step = state.steps[event.step]
    worked = step.each.fault is None if step.each is not None else event.outcome == "succeeded"
    lost = not event.arcs and is_lost(state, event.step)
    step.fault = event.no_way or step.fault
    step.status, step.value = "done", value
    if not worked or event.no_way is not None:
        step.status = "cancelled" if lost else "failed"
    state.ctx.update(event.sets or {})
    if worked and not (lost and event.no_way is not None):
        _done(state, event.step)
    _produce(state, event.step, event.arcs or [])


def _done(state: RunState, step: str) -> None:
    """A step has done its work: should the run fail, it is to be compensated."""
    state.order.append(step)
    if compensation_of(step) in state.net.beside:
        state.undo.append(Done(step))


def _undone(state: RunState, step: str) -> None:
    """What ran at the end of a run has ended; a compensation has undone one round."""
    if state.undo and compensation_of(state.undo[-1].step) == step:
        state.undo.pop()


def _pause(tried: Try, event: AttemptFinished, at: float) -> Pause:
    if event.rescued:
        return Pause(event.number + 1, at)
    return Pause(
        event.number + 1, at, tried.config, tried.experiment, tried.arm, tried.share
    )  # fmt: skip


def _leave_race(state: RunState, event: AttemptFinished) -> None:
    """A try ended of which nothing follows: it was beaten, or others are still in the race."""
    state.beaten.discard(event.attempt)
    race = state.races.get((event.step, event.batch))
    if race is not None and event.attempt in race.open:
        race.open.remove(event.attempt)


def _decide_race(state: RunState, event: AttemptFinished) -> None:
    """A try ended that decides its work: what else is open of it is beaten."""
    race = state.races.pop((event.step, event.batch), None)
    if race is not None:
        state.beaten.update(attempt for attempt in race.open if attempt != event.attempt)


def _another_round(state: RunState, event: AttemptFinished) -> None:
    """A repeated step runs again; losses of a round are not held against the next."""
    known = state.rounds.get(event.step)
    done = known.done + 1 if known is not None else 1
    state.rounds[event.step] = Round(done, event.number, event.result)
    _forget_losses(state, (event.step, event.batch))


def _forget_losses(state: RunState, work: Work) -> None:
    if state.losses:
        state.losses.pop(work, None)
        state.deaths.pop(work, None)


def _take_signal(state: RunState, tried: Try, event: AttemptFinished) -> None:
    """The signal that a step waited for is taken: the next step that waits needs another."""
    name = signal_of(tried)
    if name is not None and state.signals.get(name):
        state.signals[name].pop(0)


def signal_of(tried: Try) -> str | None:
    """The name of the signal a try waits for, or None when it waits for none."""
    tool = (tried.args or {}).get("tool", {})
    if tool.get("kind") == "signal":
        return str(tool["name"])
    return APPROVAL + tried.step if tool.get("kind") == "approval" else None


def is_lost(state: RunState, step: str) -> bool:
    """Whether a step that runs does so for the sake of a join that has fired and cancels it."""
    return bool(state.marking.lost) and step in lost(state.net, state.marking)


def _batch_done(each: Each, tried: Try, event: AttemptFinished) -> None:
    each.active -= 1
    each.batches_done += 1
    if event.outcome == "succeeded":
        each.done_items += tried.items
        if event.folds is None:
            each.results.add(tried.start, event.result)
        else:
            each.folded.add(tried.start, event.folds)
    else:
        each.failed_items += tried.items
        each.failed_batches += 1


def _give_up(state: RunState, name: str, each: Each, fault: Fault | None) -> None:
    """Nothing more of the step is scheduled; what waited for another try is dropped."""
    each.fault = fault
    for work in [w for w in state.pauses if w[0] == name]:
        del state.pauses[work]
        each.active -= 1


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
        _give_up(state, event.name, step.each, Fault("timeout", OUT_OF_TIME))
    state.pauses.pop((event.name, STEP_BATCH), None)


def _late(state: RunState, step: str) -> None:
    """A join has waited long enough: what is there is enough, if the step says so."""
    if state.marking.begun(step):
        make_ready(state.marking, step)


def _routed(state: RunState, event: StepRouted) -> None:
    step = state.steps[event.step]
    if step.status != "active" and event.step not in state.net.beside:
        _consume(state, event.step)
    step.value, step.fault = event.value, event.fault
    step.status = "failed" if event.fault is not None else "done"
    if event.step in state.net.beside:
        _undone(state, event.step)
    if event.fault is not None and not event.arcs:
        if not is_lost(state, event.step):
            return
        step.status = "cancelled"
    state.ctx.update(event.sets)
    _produce(state, event.step, event.arcs)


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


def _produce(state: RunState, step: str, arcs: list[str]) -> None:
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

"""The end of an attempt, folded into a run: it decides its work, or another try follows.

A race is decided by the first of its tries that counts; a round of a repeated step makes way
for the next; a step whose work has ended gives its tokens on.
"""

from __future__ import annotations

from runtime.run.events import AttemptFinished, Json
from runtime.run.state import Done, Each, Pause, Round, RunState, Try, Work, compensation_of
from runtime.run.tokens import give_tokens, give_up, is_lost

APPROVAL = "approval:"
"""Begins the name of the signal that answers a step; no other signal may have such a name."""


def finished(state: RunState, event: AttemptFinished) -> None:
    """An attempt has ended: fold in what becomes of its work and of its step."""
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
            give_up(state, event.step, step.each, event.fault)
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
        undone(state, event.step)


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
    give_tokens(state, event.step, event.arcs or [])


def _done(state: RunState, step: str) -> None:
    """A step has done its work: should the run fail, it is to be compensated."""
    state.order.append(step)
    if compensation_of(step) in state.net.beside:
        state.undo.append(Done(step))


def undone(state: RunState, step: str) -> None:
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

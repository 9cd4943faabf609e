"""Decide: what follows from what happened. State and command in, events out.

A `Decision` gathers the events of one command and evolves the state by each as it goes,
so that the next thing is decided on what is true by then. It does nothing else: whatever
it must know of the world (time, chance, expressions, configurations) it asks of an
`Edge`, and whatever must be done is read off the events once they are durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from runtime.ids import STEP_BATCH, attempt_id, idempotency_key
from runtime.playbook.model import Playbook, Step
from runtime.run import cut
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    EachCut,
    Fault,
    Json,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunEvent,
    RunFailed,
    RunFailing,
    RunPaused,
    RunResumed,
    RunStarted,
    StepRouted,
    TimerFired,
    TimerSet,
)
from runtime.run.evolve import EMPTY_EACH, evolve
from runtime.run.layers import CONTROL, Experiment, Resolved
from runtime.run.retry import next_try_at
from runtime.run.route import Route
from runtime.run.state import Block, Each, RunState, Try

DEADLINE: Final = "@deadline"
"""The name of the timer of a run's deadline; no step can have it."""
LET_RUN: Final = ("kept", "learned")
"""Reasons for which an experiment's open batches are finished as they were cut."""


class Edge(Protocol):
    """What a decision may ask of the world. Answers are recorded, so nothing is asked twice."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    def chance(self) -> float:
        """A number in [0, 1)."""
        ...

    def route(self, state: RunState, step: Step, value: Json, fault: Fault | None) -> Route | None:
        """Where the tokens of a step go that ended with ``value``, or finally failed."""
        ...

    def render(self, state: RunState, step: Step) -> dict[str, Json] | Fault:
        """The step's inputs: its tool block and ``with``, rendered."""
        ...

    def items(self, state: RunState, step: Step) -> tuple[int, Json] | Fault:
        """How many items an ``each`` step has, and their list or reference."""
        ...

    def gather(self, state: RunState, step: Step, each: Each) -> Json:
        """The value of a finished ``each`` step, spilled to a reference when it is large."""
        ...

    def configure(
        self, state: RunState, step: Step, experiment: Experiment | None, arm: str | None
    ) -> Resolved:
        """The configuration a step, or a block of it, runs with from now on."""
        ...

    def effective(self, config: str) -> dict[str, Json]:
        """The values of a configuration by its hash."""
        ...

    def experiment(self, state: RunState, step: Step) -> Experiment | None:
        """The live experiment that may enrol this run's units of the step, or None."""
        ...

    def is_live(self, experiment: str) -> bool:
        """Whether an experiment still runs."""
        ...


@dataclass(frozen=True, slots=True)
class Ended:
    """How a try ended, as the worker and the pool tell it.

    ``facts`` are the measured fields of `AttemptFinished`, by name.
    """

    attempt: str
    outcome: str
    fault: Fault | None = None
    result: Json = None
    facts: dict[str, Json] = field(default_factory=dict)
    beside: tuple[RunEvent, ...] = ()
    """Events that became true with it: a product published, a check that failed."""


class Decision:
    """The events of one command, in the making."""

    def __init__(self, state: RunState, playbook: Playbook, edge: Edge) -> None:
        self.state, self.edge, self.at = state, edge, edge.now()
        self.playbook = playbook
        self.events: list[RunEvent] = []

    # ---- commands -----------------------------------------------------------------------

    def begin(self) -> None:
        """Start a submitted run."""
        if self.state.status == "submitted":
            self._emit(RunStarted())
            if self.playbook.deadline_s is not None:
                self._emit(TimerSet(DEADLINE, self.at + self.playbook.deadline_s))
            self._advance()

    def ended(self, ended: Ended) -> None:
        """Take in how a try ended. A try that is not known, or known to be over, is ignored."""
        tried = self.state.attempts.get(ended.attempt)
        if tried is None:
            return
        ended = self._as_unknown(tried, ended)
        for event in ended.beside:
            self._emit(event)
        if self.state.steps[tried.step].each is None:
            self._step_ended(tried, ended)
        else:
            self._batch_ended(tried, ended)
        self._advance(tried.step)

    def due(self) -> None:
        """Schedule again what has waited long enough, and end what has no time left."""
        for name, due in sorted(self.state.timers.items()):
            if due <= self.at and not self.state.ended:
                self._out_of_time(name)
        if self.state.status != "running":
            self._conclude()
            return
        for (name, batch), pause in sorted(self.state.pauses.items()):
            if pause.at <= self.at:
                self._schedule(self.playbook.step(name), batch, pause.number)
        self._advance()

    def _out_of_time(self, name: str) -> None:
        """The run's deadline or a step's total timeout has come."""
        step = self.state.steps.get(name)
        self._emit(TimerFired(name))
        if step is None:
            if self.state.status in ("running", "paused"):
                self._emit(RunFailing("", Fault("timeout", "the run's deadline has passed")))
            return
        flying = any(t.step == name for t in self.state.attempts.values())
        if step.status == "active" and not flying:
            self._end_between_tries(self.playbook.step(name), step.each)

    def _end_between_tries(self, step: Step, each: Each | None) -> None:
        """Nothing of the step is in flight that could end it: it ends here."""
        fault = Fault("timeout", "total_timeout has passed")
        value = self.edge.gather(self.state, step, each) if each is not None else None
        way = self.edge.route(self.state, step, value, fault)
        caught = way is not None and way.fault is None
        self._emit(
            StepRouted(step.name, way.arcs if way and caught else [], value=value, fault=fault)
        )
        if not caught:
            self._emit(RunFailing(step.name, fault))

    def cancel(self, actor: str, reason: str) -> None:
        """Ask the run to end."""
        if self.state.ended or self.state.status == "cancelling":
            return
        self._emit(RunCancelRequested(actor, reason))
        self._advance()

    def pause(self, actor: str, reason: str = "") -> None:
        """Let nothing new fire."""
        if self.state.status == "running":
            self._emit(RunPaused(actor, reason))

    def resume(self, actor: str) -> None:
        """Go on after a pause."""
        if self.state.status == "paused":
            self._emit(RunResumed(actor))
            self._advance()

    def rescue(self, experiment: str) -> None:
        """The experiment was taken back: cut its candidates' unfinished batches again."""
        for name, each in list(self.state.active_each()):
            step = self.playbook.step(name)
            for block in [b for b in each.blocks if b.experiment == experiment]:
                if block.arm != CONTROL and step.effect != "once":
                    self._rescue_block(step, each, block)
        self._advance()

    def _as_unknown(self, tried: Try, ended: Ended) -> Ended:
        """A `once` step whose try was cut off may have taken effect: nobody knows."""
        once = self.playbook.step(tried.step).effect == "once"
        if not (once and tried.leased and ended.outcome in ("lost", "timed_out")):
            return ended
        text = f"{ended.outcome.replace('_', ' ')} after it was allowed to act: it may have"
        return replace(ended, fault=Fault("unknown", f"{text} taken effect"))

    # ---- firing -------------------------------------------------------------------------

    def _advance(self, touched: str | None = None) -> None:
        """Fire and refill until nothing more can, then see whether the run is over."""
        state = self.state
        for name in [touched] if touched else [name for name, _ in state.active_each()]:
            self._refill(name)
        while state.status == "running" and state.marking.ready:
            self._fire(self.playbook.step(state.marking.ready[0]))
        self._conclude()

    def _fire(self, step: Step) -> None:
        if step.tool is None:
            self._pass_on(step)
            return
        if step.each is None:
            self._schedule(step, STEP_BATCH, 1)
        else:
            self._open(step)
        if step.total_timeout_s is not None and self.state.steps[step.name].status == "active":
            self._emit(TimerSet(step.name, self.at + step.total_timeout_s))

    def _pass_on(self, step: Step, value: Json = None) -> None:
        way = self.edge.route(self.state, step, value, None) or Route()
        self._emit(StepRouted(step.name, way.arcs, way.sets, value, way.fault))
        if way.fault is not None:
            self._emit(RunFailing(step.name, way.fault))

    def _open(self, step: Step) -> None:
        found = self.edge.items(self.state, step)
        if isinstance(found, Fault):
            self._emit(StepRouted(step.name, fault=found))
            self._emit(RunFailing(step.name, found))
            return
        count, source = found
        if count == 0:
            self._pass_on(step, EMPTY_EACH)
            return
        self._cut(step, Each(count, source), {"count": count, "source": source})
        self._refill(step.name)

    def _schedule(self, step: Step, batch: int, number: int) -> None:
        state = self.state
        args: dict[str, Json] | None = None
        block, start, items = None, 0, 1
        each = state.steps[step.name].each
        if each is not None:
            block = each.block_of(batch)
            start, items = block.range(batch)
            config = block.config
        else:
            config = self.edge.configure(state, step, None, None).config
            rendered = self.edge.render(state, step)
            if isinstance(rendered, Fault):
                self._refuse(step, number, rendered)
                return
            args = rendered
        self._emit(
            AttemptScheduled(
                attempt_id(state.run, step.name, batch, number), step.name, number, config,
                idempotency_key(state.run, step.name, batch), batch,
                block.index if block else -1, start, items, args,
                block.experiment if block else None, block.arm if block else None,
                block.share if block else None,
            )
        )  # fmt: skip

    def _refuse(self, step: Step, number: int, fault: Fault) -> None:
        """The step cannot even be tried: its inputs cannot be rendered."""
        if number == 1:
            self._emit(StepRouted(step.name, fault=fault))
        self._emit(RunFailing(step.name, fault))

    # ---- each ---------------------------------------------------------------------------

    def _refill(self, name: str) -> None:
        """Schedule batches of an ``each`` step, and cut more, as far as may be in flight."""
        each = self.state.steps[name].each
        step = self.playbook.step(name)
        if each is None or self.state.steps[name].status != "active" or each.fault is not None:
            return
        if self.state.status != "running":
            return
        while True:
            block = next((b for b in each.blocks if b.open), None)
            if block is not None:
                if each.active >= block.in_flight:
                    return
                self._schedule(step, block.next, 1)
            elif each.cut_to >= each.total or not self._cut(step, each, None):
                return

    def _cut(self, step: Step, each: Each, items: dict[str, Json] | None) -> bool:
        """Cut the next range; False when what is in flight must drain first."""
        live = self.edge.experiment(self.state, step)
        plan = cut.next_cut(live, self.state.run, step.name, each)
        if cut.must_drain(each, plan):
            return False
        resolved = self.edge.configure(self.state, step, live, plan.arm)
        values = resolved.effective
        self._emit(
            EachCut(
                step.name, cut.next_index(each), plan.kind, each.cut_to, plan.stop,
                int(values["each.batch"]), each.next_batch, int(values["each.in_flight"]),
                resolved.config, items, live.id if live and plan.arm else None, plan.arm,
                plan.share, plan.drained, plan.pair,
            )
        )  # fmt: skip
        return True

    def _batch_ended(self, tried: Try, ended: Ended) -> None:
        step = self.playbook.step(tried.step)
        each = self.state.steps[tried.step].each
        if each is None:
            raise ValueError(tried.attempt)
        retry_at = self._retry_at(step, tried, ended)
        finished = self._finished(tried, ended, retry_at)
        failed = retry_at is None and ended.outcome != "succeeded"
        block = each.block_of(tried.batch)
        rescued = failed and self._rescues(step, block)
        if failed and not rescued and self._too_many(step, each, tried.items):
            finished = replace(finished, fatal=True)
        if retry_at is None and not rescued and self._ends_each(each, finished):
            self._each_ended(step, each, finished)
            return
        self._emit(finished)
        if rescued:
            start, count = block.range(tried.batch)
            self._recut(step, each, block, tried.batch, start + count)

    def _rescues(self, step: Step, block: Block) -> bool:
        candidate = block.kind == "block" and block.arm not in (None, CONTROL)
        going_on = self.state.status in ("running", "paused")
        return candidate and step.effect != "once" and going_on

    def _too_many(self, step: Step, each: Each, more: int) -> bool:
        allowed = step.each
        if allowed is None:
            return True
        failed = each.failed_items + more
        if allowed.failures_count is not None:
            return failed > allowed.failures_count
        return failed > allowed.failures_allow * each.total

    def _ends_each(self, each: Each, finished: AttemptFinished) -> bool:
        """Whether the step is over once this batch is."""
        if self.state.status not in ("running", "paused"):
            return False
        if each.active - self._dropped(finished) > 1:
            return False  # others are still in flight
        if finished.fatal or each.fault is not None:
            return True
        return each.cut_to >= each.total and not any(b.open for b in each.blocks)

    def _dropped(self, finished: AttemptFinished) -> int:
        """How many waiting batches go with a fatal failure."""
        if not finished.fatal:
            return 0
        return sum(1 for work in self.state.pauses if work[0] == finished.step)

    def _each_ended(self, step: Step, each: Each, finished: AttemptFinished) -> None:
        """Emit the attempt that ends the step, with the step's value and its way on."""
        value = self.edge.gather(self.state, step, _with_last(each, self.state, finished))
        fault = finished.fault if finished.fatal else each.fault
        way = self.edge.route(self.state, step, value, fault)
        self._emit_last(step, replace(finished, value=value), way, fault)

    def _rescue_block(self, step: Step, each: Each, block: Block) -> None:
        for name, batch in sorted(self.state.pauses):
            if name == step.name and block.first <= batch < block.last:
                start, count = block.range(batch)
                self._recut(step, each, block, batch, start + count)
        if block.open:
            self._recut(step, each, block, block.next, block.stop)

    def _recut(self, step: Step, each: Each, block: Block, batch: int, stop: int) -> None:
        """Cut the items from ``batch`` up to item ``stop`` again, at the stable size."""
        start, _ = block.range(batch)
        stable = self.edge.configure(self.state, step, None, None)
        values = stable.effective
        self._emit(
            EachCut(
                step.name, block.index, "rescue", start, stop, int(values["each.batch"]),
                each.next_batch, int(values["each.in_flight"]), stable.config,
                drained=block.drained, rescues=batch,
            )
        )  # fmt: skip

    # ---- endings ------------------------------------------------------------------------

    def _step_ended(self, tried: Try, ended: Ended) -> None:
        step = self.playbook.step(tried.step)
        retry_at = self._retry_at(step, tried, ended)
        finished = self._finished(tried, ended, retry_at)
        if retry_at is not None or self.state.status not in ("running", "paused"):
            self._emit(finished)
            return
        fault = None
        if ended.outcome != "succeeded":
            fault = ended.fault or Fault("unknown", ended.outcome)
        way = self.edge.route(self.state, step, ended.result, fault)
        self._emit_last(step, finished, way, fault)

    def _emit_last(
        self, step: Step, finished: AttemptFinished, way: Route | None, fault: Fault | None
    ) -> None:
        """Emit the attempt that ends a step: it goes on by ``way``, or the run is failing."""
        if way is not None and way.fault is None:
            self._emit(replace(finished, arcs=way.arcs, sets=way.sets or None))
            return
        self._emit(finished)
        why = (way.fault if way is not None else fault) or Fault("unknown", "no reason given")
        self._emit(RunFailing(step.name, why))

    def _retry_at(self, step: Step, tried: Try, ended: Ended) -> float | None:
        if ended.outcome in ("succeeded", "cancelled"):
            return None
        if self.state.status not in ("running", "paused"):
            return None
        if step.name in self.state.expired:
            return None
        each = self.state.steps[step.name].each
        if each is not None and (each.fault is not None or self._taken_back(tried)):
            return None
        values = self.edge.effective(tried.config)
        return next_try_at(
            step.retry, step.effect, attempts=int(values.get("retry.attempts", 1)),
            number=tried.number, losses=self.state.losses.get((tried.step, tried.batch), 0),
            outcome=ended.outcome, fault=ended.fault or Fault("unknown", ""),
            leased=tried.leased, at=self.at, chance=self.edge.chance(),
        )  # fmt: skip

    def _taken_back(self, tried: Try) -> bool:
        """Whether the batch is a candidate's whose experiment is over: rescued, not retried."""
        each = self.state.steps[tried.step].each
        if tried.experiment is None or each is None or self.edge.is_live(tried.experiment):
            return False
        return self._rescues(self.playbook.step(tried.step), each.block_of(tried.batch))

    def _finished(self, tried: Try, ended: Ended, retry_at: float | None) -> AttemptFinished:
        over = tried.experiment is not None and not self.edge.is_live(tried.experiment)
        return AttemptFinished(
            attempt=tried.attempt, step=tried.step, number=tried.number, outcome=ended.outcome,
            scheduled=tried.seq, batch=tried.batch, fault=ended.fault, retry_at=retry_at,
            result=ended.result, post_decision=over, **ended.facts,
        )  # fmt: skip

    def _conclude(self) -> None:
        """End the run when nothing of it is left to happen."""
        state = self.state
        if state.attempts or state.ended:
            return
        if state.status == "failing":
            self._emit(RunFailed(state.fault_step, state.fault or Fault("unknown", "")))
        elif state.status == "cancelling":
            self._emit(RunCancelled())
        elif state.status == "running" and not state.pauses and self._quiet():
            self._emit(RunCompleted(_result(state, self.playbook)))

    def _quiet(self) -> bool:
        active = any(s.status == "active" for s in self.state.steps.values())
        return not active and not self.state.marking.waiting

    def _emit(self, event: RunEvent) -> None:
        evolve(self.state, event, self.at)
        self.events.append(event)


def _with_last(each: Each, state: RunState, finished: AttemptFinished) -> Each:
    """The step's progress as it will be once its last batch is in."""
    tried = state.attempts[finished.attempt]
    good = finished.outcome == "succeeded"
    results = {**each.results, tried.start: finished.result} if good else each.results
    return replace(
        each,
        results=results,
        batches_done=each.batches_done + 1,
        done_items=each.done_items + (tried.items if good else 0),
        failed_items=each.failed_items + (0 if good else tried.items),
        failed_batches=each.failed_batches + (0 if good else 1),
    )


def _result(state: RunState, playbook: Playbook) -> Json:
    """A run's result: the value of the step that ended last, or of all that ended, by name."""
    ends: Sequence[str] = [s.name for s in playbook.steps if not s.arcs]
    values = {n: state.steps[n].value for n in ends if state.steps[n].status == "done"}
    return next(iter(values.values())) if len(values) == 1 else values

"""Batches: cutting the items of an ``each`` step, keeping so many in flight, gathering.

A candidate's batch that finally fails is cut again at the stable size, so that trying a
value costs nobody their work; it still counts against the candidate.
"""

from __future__ import annotations

from dataclasses import replace

from runtime.playbook.model import Step
from runtime.run import cut
from runtime.run.deciding import Ended
from runtime.run.events import AttemptFinished, EachCut, Fault, Json
from runtime.run.layers import CONTROL, Experiment
from runtime.run.state import Block, Each, Pause, RunState, Try
from runtime.run.tokens import LOSER
from runtime.run.trying import Trying


class Batches(Trying):
    """Decides on ``each`` steps."""

    def _open(self, step: Step, held: Pause | None = None) -> None:
        """Count the items of a step that is ready, and begin with them.

        ``held`` is how it has waited for its hours of the day.
        """
        found = self.edge.items(self.state, step)
        if isinstance(found, Fault):
            self._end_untried(step, found)
            return
        count, source = found
        if count == 0:
            self._pass_on(step, self.edge.gather(self.state, step, Each(0, source)))
            return
        self._cut(step, Each(count, source), {"count": count, "source": source}, held)
        self._refill(step.name)

    def _refill(self, name: str) -> None:
        """Schedule batches of an ``each`` step, and cut more, as far as may be in flight."""
        each = self.state.steps[name].each
        step = self.playbook.step(name)
        if each is None or self.state.steps[name].status != "active" or each.fault is not None:
            return
        if self.state.status != "running":
            return
        while True:
            block = each.next_open()
            if block is not None:
                if each.active >= block.in_flight:
                    return
                self._schedule_batch(step, each, block.next, 1)
            elif each.cut_to >= each.total or not self._cut(step, each, None):
                return

    def _cut(
        self, step: Step, each: Each, items: dict[str, Json] | None, held: Pause | None = None
    ) -> bool:
        """Cut the next range; False when what is in flight must drain first."""
        live, plan = self._planned(step, each, held)
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

    def _planned(
        self, step: Step, each: Each, held: Pause | None
    ) -> tuple[Experiment | None, cut.Cut]:  # fmt: skip
        """What to cut next, and for which experiment.

        What has waited for its hours belongs to the arm that it waited in, if to any.
        """
        again = self._rounds_before(step) > 0
        live = None if again else self.edge.experiment(self.state, step)
        if held is None or live is None or live.started.knob_class != "schedule":
            return live, cut.next_cut(live, self.state.run, step.name, each)
        if live.id != held.experiment:
            return None, cut.Cut("all", each.total)
        return live, cut.Cut("block", each.total, held.arm, held.share)

    def _batch_ended(self, tried: Try, ended: Ended) -> None:
        step = self.playbook.step(tried.step)
        each = self.state.steps[tried.step].each
        if each is None:
            raise ValueError(tried.attempt)
        ended, folds = self._folded(step, each, ended)
        if self._is_moot(tried, ended):
            return
        if self._is_cancelled(tried, ended):
            self._loser_ended(step, each, self._batch_finished(tried, ended, None, folds))
            return
        over = each.fault is not None or self._taken_back(tried, each)
        retry_at = None if over else self._retry_at(step, tried, ended)
        ended, retry_at = self._within_budget(step, tried, ended, retry_at)
        finished = self._batch_finished(tried, ended, retry_at, folds)
        failed = retry_at is None and ended.outcome != "succeeded"
        block = each.block_of(tried.batch)
        rescued = failed and self._rescues(step, block)
        if failed and not rescued and self._too_many(step, each, tried.items):
            finished = finished.but(fatal=True)
        if retry_at is None and not rescued and self._ends_each(each, finished):
            self._each_ended(step, each, finished)
            return
        self._emit(finished)
        if rescued:
            start, count = block.range(tried.batch)
            self._recut(step, each, block, tried.batch, start + count)

    def _folded(
        self, step: Step, each: Each, ended: Ended
    ) -> tuple[Ended, dict[str, Json] | None]:  # fmt: skip
        """What a batch gives to its step's ``reduce``; one that cannot be reduced has failed."""
        if ended.outcome != "succeeded" or step.each is None or not step.each.reduce:
            return ended, None
        folds = self.edge.fold(self.state, step, ended.result)
        if not isinstance(folds, Fault):
            why = each.folded.objection(folds)
            if not why:
                return ended, folds
            folds = Fault("expression", why)
        return replace(ended, outcome="failed", fault=folds, result=None), None

    def _batch_finished(
        self, tried: Try, ended: Ended, retry_at: float | None, folds: dict[str, Json] | None
    ) -> AttemptFinished:
        finished = self._finished(tried, ended, retry_at)
        return finished if folds is None else finished.but(folds=folds, result=None)

    def _loser_ended(self, step: Step, each: Each, finished: AttemptFinished) -> None:
        """A batch ended that no join waits for: nothing more of its step begins."""
        finished = finished.but(fatal=finished.outcome != "succeeded")
        if not self._ends_each(each, finished):
            self._emit(finished)
        elif finished.fatal or each.fault is not None:
            value = self.edge.gather(self.state, step, _with_last(each, self.state, finished))
            self._emit(finished.but(value=value, no_way=LOSER, arcs=[]))
        else:
            self._each_ended(step, each, finished)

    def _rescues(self, step: Step, block: Block) -> bool:
        candidate = block.kind == "block" and block.arm not in (None, CONTROL)
        return candidate and step.effect != "once" and self.going_on

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
        if not self.going_on or each.active - self._dropped(finished) > 1:
            return False
        if finished.fatal or each.fault is not None:
            return True
        return each.cut_to >= each.total and each.next_open() is None

    def _dropped(self, finished: AttemptFinished) -> int:
        """How many waiting batches go with a fatal failure."""
        if not finished.fatal:
            return 0
        return sum(1 for work in self.state.pauses if work[0] == finished.step)

    def _each_ended(self, step: Step, each: Each, finished: AttemptFinished) -> None:
        """Emit the attempt that ends the step, with the step's value and its way on."""
        value = self.edge.gather(self.state, step, _with_last(each, self.state, finished))
        fault = finished.fault if finished.fatal else each.fault
        way = self._way_on(step, value, fault)
        self._emit_last(step, finished.but(value=value), way, fault)

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

    def _taken_back(self, tried: Try, each: Each) -> bool:
        """Whether the batch is a candidate's whose experiment is over: rescued, not retried."""
        if tried.experiment is None or self.edge.is_live(tried.experiment):
            return False
        return self._rescues(self.playbook.step(tried.step), each.block_of(tried.batch))


def _with_last(each: Each, state: RunState, finished: AttemptFinished) -> Each:
    """The step's progress as it will be once its last batch is in."""
    tried = state.attempts[finished.attempt]
    good = finished.outcome == "succeeded"
    results, folded = each.results, each.folded
    if good and finished.folds is not None:
        folded = folded.and_also(tried.start, finished.folds)
    elif good:
        results = results.and_also(tried.start, finished.result)
    return replace(
        each,
        results=results,
        folded=folded,
        batches_done=each.batches_done + 1,
        done_items=each.done_items + (tried.items if good else 0),
        failed_items=each.failed_items + (0 if good else tried.items),
        failed_batches=each.failed_batches + (0 if good else 1),
    )

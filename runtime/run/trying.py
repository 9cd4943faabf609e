"""Tries: scheduling one, what follows when it ends, and when another comes."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from runtime.ids import STEP_BATCH, idempotency_key
from runtime.playbook.model import Step
from runtime.run.budgeting import Budgeting
from runtime.run.deciding import Ended
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    Fault,
    Json,
    RunFailing,
    StepRouted,
)
from runtime.run.layers import CONTROL, Experiment, draw
from runtime.run.retry import in_force, next_try_at
from runtime.run.route import Route
from runtime.run.state import Each, Pause, Try
from runtime.run.tokens import LOSER, is_lost
from runtime.run.variant import chosen


class Drawn(NamedTuple):
    """A configuration, and how it was drawn to it in an experiment."""

    config: str
    experiment: str | None = None
    arm: str | None = None
    share: float | None = None


class Trying(Budgeting):
    """Schedules tries and decides on their ends."""

    # ---- scheduling ---------------------------------------------------------------------

    def _schedule(self, step: Step, pause: Pause | None = None) -> Try | None:
        """Schedule a try of a step that is not an ``each``, or fail the step."""
        number = 1 if pause is None else pause.number
        drawn = self._configured(step, pause)
        variant = chosen(step, self.edge.effective(drawn.config))
        rendered = (
            variant if isinstance(variant, Fault) else self.edge.render(self.state, variant)
        )  # fmt: skip
        if isinstance(rendered, Fault):
            self._end_untried(step, rendered)
            return None
        key = self._key(step, STEP_BATCH)
        attempt = f"{key}/{number}"
        self._emit(
            AttemptScheduled(
                attempt, step.name, number, drawn.config, key, args=rendered,
                experiment=drawn.experiment, arm=drawn.arm, share=drawn.share,
            )
        )  # fmt: skip
        return self.state.attempts[attempt]

    def _configured(self, step: Step, pause: Pause | None) -> Drawn:
        """What a try runs with: as the one before it, unless that is over, or as is drawn now."""
        if pause is not None:
            over = pause.experiment is not None and not self.edge.is_live(pause.experiment)
            if pause.config and not over:
                return Drawn(pause.config, pause.experiment, pause.arm, pause.share)
            return Drawn(self.edge.configure(self.state, step, None, None).config)
        live = self._enrols(step)
        if live is None:
            return Drawn(self.edge.configure(self.state, step, None, None).config)
        arm, share = draw(live, self._key(step, STEP_BATCH))
        config = self.edge.configure(self.state, step, live, arm).config
        return Drawn(config, live.id, arm, share)

    def _enrols(self, step: Step) -> Experiment | None:
        """The experiment of which this run is a unit: a step that begins for the first time."""
        live = self.edge.experiment(self.state, step)
        if live is None or live.started.design == "switchback":
            return None
        begun = self.is_beside(step.name) or self._rounds_before(step) > 0
        return None if begun or step.tool is None else live

    def _key(self, step: Step, batch: int) -> str:
        """What all tries of one piece of work share; a step that is begun again has another."""
        before = self._rounds_before(step)
        name = f"{step.name}~{before}" if before else step.name
        return idempotency_key(self.state.run, name, batch)

    def _rounds_before(self, step: Step) -> int:
        """How often a step in a loop has run before this round."""
        known = self.state.steps[step.name]
        return known.times - (known.status == "active")

    def _schedule_batch(self, step: Step, each: Each, batch: int, number: int) -> None:
        block = each.block_of(batch)
        start, items = block.range(batch)
        key = self._key(step, batch)
        self._emit(
            AttemptScheduled(
                f"{key}/{number}", step.name, number, block.config, key, batch, block.index,
                start, items, None, block.experiment, block.arm, block.share,
            )
        )  # fmt: skip

    # ---- hedges -------------------------------------------------------------------------

    def hedge(self, attempt: str) -> None:
        """Begin another try beside one that takes long, unless it no longer would help."""
        tried = self.state.attempts.get(attempt)
        if tried is None or not self._may_hedge(tried):
            return
        race = self.state.races.get((tried.step, tried.batch))
        beside = race.hedges + 1 if race is not None else 1
        self._emit(
            AttemptScheduled(
                f"{tried.key}/{tried.number}.{beside}", tried.step, tried.number, tried.config,
                tried.key, tried.batch, tried.block, tried.start, tried.items, tried.args,
                tried.experiment, tried.arm, tried.share, attempt,
            )
        )  # fmt: skip

    def _may_hedge(self, tried: Try) -> bool:
        step = self.playbook.step(tried.step)
        each = self.state.steps[tried.step].each
        race = self.state.races.get((tried.step, tried.batch))
        return (
            self.state.status == "running"
            and step.hedge is not None
            and step.effect != "once"
            and tried.attempt not in self.state.beaten
            and tried.step not in self.state.expired
            and not is_lost(self.state, tried.step)
            and (each is None or each.fault is None)
            and (race is None or race.hedges < step.hedge.max)
        )

    def _is_moot(self, tried: Try, ended: Ended) -> bool:
        """Whether nothing follows, since another try may yet succeed; its event is then out."""
        race = self.state.races.get((tried.step, tried.batch))
        if ended.outcome == "succeeded" or race is None or len(race.open) < 2:
            return False
        self._emit(self._finished(tried, ended, None).but(moot=True))
        return True

    def _beaten(self, tried: Try, ended: Ended) -> None:
        """A try ended, as it was asked to or not, after another of the same work was first."""
        ended = replace(ended, outcome="cancelled", fault=None, result=None)
        self._emit(self._finished(tried, ended, None).but(moot=True))

    # ---- ends ---------------------------------------------------------------------------

    def _step_ended(self, tried: Try, ended: Ended) -> None:
        """A try of a step that is not an ``each`` ended."""
        step = self.playbook.step(tried.step)
        if (ended.outcome != "succeeded" or step.repeat) and self._is_cancelled(tried, ended):
            if not self._is_moot(tried, ended):
                finished = self._finished(tried, ended, None)
                self._emit(finished.but(no_way=LOSER, arcs=[]))
            return
        retry_at = self._retry_at(step, tried, ended)
        if ended.outcome == "succeeded" and step.repeat is not None and self.going_on:
            again = self._again_at(step, ended.result)
            if isinstance(again, Fault):
                ended = replace(ended, outcome="failed", fault=again)
            else:
                retry_at = again
        if self._is_moot(tried, ended):
            return
        ended, retry_at = self._within_budget(step, tried, ended, retry_at)
        finished = self._finished(tried, ended, retry_at)
        if retry_at is None and self._is_rescued(step, tried, ended):
            retry_at = self.at
            finished = finished.but(retry_at=retry_at, rescued=True)
        if retry_at is not None:
            self._emit(finished)
            return
        fault = None
        if ended.outcome != "succeeded":
            fault = ended.fault or Fault("unknown", ended.outcome)
        if self.is_beside(step.name):
            self._beside_ended(step, finished, fault)
        elif not self.going_on:
            self._emit(finished)
        else:
            way = self._way_on(step, ended.result, fault)
            self._emit_last(step, finished, way, fault)

    def _beside_ended(self, step: Step, finished: AttemptFinished, fault: Fault | None) -> None:
        """A compensation or a ``finally`` step ended; its failure fails the run."""
        self._emit(finished)
        if fault is not None and self.state.status == "running":
            self._emit(RunFailing(step.name, fault))

    def _emit_last(
        self, step: Step, finished: AttemptFinished, way: Route | None, fault: Fault | None
    ) -> None:
        """Emit the attempt that ends a step: it goes on by ``way``, or the run is failing."""
        if way is not None and (way.fault is None or way.arcs):
            self._emit(finished.but(arcs=way.arcs, sets=way.sets or None, no_way=way.fault))
            return
        self._emit(finished)
        why = (way.fault if way is not None else fault) or Fault("unknown", "no reason given")
        self._emit(RunFailing(step.name, why))

    def _way_on(self, step: Step, value: Json, fault: Fault | None) -> Route | None:
        """Where a step goes on that ended; that there is no way may be caught in its turn."""
        way = self._within_max(step, self.edge.route(self.state, step, value, fault), fault)
        if way is None or way.fault is None:
            return way
        caught = self._within_max(step, self.edge.route(self.state, step, value, way.fault))
        if caught is None or caught.fault is not None:
            return way
        return replace(caught, fault=way.fault)

    def _within_max(
        self, step: Step, way: Route | None, after: Fault | None = None
    ) -> Route | None:
        """A way that would begin a loop more often than it may is no way."""
        for arc in step.arcs:
            if way is None or arc.max is None or arc.to not in way.arcs:
                continue
            if self.state.loops.get(arc.to, 0) >= arc.max:
                text = f"the loop of {arc.to} has begun again {arc.max} times and not ended"
                why = f"; the last time {after.cls}: {after.message}" if after else ""
                return Route(fault=Fault("no_route", text + why))
        return way

    def _end_untried(self, step: Step, fault: Fault, value: Json = None) -> None:
        """A step ends in failure with no attempt to end it: caught, or the run fails."""
        way = None if self.is_beside(step.name) else self._way_on(step, value, fault)
        way = way or Route(fault=fault)
        self._emit(StepRouted(step.name, way.arcs, value=value, fault=way.fault or fault))
        if not way.arcs and self.going_on:
            self._emit(RunFailing(step.name, way.fault or fault))

    def _pass_on(self, step: Step, value: Json = None) -> None:
        """A step with nothing to run passes its tokens on."""
        way = self._way_on(step, value, None) or Route()
        self._emit(StepRouted(step.name, way.arcs, way.sets, value, way.fault))
        if way.fault is not None and not way.arcs:
            self._emit(RunFailing(step.name, way.fault))

    def _is_rescued(self, step: Step, tried: Try, ended: Ended) -> bool:
        """Whether a candidate that failed for good is tried once more as things are stable.

        Trying a value costs nobody their work. The failure still counts against the candidate.
        """
        candidate = tried.experiment is not None and tried.arm != CONTROL
        again = ended.outcome not in ("succeeded", "cancelled") and self.going_on
        return (
            candidate and again and step.effect != "once" and step.name not in self.state.expired
        )

    # ---- another one --------------------------------------------------------------------

    def _again_at(self, step: Step, value: Json) -> float | Fault | None:
        """When a repeated step runs again; None when ``until`` holds."""
        repeat = step.repeat
        if repeat is None:
            return None
        held = self.edge.holds(self.state, step, repeat.until, value)
        if isinstance(held, Fault):
            return held
        if held:
            return None
        known = self.state.rounds.get(step.name)
        if 1 + (known.done if known is not None else 0) >= repeat.max:
            return Fault("timeout", f"`{repeat.until}` did not hold in {repeat.max} rounds")
        return self.at + repeat.wait_s

    def _retry_at(self, step: Step, tried: Try, ended: Ended) -> float | None:
        if ended.outcome in ("succeeded", "cancelled") or step.name in self.state.expired:
            return None
        if not self.going_on and not self.is_beside(step.name):
            return None
        if is_lost(self.state, step.name):
            return None
        values = self.edge.effective(tried.config)
        known = self.state.rounds.get(step.name)
        return next_try_at(
            in_force(step.retry, values), step.effect,
            attempts=int(values.get("retry.attempts", 1)),
            number=tried.number - (known.number if known is not None else 0),
            losses=self.state.losses.get((tried.step, tried.batch), 0),
            deaths=self.state.deaths.get((tried.step, tried.batch), 0),
            outcome=ended.outcome, fault=ended.fault or Fault("unknown", ""),
            leased=tried.leased, at=self.at, chance=self.edge.chance(),
        )  # fmt: skip

    def _finished(self, tried: Try, ended: Ended, retry_at: float | None) -> AttemptFinished:
        over = tried.experiment is not None and not self.edge.is_live(tried.experiment)
        return AttemptFinished(
            attempt=tried.attempt, step=tried.step, number=tried.number, outcome=ended.outcome,
            scheduled=tried.seq, batch=tried.batch, fault=ended.fault, retry_at=retry_at,
            result=ended.result, post_decision=over, **ended.facts,
        )  # fmt: skip

    def _is_cancelled(self, tried: Try, ended: Ended) -> bool:
        """Whether a try ends as a loser of a join; not one that may have acted, and failed."""
        if not (self.going_on and is_lost(self.state, tried.step)):
            return False
        return ended.outcome == "succeeded" or not may_act(tried, self.playbook.step(tried.step))

    def _as_unknown(self, tried: Try, ended: Ended) -> Ended:
        """A ``once`` step whose try was cut off may have taken effect: nobody knows."""
        cut_off = ended.cut_off or ended.outcome in ("lost", "timed_out")
        if not (cut_off and may_act(tried, self.playbook.step(tried.step))):
            return ended
        why = f" ({ended.fault.message})" if ended.cut_off and ended.fault is not None else ""
        how = "stopped" if ended.cut_off else ended.outcome.replace("_", " ")
        text = f"{how} after it was allowed to act: it may have taken effect{why}"
        return replace(ended, fault=Fault("unknown", text))


def may_act(tried: Try, step: Step) -> bool:
    """Whether a try of a ``once`` step is under way: what it does is not undone by a kill."""
    return tried.leased and step.effect == "once"

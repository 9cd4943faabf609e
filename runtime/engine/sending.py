"""Sending: what is ready goes to workers that have room, and their reports come back."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from typing import Final

from runtime.engine.actor import ENDING, Actor, withheld
from runtime.engine.machine import Machine
from runtime.engine.poison import MOST, Step
from runtime.engine.queue import Ready
from runtime.ids import run_stream
from runtime.journal.port import Append
from runtime.run.decide import Ended
from runtime.run.events import AttemptLeased, Fault, StepCleared, StepPoisoned
from runtime.run.evolve import evolve
from runtime.run.state import Try
from runtime.workers.protocol import Report

_LOG: Final = logging.getLogger("trimtab.engine")
ROOM_S: Final = 0.5
"""How long to wait before a full disk is tried again."""


class Sending(Machine):
    """Between the queue of durable attempts and the workers."""

    def _pump(self) -> None:
        """Send what is ready to workers that have room, in the classes that there are now."""
        queue = self._dispatch.ready
        self._dispatch.look_at_hardware()
        while not self._draining:
            ready, again = queue.next(self._clock(), self._dispatch.fits)
            if ready is None:
                self._look_again(again)
                break
            actor = self._actors.get(ready.run)
            try:
                if actor is None or not self._send(actor, ready.attempt):
                    queue.done(ready.attempt)
            except OSError as error:
                self._wait_for_room(ready, error)
                break
            except Exception as error:  # it keeps no other attempt from its worker
                self._not_sent(ready, error)
        self._dispatch.flush()

    def _wait_for_room(self, ready: Ready, error: OSError) -> None:
        """A run's folder or its code cannot be written: it stays first, and is sent later."""
        _LOG.warning("%s is not sent yet: %s", ready.attempt, error)
        self._dispatch.ready.done(ready.attempt)
        self._dispatch.ready.put(ready, first=True)
        self._look_again(self._clock() + ROOM_S)

    def _not_sent(self, ready: Ready, error: Exception) -> None:
        """An attempt that cannot be made into a task has failed, unless its run is set aside."""
        _LOG.error("%s cannot be sent", ready.attempt, exc_info=error)
        self._dispatch.ready.done(ready.attempt)
        actor = self._actors.get(ready.run)
        if actor is not None:
            fault = Fault("permanent", f"it cannot be sent: {type(error).__name__}: {error}")
            self._act(actor, lambda d: d.ended(Ended(ready.attempt, "failed", fault)))

    def _pump_soon(self) -> None:
        """Go on, once for all that came together."""
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Take in all reports that came together, and send what is ready."""
        self._turning = False
        self._take_in()
        self._commit.hurry()
        self._pump()

    def _take_in(self) -> None:
        """Decide on what workers reported: one decision a run, however much came of it."""
        landed, self._landed = self._landed, defaultdict(list)
        for run, ends in landed.items():
            actor = self._actors.get(run)
            try:
                if actor is not None:
                    self._act(actor, lambda d, ends=ends: d.all_ended(ends))  # type: ignore[misc]
            except Exception:  # it keeps no other run from its reports
                _LOG.exception("what was reported of run %s could not be taken in", run)

    def _look_again(self, at: float) -> None:
        """Look at the queue again when a rate lets the next one pass."""
        if at == math.inf or self._rate_timer is not None:
            return

        def look() -> None:
            self._rate_timer = None
            self._dispatch.ready.retry()
            self._pump()

        self._rate_timer = self._loop.call_later(max(at - self._clock(), 0.0), look)

    def _send(self, actor: Actor, attempt: str) -> bool:
        """Give an attempt to a worker; False when it is not one to send, or not yet."""
        tried = actor.state.attempts.get(attempt)
        if tried is None:
            return False
        if self._withholds(actor, tried):
            return False
        if self.poison.known and self._is_poison(actor, tried):
            return False
        step = actor.version.playbook.step(tried.step)
        if step.effect == "once" and not tried.leased:
            self._lease(actor, attempt, tried.step)
            return False
        fault = self._dispatch.send(actor.state, actor.version, actor.edge, tried, step)
        if fault is not None:
            self._act(actor, lambda d: d.ended(Ended(attempt, "failed", fault)))
        return fault is None

    def _withholds(self, actor: Actor, tried: Try) -> bool:
        """Whether a run that is ending keeps a try back; it is then over."""
        ending = actor.state.status in ENDING
        if not ending or tried.step in actor.version.net.beside:
            return False
        self._act(actor, lambda d: d.ended(withheld(tried.attempt)))
        return True

    def _is_poison(self, actor: Actor, tried: Try) -> bool:
        """Whether a try is of a step that kills its workers; it has then failed."""
        why = self.poison.refusal(_step(actor, tried.step), self._clock())
        if why is None or tried.leased:
            return False
        ended = Ended(tried.attempt, "failed", Fault("lost", why))
        self._act(actor, lambda d: d.ended(ended))
        return True

    def _lease(self, actor: Actor, attempt: str, step: str) -> None:
        """Write that a worker may act, before it does: its effect happens at most once."""
        if attempt in self._leasing:
            return
        self._leasing.add(attempt)
        before, leased = actor.state.seq, AttemptLeased(attempt, step, "")
        evolve(actor.state, leased, self._clock())
        stream = run_stream(actor.state.run)
        self._put([self._stamp(stream, before, leased)], lambda: self._leasing.discard(attempt))

    def _report(self, worker: str, report: Report) -> None:
        sent_at = self._dispatch.sent_at(report.attempt) if report.outcome == "lost" else None
        landed = self._dispatch.landed(worker, report)
        if landed is None:
            return
        run, ended = landed
        actor = self._actors.get(run)
        if actor is not None and (sent_at is not None or self.poison.watches):
            self._blame(actor, report, sent_at)
        self._landed[run].append(ended)
        self._pump_soon()

    def _blame(self, actor: Actor, report: Report, sent_at: float | None) -> None:
        """Note whether a step's worker died or survived, and write down what follows from it."""
        tried = actor.state.attempts.get(report.attempt)
        if tried is None:
            return
        step = _step(actor, tried.step)
        if sent_at is not None:
            told = str((report.fault or {}).get("message", "")).rpartition(": ")[2]
            if self.poison.died(step, sent_at, self._clock(), told):
                event = StepPoisoned(*step, MOST, report.attempt, told)
                self._put([self._of_poison(event)])
        elif report.outcome in ("succeeded", "failed") and self.poison.survived(step):
            cleared = StepCleared(*step, "engine", f"{report.attempt} survived")
            self._put([self._of_poison(cleared)])

    def _of_poison(self, event: StepPoisoned | StepCleared) -> Append:
        """The append that writes it down; from when on it is durable it holds."""
        stream = f"poison/{event.playbook}"
        expected = self._poison_lengths.get(stream)
        if expected is None:
            expected = self.journal.length(stream)
        self._poison_lengths[stream] = expected + 1
        return self._stamp(stream, expected, event)


def _step(actor: Actor, name: str) -> Step:
    registered = actor.version.registered
    return Step(registered.path, registered.version, name)

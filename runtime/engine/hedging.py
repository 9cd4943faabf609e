"""Hedging: a second try begins beside one that takes long, where a slot is free for it.

When a try has run for as long as its step says, nothing is written down; only where a
second one may begin at once is it scheduled. It never goes before a first try that waits,
and is under the same limits. Once one of them has succeeded, the others are ended.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from runtime.engine.actor import Actor
from runtime.engine.sending import Sending
from runtime.run.decide import Ended
from runtime.run.events import Fault
from runtime.run.state import Try


class Hedging(Sending):
    """Watches for tries that take long."""

    def _send(self, actor: Actor, attempt: str) -> bool:
        sent = super()._send(actor, attempt)
        if sent and actor.version.has_hedges:
            after_s = self._hedged_after(actor, actor.state.attempts[attempt])
            if after_s is not None:
                self._timers.at(self._clock() + after_s, actor.state.run)
        return sent

    def _arm(self, actor: Actor) -> None:
        super()._arm(actor)
        if actor.version.has_hedges:
            due = min((due for _, due in self._hedges(actor)), default=math.inf)
            if due < math.inf:
                self._timers.at(due, actor.state.run)

    def _pump(self) -> None:
        super()._pump()
        if self._late and not self._draining:
            self._hedge()

    def _hedged_after(self, actor: Actor, tried: Try) -> float | None:
        """How long a try may run before it is hedged, or None for as long as it takes."""
        after_s = actor.edge.effective(tried.config).get("hedge")
        return None if after_s is None else float(after_s)

    def _hedges(self, actor: Actor) -> Iterator[tuple[str, float]]:
        """The tries beside which another may begin, with the time from when on."""
        for tried in actor.state.attempts.values():
            sent_at = self._dispatch.sent_at(tried.attempt)
            after_s = self._hedged_after(actor, tried)
            race = actor.state.races.get((tried.step, tried.batch))
            newest = race is None or race.open[-1] == tried.attempt
            if sent_at is None or after_s is None or not newest or tried.attempt in self._late:
                continue
            hedge = actor.version.playbook.step(tried.step).hedge
            if hedge is not None and (race.hedges if race is not None else 0) < hedge.max:
                yield tried.attempt, sent_at + after_s

    def _note_late(self, actor: Actor) -> None:
        """Remember which tries of a run take long, until a slot is free."""
        if not actor.version.has_hedges:
            return
        now = self._clock()
        late = [attempt for attempt, due in self._hedges(actor) if due <= now]
        if late:
            self._late |= dict.fromkeys(late, actor.state.run)
            self._pump_soon()

    def _hedge(self) -> None:
        """Begin second tries, as many as there are slots that nobody waits for."""
        free = self._pool.free()
        for attempt, run in list(self._late.items()) if free else ():
            actor = self._actors.get(run)
            tried = actor.state.attempts.get(attempt) if actor is not None else None
            if actor is None or tried is None or not self._dispatch.flies(attempt):
                del self._late[attempt]
            elif free and actor.state.status == "running" and self._has_spare(actor, tried):
                del self._late[attempt]
                free -= 1
                self._act(actor, lambda d, attempt=attempt: d.hedge(attempt))  # type: ignore[misc]

    def _has_spare(self, actor: Actor, tried: Try) -> bool:
        """Whether a second try takes nothing from a first; a rate is looked at again."""
        now = self._clock()
        uses = self._dispatch.uses(actor.version, actor.edge, tried)
        opens = self._dispatch.ready.spare_at(uses, now)
        self._look_again(opens if opens > now else math.inf)
        return opens <= now

    def _end_beaten(self, run: str) -> None:
        """End the tries that are open though another of the same work was first."""
        actor = self._actors.get(run)
        if actor is None or not actor.state.beaten:
            return
        for attempt in list(actor.state.beaten):
            if not self._dispatch.kill(attempt, "cancelled"):
                ended = Ended(attempt, "cancelled", Fault("cancelled", ""))
                self._act(actor, lambda d, ended=ended: d.ended(ended))  # type: ignore[misc]

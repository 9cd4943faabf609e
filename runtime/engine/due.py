"""What is due: tries that come round, deadlines that pass, and what is ended because of them."""

from __future__ import annotations

from runtime.engine import children
from runtime.engine.actor import Actor, withheld
from runtime.engine.hedging import Hedging
from runtime.run.decide import OUT_OF_TIME, Decision, Ended, losers
from runtime.run.events import Fault
from runtime.run.state import Try
from runtime.run.tokens import LOSER


class Due(Hedging):
    """Answers the timers of runs."""

    def _due(self, run: str) -> None:
        actor = self._actors.get(run)
        if actor is None:
            return
        self._act(actor, Decision.due)
        for tried in list(actor.state.attempts.values()):
            why = self._overdue(actor, tried)
            if why and not self._dispatch.kill(tried.attempt, "timed_out"):
                ended = Ended(tried.attempt, "timed_out", Fault("timeout", why))
                self._act(actor, lambda d, ended=ended: d.ended(ended))  # type: ignore[misc]
        self._note_late(actor)
        self._arm(actor)

    def _end_losers(self, actor: Actor) -> None:
        for tried in losers(actor.state, actor.version.playbook):
            if not self._dispatch.kill(tried.attempt, "cancelled"):
                gone = Ended(tried.attempt, "cancelled", LOSER)
                self._act(actor, lambda d, gone=gone: d.ended(gone))  # type: ignore[misc]

    def _overdue(self, actor: Actor, tried: Try) -> str:
        """Why a try has no time left, or nothing."""
        beside = tried.step in actor.version.net.beside
        if actor.state.status == "failing" and not actor.state.fault_step and not beside:
            return "the run's deadline has passed"
        if tried.step in actor.state.expired:
            return OUT_OF_TIME
        limit = actor.gives_up_at(tried)
        if limit is None or limit > self._clock() or self._dispatch.flies(tried.attempt):
            return ""
        return f"no slot was free for {limit - tried.at:g} s (queue_timeout)"

    def _end_flights(self, run: str, *, beside: bool = False) -> None:
        """End what a run that is ending has in flight; ``beside``: and what runs at its end."""
        actor = self._actors.get(run)
        if actor is None:
            return
        for tried in list(actor.state.attempts.values()):
            if tried.step in actor.version.net.beside and not beside:
                continue
            if tried.kind == "playbook" and children.child_id(tried.attempt) in self._actors:
                if tried.step in actor.version.net.beside:
                    self._cancel_child(tried.attempt, "ends now", now=True)
                continue
            if not self._dispatch.kill(tried.attempt, "cancelled"):
                gone = tried.attempt
                self._act(actor, lambda d, gone=gone: d.ended(withheld(gone)))  # type: ignore[misc]

"""Budgeting: a try that failed and would be made again, held against its step's retry budget.

The share is a knob: what a try was configured with holds for it, and each arm of an
experiment has a bucket of its own, so that neither spends what the other earned. What is
decided is written with the try's end, in its fault too, and never decided again. The
budget itself is the engine's, and no part of a run's state.
"""

from __future__ import annotations

from dataclasses import replace

from runtime.playbook.model import Step
from runtime.run.budget import with_note
from runtime.run.deciding import Deciding, Ended
from runtime.run.events import Fault
from runtime.run.retry import budget_in_force
from runtime.run.state import Try


class Budgeting(Deciding):
    """Spends retry budgets."""

    def _within_budget(
        self, step: Step, tried: Try, ended: Ended, retry_at: float | None
    ) -> tuple[Ended, float | None]:
        """What of a try's end its step's retry budget leaves: the next try, or why there is none.

        A lost worker is not the work's fault: that try earns nothing and costs nothing.
        """
        if ended.outcome in ("lost", "cancelled"):
            return ended, retry_at
        configured = self.edge.effective(tried.config) if tried.config else {}
        share = budget_in_force(step.retry, configured)
        if share is None:
            return ended, retry_at
        arm = (tried.experiment or "", tried.arm or "")
        budget, first = self.edge.budget(step, arm), self._turn(tried) == 1
        wants = ended.outcome != "succeeded" and retry_at is not None
        if budget.ended(share, first=first, wants=wants) or not wants:
            return ended, retry_at
        fault = ended.fault or Fault("unknown", ended.outcome)
        told = with_note(fault.message, budget.told(share))
        facts = {**ended.facts, "over_budget": True}
        return replace(ended, fault=fault.but(message=told), facts=facts), None

    def _turn(self, tried: Try) -> int:
        """Which try of its work this is, in its round; those that were lost do not count."""
        known = self.state.rounds.get(tried.step)
        before = known.number if known is not None else 0
        return tried.number - before - self.state.losses.get((tried.step, tried.batch), 0)

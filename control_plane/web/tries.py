"""A try as a person reads it: when it waited, when it ran, how it went, what it cost."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.run.events import AttemptFinished, Fault
from runtime.run.tokens import LOSER


@dataclass(slots=True)
class Try:
    """One attempt: when it waited, when it ran, how it went (``outcome`` None: in flight)."""

    attempt: str
    batch: int
    number: int
    items: int
    scheduled_at: float
    config: str
    arm: str | None = None
    started_at: float | None = None
    ended_at: float | None = None
    outcome: str | None = None
    fault: Fault | None = None
    retried: bool = False
    worker: str = ""
    cost_usd: float | None = None
    let_go: bool = False
    """Whether it was ended because another try or a join did without it: no failure."""

    @property
    def is_bad(self) -> bool:
        """Whether it ended and did not succeed when it was meant to."""
        return self.outcome not in (None, "succeeded") and not self.let_go

    def until(self, now: float) -> float:
        """When it ended, or now."""
        return now if self.ended_at is None else self.ended_at

    def close(self, event: AttemptFinished, at: float) -> None:
        """Take in how it ended."""
        self.started_at = min(at, self.scheduled_at + event.queue_s)
        self.ended_at, self.outcome, self.fault = at, event.outcome, event.fault
        self.retried, self.let_go = event.retry_at is not None, is_let_go(event)
        self.worker, self.cost_usd = event.worker, known_cost(event)


def is_let_go(event: AttemptFinished) -> bool:
    """Whether a try was ended because another one or a join did without it."""
    return event.outcome == "cancelled" and (event.moot or event.fault == LOSER)


def known_cost(event: AttemptFinished) -> float | None:
    """What is known to have been paid: without a price of its slot, what its tool spent."""
    return event.cost_usd if event.cost_usd is not None else event.spend_usd or None

"""The facts of a watch: capacity that was held, budgets that are used up, levels that moved."""

from __future__ import annotations

from typing import ClassVar

from msgspec import field

from runtime.run.facts.fact import Fact


class CapacityHeld(Fact, frozen=True):
    """A server held slots from ``since`` to ``until``, within one day (UTC), busy or not.

    Written on ``capacity/<month>`` now and then and at the end of a server. ``slots`` says how
    many of each class, ``usd_per_hour`` what one cost then; a class without a known price is
    not in it. What the slots did meanwhile is in the attempts; the rest of the time was idle.
    """

    TYPE: ClassVar[str] = "capacity.held"
    VERSION: ClassVar[int] = 1
    since: float
    until: float
    slots: dict[str, int]
    usd_per_hour: dict[str, float] = field(default_factory=dict)


class BudgetWarned(Fact, frozen=True):
    """A playbook has used a share of its budget of a month (``2026-11``, UTC).

    Written once per share and month. ``priced`` is the share of its slot time that has a
    known price: what it spent is at least ``spent_usd``.
    """

    TYPE: ClassVar[str] = "budget.warned"
    VERSION: ClassVar[int] = 1
    playbook: str
    month: str
    share: float
    limit_usd: float
    spent_usd: float
    priced: float = 1.0


class BudgetExceeded(Fact, frozen=True):
    """A playbook has used up its budget of a month; written once a month."""

    TYPE: ClassVar[str] = "budget.exceeded"
    VERSION: ClassVar[int] = 1
    playbook: str
    month: str
    limit_usd: float
    spent_usd: float
    priced: float = 1.0


class TrendShifted(Fact, frozen=True):
    """A step is slower or faster than usual: a new level began at ``since``.

    Written once per regime. ``before`` and ``after`` are medians of ``measure`` in seconds,
    ``factor`` their ratio with what recurs daily taken out; ``cause`` is the change of
    configuration or version that came just before, if there was one.
    """

    TYPE: ClassVar[str] = "trend.shifted"
    VERSION: ClassVar[int] = 1
    playbook: str
    step: str
    measure: str
    since: float
    before: float
    after: float
    factor: float
    slower: bool
    cause: str = ""

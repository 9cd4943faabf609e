"""A month's costs as a page shows them: sums, days as bars, steps, budgets and what was said.

Pure: rows of `control_plane.costs`, budgets and alerts go in, a `CostView` comes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from control_plane.budgets import BudgetView, month_of
from control_plane.costs import DayCost, StepCost, by_day, by_step, coverage
from control_plane.web.svg import tag
from control_plane.web.words import clock_time, money, moved, seconds
from runtime.run.events import BudgetExceeded, BudgetWarned, Recorded, TrendShifted

LEAST_KNOWN: Final = 0.95
"""Below this share of slot time with a known price a sum is told to be too low."""
MOST_ALERTS: Final = 12


@dataclass(frozen=True, slots=True)
class DayLine:
    """A day: its costs, and them as a bar beside the other days."""

    name: str
    cost: DayCost
    bar: str


@dataclass(frozen=True, slots=True)
class Said:
    """An alert in words, and the page that shows more."""

    at: float
    tone: str
    text: str
    page: str


@dataclass(frozen=True, slots=True)
class CostView:
    """All that the page of costs shows of a month."""

    month: str
    before: str
    after: str
    steps: Sequence[StepCost]
    days: Sequence[DayLine]
    budgets: Sequence[BudgetView]
    said: Sequence[Said]
    known: float
    example: bool

    @property
    def attempts_usd(self) -> float:
        """What attempts cost, with what their tools spent."""
        return sum(s.cost_usd for s in self.steps)

    @property
    def spend_usd(self) -> float:
        """What tools said that they spent."""
        return sum(s.spend_usd for s in self.steps)

    @property
    def idle_usd(self) -> float:
        """What slots cost that stood idle."""
        return sum(s.idle_usd for s in self.steps)

    @property
    def whole_usd(self) -> float:
        """All of it."""
        return self.attempts_usd + self.idle_usd

    @property
    def too_low(self) -> bool:
        """Whether so much has no price that the sums say little."""
        return self.known < LEAST_KNOWN


def cost_view(
    since: float, rows: Iterable[Mapping[str, Any]], budgets: Sequence[BudgetView],
    alerts: Sequence[Recorded], example: bool, now: float,
) -> CostView:  # fmt: skip
    """Return a month's costs as the page shows them."""
    month, first, after = month_of(since)
    listed = list(rows)
    steps, days = by_step(listed), by_day(listed)
    later = month_of(after)[0] if after <= now else ""
    said = [said_of(r) for r in alerts if first <= r.at < after][:MOST_ALERTS]
    return CostView(
        month, month_of(first - 1)[0], later, steps, _lines(days), budgets, said,
        coverage(steps), example,
    )  # fmt: skip


def _lines(days: Sequence[DayCost]) -> list[DayLine]:
    most = max((d.cost_usd + d.idle_usd for d in days), default=0.0) or 1.0
    return [
        DayLine(datetime.fromtimestamp(d.day, UTC).strftime("%d %b"), d, _bar(d, most))
        for d in days
    ]  # fmt: skip


def _bar(day: DayCost, most: float) -> str:
    """Draw a day: what attempts cost filled, what was idle hollow beside it."""
    cost, idle = 100 * day.cost_usd / most, 100 * day.idle_usd / most
    about = {"class": "strip-bar", "viewBox": "0 0 100 10", "preserveAspectRatio": "none",
             "height": 12, "aria-hidden": "true"}  # fmt: skip
    parts = [
        tag("rect", {"class": "used", "x": 0, "width": cost, "height": 10}),
        tag("rect", {"class": "idle", "x": cost, "width": idle, "height": 10}),
    ]
    return tag("svg", about, *parts)


def said_of(recorded: Recorded) -> Said:
    """Return an alert in words."""
    match recorded.event:
        case BudgetWarned() | BudgetExceeded() as event:
            over = isinstance(event, BudgetExceeded)
            whose = "all playbooks" if event.playbook == "*" else event.playbook
            used = f"{money(event.spent_usd)} of {money(event.limit_usd)} in {event.month}"
            text = f"{whose}: the budget is {'used up' if over else 'nearly used up'}, {used}"
            page = "/costs" if event.playbook == "*" else f"/costs?playbook={event.playbook}"
            return Said(recorded.at, "bad" if over else "care", text, page)
        case TrendShifted() as event:
            levels = f"{seconds(event.before)} to {seconds(event.after)}"
            cause = f", just after {event.cause}" if event.cause else ""
            how = moved(event.after / event.before)
            text = (
                f"{event.playbook} › {event.step}: {how} than usual, "
                f"{levels} since {clock_time(event.since)}{cause}"
            )
            page = f"/trends?playbook={event.playbook}&step={event.step}&hours=168"
            return Said(recorded.at, "care" if event.slower else "good", text, page)
        case other:
            raise TypeError(f"{other.TYPE} is no alert")

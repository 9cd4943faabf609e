"""The page of costs: its sums are those of its lines, and what was said is said in words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from control_plane.budgets import BudgetView
from control_plane.idle import shared
from control_plane.web.render import render
from control_plane.web.spending import cost_view, said_of
from runtime.run.events import (
    BudgetExceeded,
    BudgetWarned,
    CapacityHeld,
    Event,
    Recorded,
    RunStarted,
    TrendShifted,
)

FIRST = 1_793_491_200.0  # 2026-11-01
NOW = FIRST + 3 * 86_400
ROW = {
    "day": FIRST, "playbook": "etl/load", "step": "clean", "hardware": "gpu", "attempts": 3,
    "priced": 2, "price_usd_hour": 2.0, "slot_s": 3600.0, "priced_slot_s": 1800.0,
    "cost_usd": 1.5, "spend_usd": 0.5, "system": 0,
}  # fmt: skip
HELD = CapacityHeld(FIRST, FIRST + 7200, {"gpu": 1}, {"gpu": 2.0})
SHIFT = TrendShifted("etl/load", "clean", "total_p50_s", FIRST, 1.0, 2.0, 2.0, True, "version 3")


def recorded(event: Event, at: float = NOW) -> Recorded:
    return Recorded(1, 1, "s", 1, at, event)


def view(rows: list[dict[str, Any]], **more: Any) -> Any:
    given = {"budgets": [], "alerts": [], "example": False, "now": NOW} | more
    return cost_view(FIRST, rows, **given)


def test_the_sums_are_those_of_the_lines_and_a_bar_is_as_long_as_its_day() -> None:
    told = view(shared([HELD], [ROW, {**ROW, "day": FIRST + 86_400, "cost_usd": 1.75}]))
    assert (told.attempts_usd, told.spend_usd, told.idle_usd, told.whole_usd) == (
        3.25, 1.0, 2.0, 5.25,
    )  # fmt: skip
    widths = [[float(w) for w in re.findall(r' width="([\d.]+)"', d.bar)] for d in told.days]
    assert widths == [[pytest.approx(100 * 1.5 / 3.5, abs=0.01)] * 1
                      + [pytest.approx(100 * 2.0 / 3.5, abs=0.01)], [50.0, 0.0]]  # fmt: skip
    assert (told.month, told.before, told.after) == ("2026-11", "2026-10", "")
    assert told.too_low
    assert view([ROW], now=FIRST + 31 * 86_400).after == "2026-12"


@pytest.mark.parametrize(("event", "tone", "says"), [
    (BudgetWarned("etl/load", "2026-11", 0.8, 10, 8.5), "care", "nearly used up, $8.50 of $10.00"),
    (BudgetExceeded("*", "2026-11", 10, 12), "bad", "all playbooks: the budget is used up"),
    (SHIFT, "care", "2.00× slower than usual, 1.00 s to 2.00 s since 01 Nov 00:00:00, just after"),
])  # fmt: skip
def test_an_alert_is_said_in_words_and_leads_to_more(event: Event, tone: str, says: str) -> None:
    told = said_of(recorded(event))
    assert told.tone == tone
    assert says in told.text
    assert told.page.startswith(("/costs", "/trends"))


def test_what_is_no_alert_is_not_said() -> None:
    with pytest.raises(TypeError, match=r"run\.started is no alert"):
        said_of(recorded(RunStarted()))


def test_a_glance_names_a_budget_that_is_not_kept() -> None:
    budget = BudgetView("*", "2026-11", 1.0, 1.5, 1.5, 0.5, "exceeded")
    glance = render("parts/glance.html", {"view": view([ROW], budgets=[budget]), "now": NOW})
    assert "all playbooks: 150% of $1.00" in glance
    assert "50% of slot time has a price" in glance

"""A budget is a month's dollars of a playbook; each share of it is told once."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.budgets import (
    BadBudgets,
    Budget,
    Spent,
    crossed,
    load_budgets,
    month_of,
    parse,
    spent_by_playbook,
    view,
)
from runtime.run.events import BudgetExceeded, BudgetWarned, Recorded

BUDGET = Budget("etl/load", 100.0, (0.5, 0.8))


def told(events: list[BudgetWarned | BudgetExceeded]) -> list[Recorded]:
    return [Recorded(1, i, "budget/etl/load", i, 0.0, e) for i, e in enumerate(events, 1)]


def test_a_file_says_budgets_and_every_fault_has_its_place() -> None:
    text = 'budgets:\n  - {playbook: a, usd_per_month: 5}\n  - {playbook: "*", usd_per_month: 9, '
    assert parse(text + "warn_at: [80%, 50%]}", "b.yaml") == [
        Budget("a", 5.0), Budget("*", 9.0, (0.5, 0.8)),
    ]  # fmt: skip
    with pytest.raises(BadBudgets) as caught:
        parse(
            "budgets:\n  - {playbook: a, usd_per_month: 0}\n  - {playbook: a}\n"
            "  - {playbook: a, usd_per_month: 1, warn_at: 120%, month: 3}\n",
            "b.yaml",
        )
    assert [str(fault)[:4] for fault in caught.value.faults] == [
        "2:34",
        "3:5 ",
        "4:16",
        "4:46",
        "4:52",
    ]


def test_each_share_is_told_once_a_month_whatever_is_asked_how_often() -> None:
    said: list[BudgetWarned | BudgetExceeded] = []
    for usd in (10, 49, 51, 60, 79, 85, 99, 101, 500):
        said += crossed(BUDGET, "2026-11", Spent(usd), told(said))
    shares = [e.share if isinstance(e, BudgetWarned) else "exceeded" for e in said]
    assert shares == [0.5, 0.8, "exceeded"]
    again = crossed(BUDGET, "2026-12", Spent(60), told(said))
    assert [e.month for e in again] == ["2026-12"]


def test_a_leap_over_all_shares_tells_them_all_at_once() -> None:
    assert len(crossed(BUDGET, "2026-11", Spent(1000), [])) == 3


def test_all_playbooks_together_are_a_star_and_what_is_not_priced_is_a_share() -> None:
    row = {"playbook": "a", "cost_usd": 2.0, "slot_s": 30.0, "priced_slot_s": 30.0}
    other = {"playbook": "b", "cost_usd": 1.0, "slot_s": 10.0, "priced_slot_s": 0.0}
    spent = spent_by_playbook([row, other])
    assert spent == {"a": Spent(2.0, 1.0), "b": Spent(1.0, 0.0), "*": Spent(3.0, 0.75)}


def test_a_december_ends_with_the_year() -> None:
    month, first, after = month_of(1_767_200_000)  # 2025-12-31
    assert (month, after - first) == ("2025-12", 31 * 86_400)


@pytest.mark.parametrize(("usd", "state"), [(1, "within"), (50, "warned"), (100, "exceeded")])
def test_a_budget_is_within_warned_or_exceeded(usd: float, state: str) -> None:
    assert view(BUDGET, "2026-11", Spent(usd)).state == state


def test_a_file_that_is_no_utf_8_has_its_fault_where_it_stands(tmp_path: Path) -> None:
    text = "budgets:\n  - {playbook: caf\u00e9, usd_per_month: 5}\n"
    (tmp_path / "budgets.yaml").write_text(text, encoding="latin-1")
    with pytest.raises(BadBudgets, match=r"budgets\.yaml:2:1 the file must be UTF-8"):
        load_budgets(tmp_path)
    (tmp_path / "budgets.yaml").write_text(text, encoding="utf-8")
    assert load_budgets(tmp_path) == [Budget("caf\u00e9", 5.0)]

"""Budgets: what a playbook may cost in a month, as the user's own file says.

``budgets.yaml`` in the data folder; ``*`` stands for all playbooks together. Months are UTC::

    budgets:
      - {playbook: etl/load, usd_per_month: 100, warn_at: [50%, 80%]}
      - {playbook: "*", usd_per_month: 1000}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from runtime.engine.price_file import BadCatalogue
from runtime.playbook.faults import PlaybookFaults
from runtime.playbook.part import Part
from runtime.playbook.tree import read
from runtime.run.events import BudgetExceeded, BudgetWarned, Recorded

FILE: Final = "budgets.yaml"
ALL: Final = "*"
WARN_AT: Final = (0.8,)
KEYS: Final = ("playbook", "usd_per_month", "warn_at")


class BadBudgets(BadCatalogue):
    """The budgets cannot be read; ``faults`` names every fault with its place."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a playbook may cost in a month, and at which shares of that a word is said."""

    playbook: str
    usd_per_month: float
    warn_at: tuple[float, ...] = WARN_AT


@dataclass(frozen=True, slots=True)
class Spent:
    """What a playbook cost in a month, as far as known: ``priced`` of its slot time is.

    ``idle_usd`` of it is its share of slots that stood idle.
    """

    usd: float = 0.0
    priced: float = 1.0
    idle_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class BudgetView:
    """A budget and what is used of it."""

    playbook: str
    month: str
    limit_usd: float
    spent_usd: float
    used: float
    priced: float
    state: str
    idle_usd: float = 0.0


def load_budgets(folder: Path) -> list[Budget]:
    """Return the budgets of a data folder; none without a file.

    Raises:
        BadBudgets: with every fault of the file.
    """
    file = folder / FILE
    return parse(file.read_bytes(), str(file)) if file.exists() else []


def parse(text: str | bytes, source: str) -> list[Budget]:
    """Return the budgets that a text says.

    Raises:
        BadBudgets: with every fault at once.
    """
    try:
        root, faults = read(text, source)
    except PlaybookFaults as error:
        raise BadBudgets(source, error.faults) from None
    top = Part(root, "", root.place, faults)
    found: list[Budget] = []
    if top.is_map("the file of budgets"):
        top.keys(("budgets",))
        rows = top.child("budgets")
        if rows is None:
            top.refuse("needs a list under 'budgets'")
        elif rows.is_list("budgets"):
            for row in rows.elements():
                _budget(row, found)
    if faults:
        raise BadBudgets(source, faults)
    return found


def _budget(row: Part, found: list[Budget]) -> None:
    if not row.is_map("a budget"):
        return
    row.keys(KEYS)
    playbook, usd = row.child("playbook"), row.child("usd_per_month")
    if playbook is None or usd is None:
        row.refuse("a budget needs playbook and usd_per_month")
        return
    path, limit = playbook.text("playbook"), usd.number("usd_per_month")
    if limit is not None and limit <= 0:
        usd.refuse(f"usd_per_month is above 0, not {limit:g}")
    if any(path == known.playbook for known in found):
        playbook.refuse(f"{path} has a budget already")
    at = row.child("warn_at")
    if path is not None and limit is not None:
        found.append(Budget(path, float(limit), WARN_AT if at is None else _shares(at)))


def _shares(part: Part) -> tuple[float, ...]:
    parts = part.elements() if part.node.kind == "list" else [part]
    shares = [(one, one.share("warn_at")) for one in parts]
    for one, share in shares:
        if share is not None and not 0 < share < 1:
            one.refuse("warn_at is above 0% and below 100%")
    return tuple(sorted({share for _, share in shares if share is not None}))


def month_of(at: float) -> tuple[str, float, float]:
    """Return a time's month with its first second and that of the next.

    >>> month_of(1_796_000_000)
    ('2026-11', 1793491200.0, 1796083200.0)
    """
    day = datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    after = day.replace(year=day.year + day.month // 12, month=day.month % 12 + 1)
    return day.strftime("%Y-%m"), day.timestamp(), after.timestamp()


def spent_by_playbook(rows: Iterable[Mapping[str, Any]]) -> dict[str, Spent]:
    """Return what each playbook, and all together, cost by the rows of ``cost_steps``.

    Idle slots count with those that bear them; what nobody bears counts for all together.
    """
    usd: dict[str, list[float]] = {}
    slots: dict[str, list[float]] = {}
    for row in rows:
        for name in (row["playbook"], ALL):
            dollars = usd.setdefault(name, [0.0, 0.0])
            dollars[0] += row["cost_usd"] + row.get("idle_usd", 0.0)
            dollars[1] += row.get("idle_usd", 0.0)
            times = slots.setdefault(name, [0.0, 0.0])
            times[0] += row["priced_slot_s"]
            times[1] += row["slot_s"]
    return {
        n: Spent(usd[n][0], p / whole if whole else 1.0, usd[n][1])
        for n, (p, whole) in slots.items()
    }


def crossed(
    budget: Budget, month: str, spent: Spent, said: Sequence[Recorded]
) -> list[BudgetWarned | BudgetExceeded]:
    """Return what is to be said now of a budget and was not yet, the lowest share first."""
    of_month = [r.event for r in said if getattr(r.event, "month", "") == month]
    warned = {e.share for e in of_month if isinstance(e, BudgetWarned)}
    used = spent.usd / budget.usd_per_month
    told: list[BudgetWarned | BudgetExceeded] = [
        BudgetWarned(
            budget.playbook, month, share, budget.usd_per_month, spent.usd, spent.priced
        )
        for share in budget.warn_at
        if used >= share and share not in warned
    ]  # fmt: skip
    if used >= 1 and not any(isinstance(e, BudgetExceeded) for e in of_month):
        told.append(BudgetExceeded(
            budget.playbook, month, budget.usd_per_month, spent.usd, spent.priced
        ))  # fmt: skip
    return told


def view(budget: Budget, month: str, spent: Spent) -> BudgetView:
    """Return a budget as a person sees it."""
    used = spent.usd / budget.usd_per_month
    warned = any(used >= share for share in budget.warn_at)
    state = "exceeded" if used >= 1 else "warned" if warned else "within"
    return BudgetView(
        budget.playbook, month, budget.usd_per_month, spent.usd, used, spent.priced, state,
        spent.idle_usd,
    )  # fmt: skip

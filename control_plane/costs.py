"""What things cost, by playbook and step, and how much of it is known at all.

Coverage is a number: the share of slot time, and of attempts, that has a known price. What
rests on cost can refuse to go on below a share of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from control_plane.budgets import month_of
from control_plane.errors import Invalid


@dataclass(frozen=True, slots=True)
class StepCost:
    """One step in a time. ``cost_usd`` is what is known; the coverages are shares from 0 to 1."""

    playbook: str
    step: str
    attempts: int
    slot_s: float
    cost_usd: float
    spend_usd: float
    attempt_coverage: float
    slot_coverage: float


def by_step(rows: Iterable[Mapping[str, Any]]) -> list[StepCost]:
    """Return the rows of ``cost_steps`` summed by playbook and step, the dearest first."""
    sums: dict[tuple[str, str], dict[str, float]] = {}
    for row in rows:
        one = sums.setdefault((row["playbook"], row["step"]), {})
        for name in ("attempts", "priced", "slot_s", "priced_slot_s", "cost_usd", "spend_usd"):
            one[name] = one.get(name, 0) + row[name]
    found = [
        StepCost(
            playbook, step, int(s["attempts"]), s["slot_s"], s["cost_usd"], s["spend_usd"],
            _share(s["priced"], s["attempts"]), _share(s["priced_slot_s"], s["slot_s"]),
        )
        for (playbook, step), s in sums.items()
    ]  # fmt: skip
    return sorted(found, key=lambda c: (-c.cost_usd, c.playbook, c.step))


def coverage(costs: Iterable[StepCost]) -> float:
    """Return the share of all slot time that has a known price; 1 where there was none."""
    times = [(c.slot_s * c.slot_coverage, c.slot_s) for c in costs]
    return _share(sum(p for p, _ in times), sum(s for _, s in times))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 1.0


def month_named(month: str, now: float) -> tuple[float, float]:
    """Return the first second of a month (``2026-11``; empty for this one) and of the next.

    Raises:
        Invalid: it names none.
    """
    if not month:
        return month_of(now)[1:]
    try:
        day = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise Invalid([f"month is a year and a month, such as 2026-11, not {month!r}"]) from None
    return month_of(day.timestamp())[1:]

"""What things cost, by playbook and step or by day, and how much of it is known at all.

What attempts cost comes from the record; what servers held idle meanwhile comes from the journal
and is shared out to what ran (`control_plane.idle`). Coverage is a number: the share of slot
time, and of attempts, that has a known price. What rests on cost can refuse to go on below a
share of it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from control_plane.budgets import month_of
from control_plane.capacity import held
from control_plane.errors import Invalid
from control_plane.idle import DAY_S, Row, shared
from control_plane.readings import Readings
from runtime.journal.port import JournalReader

K = TypeVar("K", bound=Hashable)
LAST_YEAR: Final = 2106
"""The times of the record end in it."""
_SUMMED: Final = (
    "attempts", "priced", "slot_s", "priced_slot_s", "cost_usd", "spend_usd", "idle_s",
    "idle_priced_s", "idle_usd", "tokens", "calls",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StepCost:
    """One step in a time. ``cost_usd`` is what is known; the coverages are shares from 0 to 1.

    ``tokens`` and ``calls`` are what tools reported beside ``spend_usd``; ``idle_usd`` is the
    step's share of what slots cost that stood idle. A line without a
    playbook is what stood idle where nothing ran that could bear it.
    """

    playbook: str
    step: str
    attempts: int
    slot_s: float
    cost_usd: float
    spend_usd: float
    attempt_coverage: float
    slot_coverage: float
    idle_s: float = 0.0
    idle_usd: float = 0.0
    tokens: int = 0
    calls: int = 0

    @property
    def whole_usd(self) -> float:
        """What it cost with its share of what was idle."""
        return self.cost_usd + self.idle_usd


@dataclass(frozen=True, slots=True)
class DayCost:
    """One day: what attempts cost, what slots cost that stood idle, and how much is known."""

    day: float
    attempts: int
    slot_s: float
    cost_usd: float
    spend_usd: float
    idle_s: float
    idle_usd: float
    slot_coverage: float
    tokens: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class RunCost:
    """One run: what its attempts cost, and its share of what slots cost that stood idle.

    The share of a day is settled when the day after it is over: what ends then may have begun
    on it.
    """

    run: str
    attempts: int
    slot_s: float
    cost_usd: float
    spend_usd: float
    idle_usd: float
    tokens: int
    calls: int
    slot_coverage: float


async def cost_of_run(readings: Readings, journal: JournalReader, run: str) -> RunCost:
    """Return what a run cost, by the attempts of it that the record has.

    Raises:
        RecorderAway: no recorder answers.
    """
    parts = await readings.query("cost_run", run=run)
    days = [part["day"] for part in parts]
    rows = await ledger(readings, journal, min(days), max(days) + DAY_S) if days else []
    return of_run(run, parts, rows)


def of_run(
    run: str, parts: Sequence[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]]
) -> RunCost:
    """Return a run's cost by its rows of ``cost_run``, and by the `ledger` of their days.

    A second of a slot bears the same of what was idle that day, whoever used it.
    """
    used: dict[tuple[float, str], list[float]] = {}
    for row in rows:
        sums = used.setdefault((row["day"], row["hardware"]), [0.0, 0.0])
        sums[0] += row["idle_usd"]
        sums[1] += row["slot_s"]
    rates = {key: idle / slot_s for key, (idle, slot_s) in used.items() if slot_s > 0}

    def whole(name: str) -> float:
        return float(sum(part[name] for part in parts))

    return RunCost(
        run, int(whole("attempts")), whole("slot_s"), whole("cost_usd"), whole("spend_usd"),
        sum(p["slot_s"] * rates.get((p["day"], p["hardware"]), 0.0) for p in parts),
        int(whole("tokens")), int(whole("calls")),
        _share(whole("priced_slot_s"), whole("slot_s")),
    )  # fmt: skip


async def ledger(
    readings: Readings, journal: JournalReader, since: float, until: float, playbook: str = ""
) -> list[Row]:
    """Return the rows of ``cost_steps`` of a time, each with its share of what was idle.

    Raises:
        RecorderAway: no recorder answers.
    """
    seen = until + DAY_S  # what ended on the day after may have used slots of the last one
    rows = await readings.costs(since, seen)
    told = shared(held(journal, since, seen), rows)
    return [row for row in told if row["day"] < until and playbook in ("", row["playbook"])]


def by_step(rows: Iterable[Mapping[str, Any]]) -> list[StepCost]:
    """Return the rows of ``cost_steps`` summed by playbook and step, the dearest first."""
    found = [
        StepCost(
            playbook, step, int(s["attempts"]), s["slot_s"], s["cost_usd"], s["spend_usd"],
            _share(s["priced"], s["attempts"]), _covered(s), s["idle_s"], s["idle_usd"],
            int(s["tokens"]), int(s["calls"]),
        )
        for (playbook, step), s in _summed(rows, lambda r: (r["playbook"], r["step"])).items()
    ]  # fmt: skip
    return sorted(found, key=lambda c: (-c.whole_usd, c.playbook, c.step))


def by_day(rows: Iterable[Mapping[str, Any]]) -> list[DayCost]:
    """Return the rows of ``cost_steps`` summed by day, the first day first."""
    return [
        DayCost(
            day, int(s["attempts"]), s["slot_s"], s["cost_usd"], s["spend_usd"], s["idle_s"],
            s["idle_usd"], _covered(s), int(s["tokens"]), int(s["calls"]),
        )
        for day, s in sorted(_summed(rows, lambda r: float(r["day"])).items())
    ]  # fmt: skip


def _summed(
    rows: Iterable[Mapping[str, Any]], key: Callable[[Mapping[str, Any]], K]
) -> dict[K, dict[str, float]]:
    sums: dict[K, dict[str, float]] = {}
    for row in rows:
        one = sums.setdefault(key(row), dict.fromkeys(_SUMMED, 0.0))
        for name in _SUMMED:
            one[name] += row.get(name, 0)
    return sums


def _covered(s: Mapping[str, float]) -> float:
    """The share of slot time that has a known price: of used or of idle time, the smaller one.

    What is idle may be much and priced, and must not hide what ran without a price.
    """
    return min(_share(s["priced_slot_s"], s["slot_s"]), _share(s["idle_priced_s"], s["idle_s"]))


def coverage(costs: Iterable[StepCost | DayCost]) -> float:
    """Return the share of all slot time that has a known price; 1 where there was none.

    Of used or of idle time, the smaller one: neither hides what the other lacks.
    """
    listed = list(costs)
    return min(
        _weighed((c.slot_coverage, c.slot_s) for c in listed),
        _weighed((c.slot_coverage, c.idle_s) for c in listed),
    )


def _weighed(shares: Iterable[tuple[float, float]]) -> float:
    listed = list(shares)
    return _share(sum(share * s for share, s in listed), sum(s for _, s in listed))


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
        if day.year >= LAST_YEAR:
            raise ValueError(month)
    except ValueError:
        raise Invalid([f"month is a year and a month, such as 2026-11, not {month!r}"]) from None
    return month_of(day.timestamp())[1:]

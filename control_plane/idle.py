"""Idle slots: what was paid for and nobody used, shared out to those who used the rest.

Pure. What servers held (`CapacityHeld`) and what attempts used (rows of ``cost_steps``) go in;
for each day and class of hardware, held time is used time and idle time, and its price is what
was used plus what was idle. Idle dollars go to the steps of that day and class by the slot time
that they used; where nothing ran they stand in a row of their own, without a playbook.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from control_plane.budgets import month_of
from runtime.engine.hardware import LOCAL
from runtime.engine.prices import Prices
from runtime.run.events import CapacityHeld

DAY_S: Final = 86_400.0
Row = dict[str, Any]
_NONE: Final[Row] = {"idle_s": 0.0, "idle_priced_s": 0.0, "idle_usd": 0.0}


@dataclass(slots=True)
class _Capacity:
    """What servers held of a class on a day. ``priced_s`` of ``slot_s`` has a known price."""

    slot_s: float = 0.0
    priced_s: float = 0.0
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Idle:
    """A class on a day: slot time that was held, was used of that, and was neither.

    ``held_s`` is ``used_s`` + ``idle_s``. ``beyond_s`` was used and not held, by an attempt that
    a process without a server ran, say. ``idle_usd`` is what of the idle time has a price.
    """

    day: float
    hardware: str
    held_s: float
    used_s: float
    idle_s: float
    idle_priced_s: float
    idle_usd: float
    beyond_s: float = 0.0


@dataclass(slots=True)
class _Days:
    """What a class held and used, by day."""

    held: dict[float, _Capacity] = field(default_factory=dict)
    used: dict[float, float] = field(default_factory=dict)


def reserved(prices: Prices, workers: int) -> dict[str, int]:
    """Return how many slots of each class are paid for while this server is up.

    What a class says under ``reserved``, else its ``slots``. Those are among this machine's
    workers: the rest of them are `local`, unless that says itself how many it has.
    """
    said = {c.name: c.slots if c.reserved is None else c.reserved for c in prices.classes}
    if said.get(LOCAL) is None:
        others = sum(slots or 0 for name, slots in said.items() if name != LOCAL)
        said[LOCAL] = max(workers - others, 0)
    return {name: slots for name, slots in sorted(said.items()) if slots}


def days(since: float, until: float) -> Iterator[tuple[float, float]]:
    """Cut a time at the midnights (UTC) in it.

    >>> list(days(86_000.0, 90_000.0))
    [(86000.0, 86400.0), (86400.0, 90000.0)]
    """
    while since < until:
        end = min(until, (since // DAY_S + 1) * DAY_S)
        yield since, end
        since = end


def accounts(held: Iterable[CapacityHeld], rows: Iterable[Mapping[str, Any]]) -> list[Idle]:
    """Return an account for each day and class, the earliest first."""
    events = list(held)
    classes: dict[str, _Days] = defaultdict(_Days)
    for event in events:
        for name, slots in event.slots.items():
            _add(classes[name].held, event, name, slots)
    known = _known(events)
    for row in rows:
        used = classes[_drawn_on(row, known)].used
        used[row["day"]] = used.get(row["day"], 0.0) + row["slot_s"]
    found = [one for name, of in classes.items() for one in _accounts(name, of)]
    return sorted(found, key=lambda i: (i.day, i.hardware))


def _known(held: Iterable[CapacityHeld]) -> set[tuple[float, str]]:
    """Return the days and classes of which slots were held."""
    return {(e.since // DAY_S * DAY_S, name) for e in held for name in e.slots}


def _drawn_on(row: Mapping[str, Any], known: set[tuple[float, str]]) -> str:
    """Return the class whose slots a row used: its own, or `local` where none of it were held.

    A class without slots of its own runs on this machine's workers like any other.
    """
    day, own = row["day"], row["hardware"]
    return LOCAL if (day, own) not in known and (day, LOCAL) in known else own


def _add(held: dict[float, _Capacity], event: CapacityHeld, name: str, slots: int) -> None:
    of = held.setdefault(event.since // DAY_S * DAY_S, _Capacity())
    slot_s, price = (event.until - event.since) * slots, event.usd_per_hour.get(name)
    of.slot_s += slot_s
    if price is not None:
        of.priced_s += slot_s
        of.usd += slot_s / 3600 * price


def _accounts(name: str, of: _Days) -> Iterator[Idle]:
    """Settle a class from its last day to its first.

    An attempt counts on the day on which it ended and may have begun the day before: what it
    used beyond what a day held is used of the day before, where it follows at once.
    """
    over, after = 0.0, 0.0
    for day in sorted({*of.held, *of.used}, reverse=True):
        if over and day + DAY_S != after:
            yield Idle(after, name, 0.0, 0.0, 0.0, 0.0, 0.0, over)
            over = 0.0
        held = of.held.get(day, _Capacity())
        wanted = of.used.get(day, 0.0) + over
        used = min(wanted, held.slot_s)
        over, after = (wanted - used if held.slot_s else 0.0), day
        share = (held.slot_s - used) / held.slot_s if held.slot_s else 0.0
        yield Idle(
            day, name, held.slot_s, used, held.slot_s - used, held.priced_s * share,
            held.usd * share, 0.0 if held.slot_s else wanted,
        )  # fmt: skip
    if over:
        yield Idle(after, name, 0.0, 0.0, 0.0, 0.0, 0.0, over)


def shared(held: Iterable[CapacityHeld], rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return the rows of ``cost_steps`` with their share of idle time, and rows for the rest.

    Each has ``idle_s``, ``idle_priced_s`` and ``idle_usd``; together they are all that was idle.
    ``idle_of`` is the class of which it was.
    """
    events = list(held)
    accounted, known = [i for i in accounts(events, rows) if i.idle_s > 0], _known(events)
    by_key: dict[tuple[float, str], list[Row]] = defaultdict(list)
    told = [dict(row) | _NONE | {"idle_of": row["hardware"]} for row in rows]
    for row in told:
        if row["slot_s"] > 0:
            by_key[row["day"], _drawn_on(row, known)].append(row)
    for idle in accounted:
        users = by_key.get((idle.day, idle.hardware)) or [_nobody(idle)]
        if not users[0]["playbook"]:
            told.append(users[0])
        _share(idle, users)
    return told


def _share(idle: Idle, users: Sequence[Row]) -> None:
    whole = sum(row["slot_s"] for row in users)
    for row in users:
        share = row["slot_s"] / whole if whole else 1.0
        row["idle_of"] = idle.hardware
        row["idle_s"] += idle.idle_s * share
        row["idle_priced_s"] += idle.idle_priced_s * share
        row["idle_usd"] += idle.idle_usd * share


def _nobody(idle: Idle) -> Row:
    """A row for what nobody used: it has no playbook and no step."""
    hours = idle.idle_priced_s / 3600
    return {
        "day": idle.day, "playbook": "", "step": "", "hardware": idle.hardware,
        "price_usd_hour": idle.idle_usd / hours if hours else None, "slot_s": 0.0,
        "priced_slot_s": 0.0, "attempts": 0, "priced": 0, "cost_usd": 0.0, "spend_usd": 0.0,
        "system": 0, "idle_of": idle.hardware, **_NONE,
    }  # fmt: skip


def months(since: float, until: float) -> Iterator[str]:
    """Name the months that a time touches, such as ``2026-11``."""
    while since < until:
        name, _, since = month_of(since)
        yield name


__all__ = ["Idle", "accounts", "days", "months", "reserved", "shared"]

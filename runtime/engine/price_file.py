"""The hardware catalogue as text: what a class is and costs, or every fault at its place.

::

    hardware:
      - class: gpu-l4
        cpus: 8
        memory_gib: 32
        accelerator: nvidia-l4
        region: europe-west4
        spot: true
        slots: 2
        prices:
          - {from: 2026-01-01, until: 2026-07-01, usd_per_hour: 0.71}
          - {from: 2026-07-01, usd_per_hour: 0.65, hours: {22-6: 0.31}, zone: Europe/Berlin}

A class is named once; its prices are days that do not overlap, ``until`` being the first
day on which one holds no more. In ``hours`` of the day, which do not overlap either, another
price holds than in the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Final

from runtime.playbook.faults import PlaybookFault, PlaybookFaults
from runtime.playbook.hours import ANY, HOURS_HINT, canonical, of_day
from runtime.playbook.part import CLASS_HINT, WORD, Part
from runtime.playbook.tree import read
from runtime.playbook.zones import read_zone, zone_of

CLASS_KEYS: Final = (
    "class", "slots", "reserved", "cpus", "memory_gib", "accelerator", "accelerators", "spot",
    "region", "prices",
)  # fmt: skip
PRICE_KEYS: Final = ("from", "until", "usd_per_hour", "hours", "zone")
DAY_HINT: Final = "a day, such as 2026-01-31"


class BadCatalogue(Exception):
    """The hardware catalogue cannot be read; ``faults`` names every fault with its place."""

    def __init__(self, source: str, faults: list[PlaybookFault]) -> None:
        self.source, self.faults = source, sorted(faults)
        super().__init__("\n".join(f"{source}:{fault}" for fault in self.faults))


@dataclass(frozen=True, slots=True)
class Price:
    """A price from a day (UTC) on, up to but without another; ``hours`` of it have their own."""

    hardware: str
    usd_per_hour: float
    since: date
    until: date | None = None
    hours: tuple[tuple[str, float], ...] = ()
    zone: str = "UTC"

    def at(self, when: float) -> float:
        """What an hour costs at a time (seconds since the epoch) of a day on which it holds.

        >>> Price("a", 1.0, date(2026, 1, 1), hours=(("22-6", 0.5),)).at(23 * 3600.0)
        0.5
        """
        zone = zone_of(self.zone) if self.hours else None
        if zone is None:
            return self.usd_per_hour
        hour = datetime.fromtimestamp(when, zone).hour
        return next((usd for hours, usd in self.hours if hour in of_day(hours)), self.usd_per_hour)


@dataclass(frozen=True, slots=True)
class HardwareClass:
    """A class of workers: what one slot of it has, and where. None is not said."""

    name: str
    slots: int | None = None
    cpus: float | None = None
    memory_gib: float | None = None
    accelerator: str = ""
    accelerators: int | None = None
    spot: bool = False
    region: str = ""
    reserved: int | None = None
    """How many slots are paid for, busy or not; None for as many as there are."""


def parse(text: str | bytes, source: str) -> tuple[list[HardwareClass], list[Price], bool]:
    """Return the classes, their prices, and whether they are an example.

    Raises:
        BadCatalogue: with every fault at once.
    """
    try:
        root, faults = read(text, source)
    except PlaybookFaults as error:
        raise BadCatalogue(source, error.faults) from None
    top = Part(root, "", root.place, faults)
    classes: list[HardwareClass] = []
    prices: list[Price] = []
    example = False
    if top.is_map("the catalogue"):
        top.keys(("hardware", "example"))
        example = _switch(top.child("example"), "example")
        for row in _rows(top, "hardware", needed=True):
            _class(row, classes, prices)
    if faults:
        raise BadCatalogue(source, faults)
    return classes, prices, example


def _rows(part: Part, name: str, *, needed: bool = False) -> list[Part]:
    found = part.child(name)
    if found is None:
        if needed:
            part.refuse(f"needs a list under '{name}'")
        return []
    return found.elements() if found.is_list(name) else []


def _class(row: Part, classes: list[HardwareClass], prices: list[Price]) -> None:
    if not row.is_map("a class"):
        return
    row.keys(CLASS_KEYS)
    stated = row.child("class")
    if stated is None:
        row.refuse("a class needs its name", "class: cpu-small")
        return
    name = stated.text("class", WORD, CLASS_HINT)
    if name is None:
        return
    if any(name == known.name for known in classes):
        stated.refuse(f"class {name} is here twice")
        return
    slots, reserved = row.child("slots"), row.child("reserved")
    accelerators = row.child("accelerators")
    classes.append(HardwareClass(
        name, None if slots is None or slots.value is None else _slots(slots),
        _amount(row.child("cpus"), "cpus"), _amount(row.child("memory_gib"), "memory_gib"),
        _word(row.child("accelerator"), "accelerator"),
        None if accelerators is None else accelerators.whole("accelerators", 0, 1024),
        _switch(row.child("spot"), "spot"), _word(row.child("region"), "region"),
        None if reserved is None else reserved.whole("reserved", 0, 1_000_000),
    ))  # fmt: skip
    dated = [(part, _price(part, name)) for part in _rows(row, "prices")]
    known = [(part, price) for part, price in dated if price is not None]
    _refuse_overlaps(known)
    prices += [price for _, price in known]


def _slots(part: Part) -> int | None:
    value = part.value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    part.refuse(f"slots is a whole number from 0, not {value!r}")
    return None


def _price(part: Part, name: str) -> Price | None:
    if not part.is_map("a price"):
        return None
    part.keys(PRICE_KEYS)
    missing = [key for key in ("from", "usd_per_hour") if part.child(key) is None]
    if missing:
        part.refuse(f"a price needs {' and '.join(missing)}")
        return None
    usd = _amount(part.child("usd_per_hour"), "usd_per_hour")
    since, until = _day(part.child("from"), "from"), _day(part.child("until"), "until")
    if usd is None or since is None:
        return None
    if until is not None and until <= since:
        part.refuse(f"until {until} is not after from {since}", "until is the day after the last")
        return None
    zone = read_zone(part.child("zone")) or "UTC"
    return Price(name, usd, since, until, tuple(_hours(part.child("hours")).items()), zone)


def _hours(part: Part | None) -> dict[str, float]:
    """Return the prices of hours of the day; no hour has two."""
    if part is None or not part.is_map("hours"):
        return {}
    found: dict[str, float] = {}
    for text, child in part.children().items():
        hours, usd = canonical(text), _amount(child, text)
        if hours is None or hours == ANY:
            child.refuse(f"{text!r} are no hours of the day", HOURS_HINT, at=child.key)
        elif twice := [h for h in found if of_day(h) & of_day(hours)]:
            child.refuse(f"an hour of {hours} has a price in {twice[0]} too", at=child.key)
        elif usd is not None:
            found[hours] = usd
    return found


def _refuse_overlaps(dated: list[tuple[Part, Price]]) -> None:
    """One day has one price: what begins while another holds is a fault."""
    by_day = sorted(dated, key=lambda pair: pair[1].since)
    for (_, first), (part, then) in pairwise(by_day):
        if first.since == then.since or (first.until is not None and then.since < first.until):
            part.refuse(
                f"class {then.hardware} has two prices on {then.since}",
                f"end the one from {first.since} with until: {then.since}",
            )


def _day(part: Part | None, what: str) -> date | None:
    if part is None or part.value is None:
        return None
    try:
        return date.fromisoformat(str(part.value))
    except ValueError:
        part.refuse(f"{what} is no day: {part.value!r}", DAY_HINT)
        return None


def _amount(part: Part | None, what: str) -> float | None:
    value = None if part is None else part.number(what)
    if part is None or value is None:
        return None
    if value < 0 or not math.isfinite(value):
        part.refuse(f"{what} is 0 or more, not {value:g}")
        return None
    return float(value)


def _word(part: Part | None, what: str) -> str:
    return "" if part is None else part.text(what) or ""


def _switch(part: Part | None, what: str) -> bool:
    return False if part is None else bool(part.switch(what))

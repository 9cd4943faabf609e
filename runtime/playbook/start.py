"""Reading ``start``: for which hours of the day a step may wait, and how long at most."""

from __future__ import annotations

from typing import Final

from runtime.playbook import keys
from runtime.playbook.hours import ANY, HOURS_HINT, canonical
from runtime.playbook.model import Start
from runtime.playbook.part import Part
from runtime.playbook.zones import read_zone

DAY_S: Final = 86_400.0
_HABITS: Final = {
    "window": "hours", "max": "at_most", "within": "at_most", "timezone": "zone",
    "jitter": "spread",
}  # fmt: skip


def read_start(part: Part | None) -> Start | None:
    """Return when a step may begin: ``start: {hours: 22-6, at_most: 12h, spread: 30m}``."""
    if part is None or not part.is_map("start", "write {hours: 22-6, at_most: 12h}"):
        return None
    part.keys(keys.START, habits=_HABITS)
    hours, most, named, spread = (part.child(name) for name in keys.START)
    if most is None:
        part.refuse("start says how long the step may wait", "add at_most: 12h")
    found = read_hours(hours) if hours is not None else None
    at_most_s = most.duration("at_most") if most is not None else None
    if at_most_s is not None and at_most_s > DAY_S and most is not None:
        most.refuse("every window opens within a day", "write at_most: 24h or less")
    spread_s = spread.duration("spread") if spread is not None else None
    return Start(found or ANY, at_most_s or DAY_S, read_zone(named) or "UTC", spread_s or 0.0)


def read_hours(part: Part) -> str | None:
    """Return hours of the day as they are compared."""
    text = part.text("hours", hint=HOURS_HINT)
    found = canonical(text) if text is not None else None
    if text is not None and found is None:
        part.refuse(f"{text!r} are no hours of the day", HOURS_HINT)
    return found

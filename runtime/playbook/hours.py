"""Hours of the day in which a step may begin: ``22-6``, or ``any`` of them.

A window is from one full hour to another on the clock of a place, and may go over midnight.
A day on which that clock is changed has an hour more or less; an hour that it does not have
opens no window.

>>> from datetime import UTC
>>> canonical("22:00-06:00"), canonical("20-0"), canonical("7-7")
('22-6', '20-24', None)
>>> opens("22-6", 13 * 3600.0, UTC) / 3600, opens("22-6", 23 * 3600.0, UTC) / 3600
(22.0, 23.0)
"""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from hashlib import sha256
from typing import Final

ANY: Final = "any"
"""A step with these hours begins at once."""
HOURS_HINT: Final = "write two full hours, such as 22-6, or any"
_WINDOW: Final = re.compile(r"(\d{1,2})(?::00)?-(\d{1,2})(?::00)?")
_MOST_HOURS: Final = 24 * 9
"""A window of every day is open sooner than that, whatever is done to the clock."""


def canonical(text: str) -> str | None:
    """Return hours as they are compared, ``22-6``, or None when the text is none."""
    if text == ANY:
        return ANY
    found = _WINDOW.fullmatch(text)
    if found is None:
        return None
    first, last = int(found[1]), int(found[2]) or 24
    if first > 23 or last > 24 or first == last % 24:
        return None
    return f"{first}-{last}"


def windows(hours: int) -> tuple[str, ...]:
    """Return the windows of so many hours that a day is made of.

    >>> windows(8)
    ('0-8', '8-16', '16-24')
    """
    return tuple(f"{first}-{first + hours}" for first in range(0, 24, hours))


def of_day(hours: str) -> frozenset[int]:
    """Return the hours of the day that a window has.

    >>> sorted(of_day("22-2"))
    [0, 1, 22, 23]
    """
    if hours == ANY:
        return frozenset(range(24))
    first, last = (int(end) for end in hours.split("-"))
    return frozenset(hour % 24 for hour in range(first, last if last > first else last + 24))


def after_midnight(hours: str) -> frozenset[int]:
    """Return the hours of a window over midnight that belong to the evening before.

    >>> sorted(after_midnight("22-2")), sorted(after_midnight("20-24"))
    ([0, 1], [])
    """
    if hours == ANY:
        return frozenset()
    first, last = (int(end) for end in hours.split("-"))
    return frozenset(range(last) if last < first else ())


def day_of(at: float, zone: tzinfo, late: frozenset[int] = frozenset()) -> int:
    """Return the number of a time's day on the clock of a place.

    The hours ``late`` (after midnight) belong to the day before: a night is one day.

    >>> from datetime import UTC
    >>> [day_of(hour * 3600.0, UTC, after_midnight("22-6")) for hour in (23, 24 + 5, 24 + 7)]
    [719163, 719163, 719164]
    """
    local = datetime.fromtimestamp(at, zone)
    return local.toordinal() - (local.hour in late)


def opens(hours: str, at: float, zone: tzinfo) -> float:
    """Return the first time from ``at`` on (seconds since the epoch) within these hours."""
    return _first(of_day(hours), at, zone)


def closes(hours: str, at: float, zone: tzinfo) -> float:
    """Return the first time from ``at`` on (seconds since the epoch) outside of these hours.

    >>> from datetime import UTC
    >>> closes("22-6", 23 * 3600.0, UTC) / 3600
    30.0
    """
    return _first(of_day(ANY) - of_day(hours), at, zone)


def moment(run: str, step: str) -> float:
    """Return where in a spread a run's step begins, from 0 up to 1: always the same.

    >>> moment("r1", "train") == moment("r1", "train") != moment("r2", "train")
    True
    """
    return int.from_bytes(sha256(f"{run}|{step}".encode()).digest()[:8]) / 2.0**64


def _first(wanted: frozenset[int], at: float, zone: tzinfo) -> float:
    when = at
    for _ in range(_MOST_HOURS):
        local = datetime.fromtimestamp(when, zone)
        if local.hour in wanted:
            return when
        when += 3600.0 - local.minute * 60 - local.second - local.microsecond / 1e6
        when = float(round(when))
    return at

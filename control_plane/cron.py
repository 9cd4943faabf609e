"""When a schedule is due: cron text in a time zone, as cron itself means it.

Text is read by cronsim, because APScheduler's own reading differs from cron on weekdays,
on "day of month or day of week" and in the hour that daylight saving skips. Pure: the
time comes in, times go out.

>>> cron = Cron("30 6 * * 1", "UTC")
>>> cron.text
'At 06:30 AM, only on Monday'
>>> cron.after(0.0, 2)
[369000.0, 973800.0]
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice, takewhile

from cronsim import CronSim, CronSimError

from runtime.playbook.zones import meant, zone_of

LOOK_BACK_S = 366 * 86_400.0
"""How far back a missed time is looked for."""


class CronFault(Exception):
    """Cron text or a time zone that cannot be read."""


class Cron:
    """A cron text in a time zone."""

    def __init__(self, expression: str, zone: str = "UTC") -> None:
        self.expression, self.zone = expression, zone
        found = zone_of(zone)
        if found is None:
            raise CronFault(f"there is no time zone {zone!r}: {meant(zone)}")
        self._zone = found
        if len(expression.split()) != 5:
            raise CronFault(f"cron text {expression!r} has not five fields")
        try:
            CronSim(expression, datetime.fromtimestamp(0, self._zone))
        except CronSimError as fault:
            raise CronFault(f"cron text {expression!r}: {fault}") from None

    @property
    def text(self) -> str:
        """The times in words."""
        from cron_descriptor import get_description

        return str(get_description(self.expression))

    def times(self, after: float) -> Iterator[float]:
        """Yield the times after this one; ends where none follows within fifty years."""
        try:
            for due in CronSim(self.expression, datetime.fromtimestamp(after, self._zone)):
                yield due.timestamp()
        except CronSimError:
            return

    def after(self, at: float, count: int = 5) -> list[float]:
        """Return the next times after ``at``, at most ``count``."""
        return list(islice(self.times(at), count))

    def before(self, now: float) -> Iterator[float]:
        """Yield the times that are not after ``now``, the latest first, a year back at most."""
        start = datetime.fromtimestamp(int(now) + 1, self._zone)
        for due in CronSim(self.expression, start, reverse=True):
            at = float(due.timestamp())
            if now - at > LOOK_BACK_S:
                return
            yield at

    def latest(self, now: float) -> float | None:
        """Return the last time that is not after ``now``, or None within the last year."""
        return next(self.before(now), None)

    def missed(self, since: float, now: float, limit: int) -> list[float]:
        """Return the last ``limit`` times in ``(since, now]``, the oldest first."""
        found = takewhile(lambda at: at > since, self.before(now))
        return list(islice(found, limit))[::-1]

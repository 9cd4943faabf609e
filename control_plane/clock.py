"""The one place of the control plane that asks what time it is.

Everything that decides takes a ``Clock``; the process that joins the parts hands in
`wall`. Times are seconds since the epoch inside and in the API, and text only where a
person reads them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Returns seconds since the epoch."""


def wall() -> float:
    """Return the time of this machine's clock."""
    return time.time()


def iso(at: float) -> str:
    """Return a time as ISO 8601 text in UTC, to the second.

    >>> iso(0)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> float:
    """Return a day or a time, in UTC where it has no zone, as seconds since the epoch.

    >>> moment("1970-01-02"), moment("1970-01-01T01:00"), moment("1970-01-01T01:00+01:00")
    (86400.0, 3600.0, 0.0)

    Raises:
        ValueError: it is none.
    """
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is no day or time such as 2026-11-27 or 2026-11-27T14:30"
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def local(at: float | None) -> str:
    """Return a time in this machine's zone, short, for a table; empty for None."""
    if at is None:
        return ""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def span(seconds: float | None) -> str:
    """Return a length of time as a person says it; empty for None.

    >>> span(0.0123), span(4.25), span(75), span(7325)
    ('12 ms', '4.2 s', '1m15s', '2h02m')
    """
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"
    return f"{int(seconds // 3600)}h{int(seconds % 3600 // 60):02d}m"

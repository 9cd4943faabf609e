"""What a setting may be: each rule says what it wants instead of a value, or nothing.

>>> within(1, 1024)(0), within(1, 1024)(8)
('1 to 1024', '')
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from runtime.data.place import SCHEMES

May: TypeAlias = Callable[[Any], str]
"""Says what a setting wants instead of this value; nothing when it is well."""


def anything(_: Any) -> str:
    """Allow every value."""
    return ""


def within(low: float, high: float = math.inf) -> May:
    """Allow finite numbers between two bounds, both included."""
    told = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
    return lambda value: "" if low <= value <= high and math.isfinite(value) else told


def one_of(*words: str) -> May:
    """Allow these words."""
    return lambda value: "" if value in words else " or ".join(words)


def policy(value: Any) -> str:
    """Allow a guardrail policy that ships, or the path of one."""
    known = value in ("production", "demo") or Path(value).is_file()
    return "" if known else "production, demo or the path of a policy file"


def cron_text(value: Any) -> str:
    """Allow cron text, or nothing for never."""
    from control_plane.cron import Cron, CronFault

    try:
        Cron(str(value))
    except CronFault as fault:
        return f"cron text or nothing ({fault})" if value else ""
    return ""


def object_store(value: Any) -> str:
    """Allow a URL of an object store, or nothing."""
    scheme, _, rest = str(value).partition("://")
    known = not value or (scheme in SCHEMES and rest)
    return "" if known else f"a URL that begins with {', '.join(f'{s}://' for s in SCHEMES)}"


def http_address(value: Any) -> str:
    """Allow an HTTP address, or nothing."""
    known = not value or str(value).startswith(("http://", "https://"))
    return "" if known else "a URL that begins with http:// or https://, or nothing"


def time_zone(value: Any) -> str:
    """Allow the name of a time zone."""
    from control_plane.cron import Cron, CronFault

    try:
        Cron("0 0 * * *", str(value))
    except CronFault as fault:
        return f"a time zone, such as Europe/Berlin ({fault})"
    return ""

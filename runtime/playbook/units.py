"""Durations, shares and sizes as people write them: ``250ms 1h30m 2d``, ``99.5%``, ``512MB``.

>>> duration_s("1h30m"), duration_s("250ms"), share("1%"), size_bytes("1.5GB")
(5400.0, 0.25, 0.01, 1610612736)
"""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION: Final = re.compile(
    r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?"
)
_SHARE: Final = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)\s?%")
_SIZES: Final = {"kB": 1 << 10, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_SIZE: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s?(kB|KB|MB|GB|TB)")

DURATION_HINT: Final = "write it like 250ms, 30s, 5m, 1h30m or 2d"
SHARE_HINT: Final = "write it like 1% or 99.5%"
SIZE_HINT: Final = "write it like 64MB, 512MB or 2GB"


def duration_s(text: str) -> float | None:
    """Return the seconds of a duration, or None when the text is none."""
    found = _DURATION.fullmatch(text) if len(text) < 40 else None
    if found is None:
        return None
    parts = zip(found.groups(), _UNITS.values(), strict=True)
    return sum(float(number) * unit for number, unit in parts if number)


def share(text: str) -> float | None:
    """Return the share between 0 and 1 of a percentage, or None when the text is none."""
    found = _SHARE.fullmatch(text)
    value = float(found[1]) if found else 101.0
    return round(value / 100, 12) if value <= 100 else None


def size_bytes(text: str) -> int | None:
    """Return the bytes of a size (a kB is 1,024 bytes), or None when the text is none."""
    found = _SIZE.fullmatch(text)
    return int(float(found[1]) * _SIZES[found[2]]) if found else None

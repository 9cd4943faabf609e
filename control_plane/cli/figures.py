"""Figures in a terminal: dollars, days, bars and sparklines.

>>> dollars(0.00042), dollars(12.3456), bar(3, 4, 8), spark([1, None, 2, 4])
('$0.00042', '$12.35', '██████', '▁ ▃█')
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from control_plane.web.words import money

LEVELS: Final = "▁▂▃▄▅▆▇█"
WIDTH: Final = 24


def dollars(value: float | None) -> str:
    """Say dollars, with as many places as it takes to see two figures."""
    return "" if value is None else money(value)


def day_of(at: float) -> str:
    """Say a day (UTC)."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def bar(value: float | None, most: float, width: int = WIDTH) -> str:
    """Draw a value as a bar of which the longest is ``most``."""
    if not value or most <= 0:
        return ""
    eighths = max(1, round(value / most * width * 8))
    rest = "" if eighths % 8 == 0 else "▏▎▍▌▋▊▉"[eighths % 8 - 1]
    return "█" * (eighths // 8) + rest


def spark(values: Sequence[float | None]) -> str:
    """Draw a series in one line, from its least to its most; nothing where there is no value."""
    known = [v for v in values if v is not None]
    if not known:
        return ""
    least, most = min(known), max(known)
    return "".join(" " if v is None else _level(v, least, most) for v in values)


def _level(value: float, least: float, most: float) -> str:
    if most == least:
        return LEVELS[len(LEVELS) // 2]
    return LEVELS[min(len(LEVELS) - 1, int((value - least) / (most - least) * len(LEVELS)))]

"""The interval figure: what was predicted, and what was measured, on one scale of change.

A vertical line marks no change, to the left is less (of cost or time), to the right more.
Predicted is a hollow bar with its median, measured a solid one with a diamond: different
shapes, so that the two are told apart without colour. Its numbers stand in words beside
it and in its description.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from control_plane.web.dossier import Range
from control_plane.web.svg import label, tag
from control_plane.web.words import change, percent

WIDE: Final = 640.0
LEFT: Final = 150.0
ROW: Final = 34.0
TOP: Final = 8.0


@dataclass(frozen=True, slots=True)
class Band:
    """One line of the figure."""

    name: str
    range: Range
    measured: bool = False


def intervals(bands: Sequence[Band]) -> str:
    """Return the figure; every band is named, drawn and said in its description."""
    low, high = _scale([b.range for b in bands])
    bottom = TOP + ROW * len(bands)
    parts = [_grid(low, high, bottom)]
    parts += [_band(band, TOP + ROW * (i + 0.5), low, high) for i, band in enumerate(bands)]
    about = {
        "class": "intervals", "viewBox": f"0 0 {WIDE:g} {bottom + 26:g}", "role": "img",
        "aria-label": "; ".join(_says(band) for band in bands),
    }  # fmt: skip
    return tag("svg", about, *parts)


def _says(band: Band) -> str:
    r = band.range
    interval = f"90% interval from {change(r.lower)} to {change(r.upper)}"
    return f"{band.name}: {change(r.median)}, {interval}"


def _scale(ranges: Sequence[Range]) -> tuple[float, float]:
    low = min([0.0, *(r.lower for r in ranges)])
    high = max([0.0, *(r.upper for r in ranges)])
    room = max(high - low, 0.1) * 0.12
    return low - room, high + room


def _x(value: float, low: float, high: float) -> float:
    return LEFT + (value - low) / (high - low) * (WIDE - LEFT - 20)


def _grid(low: float, high: float, bottom: float) -> str:
    parts = []
    for mark in _marks(low, high):
        x = _x(mark, low, high)
        kind = "zero" if mark == 0 else "mark"
        parts.append(tag("line", {"class": kind, "x1": x, "x2": x, "y1": TOP, "y2": bottom}))
        said = "no change" if mark == 0 else percent(mark)
        parts.append(label(said, x, bottom + 17, "scale"))
    return "".join(parts)


def _marks(low: float, high: float) -> list[float]:
    """Return round marks, zero among them, at least four where there is room."""
    steps = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
    step = next((s for s in steps if (high - low) / s >= 3.5), 0.01)
    return [round(i * step, 4) for i in range(int(low / step), int(high / step) + 1)]


def _band(band: Band, y: float, low: float, high: float) -> str:
    r = band.range
    left, right, mid = (_x(v, low, high) for v in (r.lower, r.upper, r.median))
    kind = "measured" if band.measured else "predicted"
    tall = 8.0 if band.measured else 16.0
    bar = {"x": left, "y": y - tall / 2, "width": max(right - left, 2.0), "height": tall, "rx": 3}
    parts = [
        label(band.name, LEFT - 14, y + 4, "band", "end"),
        tag("rect", {**bar, "class": kind}),
    ]
    if band.measured:
        diamond = f"M{mid:.1f} {y - 8:.1f}l8 8l-8 8l-8 -8z"
        parts.append(tag("path", {"class": "middle", "d": diamond}))
    else:
        line = {"x1": mid, "x2": mid, "y1": y - 12, "y2": y + 12, "class": "middle"}
        parts.append(tag("line", line))
    return "".join(parts)

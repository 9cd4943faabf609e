"""The pictures of the optimizer's results: SVG that is read in light and in dark."""

# ruff: noqa: E501 the elements of a picture are read by the line

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final, TypeAlias

from bench.optimizer_targets import OURS

Row: TypeAlias = Mapping[str, Any]

STYLE: Final = """<style>
text { font: 12px system-ui, sans-serif; fill: #57606a }
.ours { fill: #0969da; stroke: #0969da } .other { fill: #8c959f; stroke: #8c959f }
.best { fill: #bc4c00; stroke: #bc4c00 } .grid { stroke: #d0d7de } .line { fill: none; stroke-width: 2 }
text.ours { stroke: none; font-weight: 600 } text.best, text.other { stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #9198a1 } .ours { fill: #4493f8; stroke: #4493f8 } .other { fill: #656c76; stroke: #656c76 }
  .best { fill: #f0883e; stroke: #f0883e } .grid { stroke: #3d444d } .line { fill: none }
}
</style>"""
LEFT: Final = 340
WIDTH: Final = 860
RIGHT: Final = WIDTH - 30
STEP: Final = 22
LEAST, MOST = 1.0, 1000.0
"""Ends of the scale of net regret, in percent; what is beyond stands at the end."""


def regret(rows: Sequence[Row]) -> str:
    """Return the net regret of each method: a line a data set and objective, a dot a method."""
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in whole(rows):
        lines.setdefault((row["dataset"], row["objective"]), []).append(row)
    height = 62 + STEP * len(lines)
    return _svg(height, "Net regret over 50 runs by method", [
        *_legend(), *_axis(height), *(
            part for place, (name, found) in enumerate(lines.items())
            for part in _dots(50 + STEP * place, name, found)
        ),
    ])  # fmt: skip


def whole(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that are about as many workloads as ours: what is unfinished misleads."""
    tasks = {(r["dataset"], r["objective"]): r["tasks"] for r in rows if r["method"] == OURS}
    return [r for r in rows if r["tasks"] == tasks.get((r["dataset"], r["objective"]))]


def _legend() -> Iterator[str]:
    words = (("ours", "trimtab"), ("best", "best of the others"), ("other", "others"))
    for place, (name, text) in enumerate(words):
        x = LEFT + 150 * place
        yield f'<circle class="{name}" cx="{x}" cy="12" r="5"/>'
        yield f'<text x="{x + 10}" y="16">{text}</text>'


def _axis(height: int) -> Iterator[str]:
    for value in (1, 3, 10, 30, 100, 300, 1000):
        x = _x(value)
        yield f'<line class="grid" x1="{x:.0f}" y1="30" x2="{x:.0f}" y2="{height - 24}"/>'
        yield f'<text x="{x:.0f}" y="{height - 8}" text-anchor="middle">{value}%</text>'


def _dots(y: int, name: tuple[str, str], rows: Sequence[Row]) -> Iterator[str]:
    yield f'<text x="{LEFT - 14}" y="{y + 4}" text-anchor="end">{escape(f"{name[0]} {name[1]}")}</text>'
    others = sorted((r for r in rows if r["method"] != OURS), key=lambda r: -r["net_regret"])
    for row in [*others, *(r for r in rows if r["method"] == OURS)]:
        best = bool(others) and row is others[-1]
        kind = "ours" if row["method"] == OURS else "best" if best else "other"
        size = 6 if kind == "ours" else 4
        said = escape(f"{row['method']}: {row['net_regret']:.1f}%")
        yield f'<circle class="{kind}" cx="{_x(row["net_regret"]):.1f}" cy="{y}" r="{size}"><title>{said}</title></circle>'


def _x(value: float) -> float:
    share = math.log(min(max(value, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (RIGHT - LEFT)


AFTER: Final = (1, 3, 6, 12)


def within(rows: Sequence[Row]) -> str:
    """Return the share of searches within 5% of the best, by trials, on average over all lines."""
    means: dict[str, list[float]] = {}
    lines: dict[str, int] = {}
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in whole(rows) if row["method"] == method]
        if not mine:
            continue
        lines[method] = len(mine)
        means[method] = [sum(r[f"s{k}"] for r in mine) / len(mine) for k in AFTER]
    parts = [*_frame()]
    ranked = sorted(means, key=lambda m: means[m][-1])
    best = max((m for m in means if m != OURS), key=lambda m: sum(means[m]), default="")
    label = 400.0
    for method in ranked:
        kind = "ours" if method == OURS else "best" if method == best else "other"
        points = [(_at(k), _up(v)) for k, v in zip(AFTER, means[method], strict=True)]
        label = min(label - 15, points[-1][1] + 4)
        parts.append(_line(kind, points))
        parts.append(
            f'<text class="{kind}" x="{_at(12) + 10:.0f}" y="{label:.0f}">{escape(method)} ({lines[method]})</text>'
        )
    return _svg(360, "Share of searches within 5% of the best", parts)


def _frame() -> Iterator[str]:
    for share in (0, 25, 50, 75, 100):
        y = _up(share)
        yield f'<line class="grid" x1="60" y1="{y:.0f}" x2="{_at(12):.0f}" y2="{y:.0f}"/>'
        yield f'<text x="50" y="{y + 4:.0f}" text-anchor="end">{share}%</text>'
    for k in AFTER:
        yield f'<text x="{_at(k):.0f}" y="345" text-anchor="middle">{k}</text>'
    yield '<text x="60" y="18">within 5% of the best, by trials; mean over (n) data sets and objectives</text>'


def _line(kind: str, points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="line {kind}" style="fill:none" points="{path}"/>'


def _at(trials: int) -> float:
    return 60 + 580 * math.log(trials) / math.log(12)


def _up(share: float) -> float:
    return 325 - 2.85 * share


def _svg(height: int, title: str, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
    return "\n".join([head, f"<title>{escape(title)}</title>", STYLE, *parts, "</svg>\n"])

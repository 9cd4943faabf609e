"""Trends as charts: the figures of a `Trend` put in the form that ECharts draws.

One chart per line with p50, p95 and p99, and one of cost with all lines. Series differ by
dash as well as colour; colours and number formats belong to ``static/pages.js``, which
knows whether the page is light or dark. What changed meanwhile is marked on the time axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from control_plane.trend_changes import Change, Mark
from control_plane.web import words
from control_plane.web.port import Trend, TrendPoint
from runtime.run.events import Json

SEPARATOR: Final = " › "
MOST_LINES: Final = 5
MOST_PRICED: Final = 6
PERCENTILES: Final = (("p50", "solid"), ("p95", "dashed"), ("p99", "dotted"))
DASHES: Final = ("solid", "dashed", "dotted", "solid", "dashed", "dotted")


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: its title, what ECharts is told, and the same in a sentence."""

    title: str
    option: dict[str, Json]
    unit: str
    says: str


def charts(trend: Trend) -> list[Chart]:
    """Return a latency chart per line, the busiest first, and one chart of cost."""
    lines = busiest(trend.points)
    drawn = [_latency(name, lines[name], trend) for name in list(lines)[:MOST_LINES]]
    priced = {n: p for n, p in lines.items() if any(one.cost_usd is not None for one in p)}
    return [*drawn, _cost(priced, trend)] if priced else drawn


def busiest(points: Sequence[TrendPoint]) -> dict[str, list[TrendPoint]]:
    """Return the points by line, lines with most time spent first."""
    lines: dict[str, list[TrendPoint]] = {}
    for point in points:
        lines.setdefault(point.line, []).append(point)
    weight = {name: sum(p.p50_s * p.attempts for p in of) for name, of in lines.items()}
    return {
        name: sorted(lines[name], key=lambda p: p.at)
        for name in sorted(lines, key=lambda n: (-weight[n], n))
    }


def window(trend: Trend) -> list[int]:
    """Return the time that all charts show, in milliseconds: what holds points, and a margin."""
    times = [p.at for p in trend.points]
    margin = max(trend.bucket_s, (max(times) - min(times)) * 0.04)
    return [round((min(times) - margin) * 1000), round((max(times) + margin) * 1000)]


def _latency(name: str, points: list[TrendPoint], trend: Trend) -> Chart:
    values = {"p50": [p.p50_s for p in points], "p95": [p.p95_s for p in points],
              "p99": [p.p99_s for p in points]}  # fmt: skip
    series = [_series(p, dash, points, values[p]) for p, dash in PERCENTILES]
    moved = [change for change in trend.changes if change.line == name]
    marks = [mark for mark in trend.marks if concerns(mark, name)]
    if marks or moved:
        series[0]["markLine"] = _marks(marks, moved)
    last = points[-1]
    said = (
        f"Latency of {name}. Latest: p50 {words.seconds(last.p50_s)}, "
        f"p95 {words.seconds(last.p95_s)}, p99 {words.seconds(last.p99_s)}."
        + "".join(f" {words.moved(c.factor)} since {words.clock_time(c.since)}." for c in moved)
    )
    option = {"series": series, "window": window(trend)}
    return Chart(f"Latency of {name}", option, "s", said)


def concerns(mark: Mark, line: str) -> bool:
    """Whether what was changed can have moved a line: it is of its playbook, and of its step.

    >>> batch = Mark(0.0, "etl/load", "clean", "configuration", "each.batch 64")
    >>> [
    ...     concerns(batch, line)
    ...     for line in ("etl/load › clean, batch 64", "etl/load › a", "etl/load")
    ... ]
    [True, False, True]
    """
    playbook, _, rest = line.partition(SEPARATOR)
    step = rest.partition(",")[0].partition(SEPARATOR)[0]
    return playbook == mark.playbook and (not mark.step or not step or step == mark.step)


def _cost(lines: dict[str, list[TrendPoint]], trend: Trend) -> Chart:
    shared = shared_start(list(lines))
    series = [
        _series(name.removeprefix(shared), DASHES[i], points, [p.cost_usd for p in points])
        for i, (name, points) in enumerate(list(lines.items())[:MOST_PRICED])
    ]
    if trend.marks and series:
        series[0]["markLine"] = _marks(trend.marks)
    total = sum(p.cost_usd or 0.0 for points in lines.values() for p in points)
    bucket = words.seconds(trend.bucket_s)
    return Chart(
        f"Cost per {bucket}", {"series": series, "window": window(trend)}, "usd",
        f"Cost per {bucket}; {words.money(total)} in all.",
    )  # fmt: skip


def shared_start(names: Sequence[str]) -> str:
    """Return the playbook that all lines begin with, so that a legend need not repeat it.

    >>> shared_start(["etl/load › a", "etl/load › b"]), shared_start(["etl/load › a", "x › a"])
    ('etl/load › ', '')
    """
    starts = {name[: name.find(SEPARATOR) + len(SEPARATOR)] for name in names if SEPARATOR in name}
    return starts.pop() if len(starts) == 1 and all(SEPARATOR in n for n in names) else ""


def _series(
    name: str, dash: str, points: Sequence[TrendPoint], values: Sequence[float | None]
) -> dict[str, Json]:
    data = [[round(p.at * 1000), v] for p, v in zip(points, values, strict=True)]
    alone = len(points) < 40
    return {
        "type": "line", "name": name, "data": data, "showSymbol": alone,
        "symbolSize": 6, "lineStyle": {"type": dash, "width": 2},
    }  # fmt: skip


def _marks(marks: Sequence[Mark], changes: Sequence[Change] = ()) -> dict[str, Json]:
    """Lines on the time axis: solid where something was changed, dashed where a level began."""
    return {
        "symbol": "none", "lineStyle": {"type": "solid", "width": 1},
        "data": [
            *({"xAxis": round(m.at * 1000), "name": m.what} for m in marks),
            *({"xAxis": round(c.since * 1000), "name": words.moved(c.factor),
               "lineStyle": {"type": "dashed", "width": 2},
               "label": {"position": "insideStartBottom"}} for c in changes),
        ],
        "label": {"formatter": "{b}", "position": "insideEndTop"},
    }  # fmt: skip

"""What a chart of a trend marks: where lines went over to another level, and what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from control_plane.trend_changes import Change, Mark, changes_in
from control_plane.web.charts import MOST_LINES, SEPARATOR, busiest
from control_plane.web.port import TrendPoint
from optimizer.changes import Sensitivity

FEW: Final = Sensitivity(deviations=6.0, usual=12)
"""A chart has some dozens of points: fewer say what is usual, so more must speak for a change."""
MEASURE: Final = "total_p50_s"
FIRST: Final = "version 1"
"""A first version is after nothing: there is no level before it."""


def levels(points: Sequence[TrendPoint], bucket_s: int, marks: Sequence[Mark]) -> list[Change]:
    """Return the changes of the lines that are drawn, the latest first."""
    drawn = list(busiest(points))[:MOST_LINES]
    rows = [{"line": p.line, "bucket": p.at, MEASURE: p.p50_s} for p in points if p.line in drawn]
    return changes_in(rows, MEASURE, bucket_s, marks, FEW)[::-1]


def shown(
    marks: Sequence[Mark], points: Sequence[TrendPoint], step: str, since: float
) -> list[Mark]:
    """Return the marks that concern what is drawn, the earliest first."""
    playbooks = {p.line.partition(SEPARATOR)[0] for p in points}
    return sorted(
        (
            m for m in marks
            if m.at >= since and m.playbook in playbooks and m.what != FIRST
            and (not m.step or step in ("", m.step))
        ),
        key=lambda m: m.at,
    )  # fmt: skip

"""Changes in trends: when a step became slower, faster or dearer, and what came just before.

Pure: rows of ``trend_measures`` and what was changed when go in, `Change` values come out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from optimizer.changes import Sensitivity, regimes, slots_of_day
from runtime.run.events import Recorded, TrendShifted

LOOK_BACK: Final = 12
"""A cause is at most so many buckets before the level that began with it."""
USUAL: Final = Sensitivity()
WORTH: Final = 0.10
"""A step is slower or faster than usual from a tenth on."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that was changed: a version that entered, or an overlay that was set."""

    at: float
    playbook: str
    step: str
    kind: Literal["version", "configuration"]
    what: str
    page: str = ""
    """Where it is shown: the version of the playbook, or the proposal that set the values."""


@dataclass(frozen=True, slots=True)
class Change:
    """A new level of one line. ``cause`` is what was changed just before, if anything was.

    ``cause_page`` is the page that shows it: a version of the playbook, or a proposal.
    """

    line: str
    measure: str
    since: float
    found_at: float
    before: float
    after: float
    factor: float
    cause: str = ""
    cause_kind: str = ""
    caused_at: float | None = None
    cause_page: str = ""


def changes_in(
    rows: Iterable[Mapping[str, Any]], measure: str, bucket_s: int, marks: Sequence[Mark] = (),
    asked: Sensitivity = USUAL,
) -> list[Change]:  # fmt: skip
    """Return the changes of every line, in order of time."""
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        value = row[measure]
        if value is not None and value > 0:
            lines.setdefault(row["line"], []).append((float(row["bucket"]), float(value)))
    found = [c for line, points in lines.items()
             for c in _of_line(line, sorted(points), measure, bucket_s, marks, asked)]  # fmt: skip
    return sorted(found, key=lambda c: (c.since, c.line))


def _of_line(
    line: str, points: Sequence[tuple[float, float]], measure: str, bucket_s: int,
    marks: Sequence[Mark], asked: Sensitivity,
) -> list[Change]:  # fmt: skip
    times = [at for at, _ in points]
    found = regimes(
        np.array([value for _, value in points]), slots_of_day(times, bucket_s), asked
    )  # fmt: skip
    changes = []
    for before, after in itertools.pairwise(found):
        since = times[after.start]
        cause = _cause(line, since, times[after.start - 1], bucket_s, marks)
        changes.append(Change(
            line, measure, since, times[after.found] + bucket_s, before.level, after.level,
            after.factor, cause.what if cause else "", cause.kind if cause else "",
            cause.at if cause else None, cause.page if cause else "",
        ))  # fmt: skip
    return changes


def _cause(
    line: str, since: float, last: float, bucket_s: int, marks: Sequence[Mark]
) -> Mark | None:
    """Return the latest change of the line's playbook that can have begun this level."""
    earliest = min(since - LOOK_BACK * bucket_s, last)
    near = [
        m for m in marks
        if earliest <= m.at < since + bucket_s
        and (line == m.playbook or line.startswith(f"{m.playbook} › "))
        and (not m.step or line == m.playbook or line.split(" › ")[1].partition(",")[0] == m.step)
    ]  # fmt: skip
    return max(near, key=lambda m: m.at, default=None)


def shifts(
    changes: Sequence[Change], said: Sequence[Recorded], bucket_s: int
) -> list[TrendShifted]:
    """Return what is to be said of one line's changes and was not yet.

    Once per regime, and with hysteresis: a level is news when it lies `WORTH` away from the
    last one that was told, or that was usual before anything was.
    """
    told = [r.event for r in said if isinstance(r.event, TrendShifted)]
    news: list[TrendShifted] = []
    for change in changes:
        playbook, _, step = change.line.partition(" › ")
        mine = [e for e in (*told, *news) if (e.step, e.measure) == (step, change.measure)]
        last = mine[-1] if mine else None
        if last is not None and change.since <= last.since + LOOK_BACK // 2 * bucket_s:
            continue
        usual = last.after if last is not None else change.before
        if abs(np.log(change.after / usual)) < np.log1p(WORTH):
            continue
        news.append(TrendShifted(
            playbook, step, change.measure, change.since, change.before, change.after,
            change.factor, change.after > usual, change.cause,
        ))  # fmt: skip
    return news

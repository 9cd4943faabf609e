"""A change of a trend names what came just before it, and is told once per regime."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from control_plane.trend_changes import Change, Mark, changes_in, shifts
from runtime.run.events import Recorded, TrendShifted

HOUR = 3600


def rows(line: str, levels: list[tuple[int, float]], seed: int = 5) -> list[dict[str, Any]]:
    noise = np.random.default_rng(seed)
    values = [level * np.exp(0.03 * noise.normal()) for n, level in levels for _ in range(n)]
    return [{"line": line, "bucket": i * HOUR, "total_p50_s": v} for i, v in enumerate(values)]


def mark(hour: float, step: str, what: str, playbook: str = "etl/load") -> Mark:
    kind: Literal["configuration", "version"] = "configuration" if step else "version"
    return Mark(hour * HOUR, playbook, step, kind, what, f"/page/of/{what}")


def test_a_change_names_the_configuration_or_version_that_came_just_before() -> None:
    seen = rows("etl/load › clean", [(48, 1.0), (24, 1.5), (24, 1.0)])
    marks = [
        mark(20, "clean", "long before"), mark(47.5, "clean", "each.batch 64"),
        mark(47.8, "other", "another step"), mark(47.9, "", "another playbook", "etl/loads"),
        mark(71.2, "", "version 3"), mark(74, "clean", "after it began"),
    ]  # fmt: skip
    slower, faster = changes_in(seen, "total_p50_s", HOUR, marks)
    assert (slower.since, slower.cause, slower.cause_kind) == (
        48 * HOUR,
        "each.batch 64",
        "configuration",
    )
    assert (faster.since, faster.cause, faster.cause_kind) == (72 * HOUR, "version 3", "version")
    assert slower.cause_page == "/page/of/each.batch 64"
    assert slower.factor > 1.4
    assert slower.found_at <= 54 * HOUR


def test_each_line_has_changes_of_its_own_and_holes_are_no_change() -> None:
    seen = rows("a › x", [(48, 1.0), (24, 2.0)]) + rows("b › y", [(72, 1.0)], seed=6)
    seen = [row for i, row in enumerate(seen) if i % 7] + [
        {"line": "a › x", "bucket": 5, "total_p50_s": None}
    ]
    assert [c.line for c in changes_in(seen, "total_p50_s", HOUR)] == ["a › x"]


def change(hour: float, before: float, after: float) -> Change:
    return Change(
        "p › s", "total_p50_s", hour * HOUR, (hour + 4) * HOUR, before, after, after / before
    )


def said(events: list[TrendShifted]) -> list[Recorded]:
    return [Recorded(1, i, "trend/p", i, 0.0, e) for i, e in enumerate(events, 1)]


def test_a_regime_is_told_once_however_often_it_is_looked_at() -> None:
    first = shifts([change(48, 1.0, 1.5)], [], HOUR)
    assert [(e.playbook, e.step, e.slower) for e in first] == [("p", "s", True)]
    assert shifts([change(48, 1.0, 1.5)], said(first), HOUR) == []
    moved = change(50, 1.0, 1.5)  # the same, placed a little otherwise as the window slides
    assert shifts([moved], said(first), HOUR) == []
    back = shifts([moved, change(90, 1.5, 1.0)], said(first), HOUR)
    assert [(e.slower, e.before) for e in back] == [(False, 1.5)]


def test_small_moves_are_not_told_until_they_add_up() -> None:
    steps = [change(48, 1.00, 1.06), change(72, 1.06, 1.12), change(96, 1.12, 1.02)]
    assert shifts(steps[:1], [], HOUR) == []
    told = shifts([change(30, 1.0, 1.2), change(48, 1.2, 1.15), change(72, 1.15, 1.24)], [], HOUR)
    assert [e.after for e in told] == [1.2]

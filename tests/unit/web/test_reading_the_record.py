"""The pages wait for the record, but not for ever; and trends add up."""

from __future__ import annotations

import asyncio

import pytest

from control_plane.trend_changes import Mark
from control_plane.web.charts import charts
from control_plane.web.levels import levels, shown
from control_plane.web.port import RecordAway, Trend, TrendPoint
from control_plane.web.reader import asked
from control_plane.web.trend_points import bucket_of, measured_point, step_points
from runtime.record.access import RecordError

DASHES = ["solid", "dashed", "dotted"]


def test_an_answer_that_does_not_come_is_said_in_time() -> None:
    with pytest.raises(RecordAway, match="does not answer"):
        asyncio.run(asked(asyncio.sleep(60), patience_s=0.01))


def test_a_refusal_keeps_its_words() -> None:
    async def refuse() -> None:
        raise RecordError("statement trend_steps: no such column")

    with pytest.raises(RecordAway, match="no such column"):
        asyncio.run(asked(refuse()))


def row(
    config: str, batch: int, attempts: int, p50: float, cost: float | None
) -> dict[str, object]:
    return {
        "playbook": "p", "step": "s", "bucket": 60, "config": config, "batch_size": batch,
        "in_flight": 2, "attempts": attempts, "failed": 1, "p50_s": p50, "p95_s": 2 * p50,
        "p99_s": 3 * p50, "cost_usd": cost,
    }  # fmt: skip


def test_a_step_has_one_point_a_bucket_weighted_by_attempts() -> None:
    rows = [row("a", 25, 30, 1.0, 0.1), row("b", 50, 10, 2.0, None)]
    [point] = step_points(rows, "step")
    assert (point.attempts, point.p50_s, point.cost_usd, point.failed) == (40, 1.25, 0.1, 2)
    lines = {p.line for p in step_points(rows, "configuration")}
    assert len(lines) == 2


def test_attempts_without_a_worker_have_a_line_with_a_name() -> None:
    told = {"line": "", "bucket": 60, "attempts": 3, "total_p50_s": 1.0, "total_p95_s": 2.0,
            "total_p99_s": 3.0, "cost_usd": None, "failed": 1}  # fmt: skip
    assert measured_point(told) == TrendPoint("(none)", 60.0, 3, 1.0, 2.0, 3.0, None, 1)


def test_a_chart_says_its_latest_figures_and_marks_what_changed() -> None:
    points = [TrendPoint("p", 60.0 * i, 10, 0.1, 0.2, 0.3, 0.5, 0) for i in range(1, 4)]
    latency, cost = charts(Trend(points, 60, [
        Mark(100.0, "p", "", "configuration", "each.batch 50"),
        Mark(110.0, "q", "", "version", "another playbook's"),
    ]))  # fmt: skip
    assert "p95 0.20 s" in latency.says
    assert [s["lineStyle"]["type"] for s in latency.option["series"]] == DASHES
    [mark] = latency.option["series"][0]["markLine"]["data"]
    assert mark == {"xAxis": 100_000, "name": "each.batch 50"}
    low, high = latency.option["window"]
    assert low < 60_000 < 180_000 < high
    assert "$1.50 in all" in cost.says


@pytest.mark.parametrize("hours", [0.1, 1, 24, 168, 720, 10_000])
def test_a_trend_never_has_more_than_some_hundreds_of_buckets(hours: float) -> None:
    assert hours * 3600 / bucket_of(hours) <= 500


def test_a_line_that_got_slower_is_marked_with_what_came_just_before() -> None:
    hour = 3600.0
    points = [
        TrendPoint("p › s", hour * i, 10, (1.0 if i < 40 else 2.0) * (1 + 0.01 * (i % 3)), 3, 4,
                   None, 0)
        for i in range(60)
    ]  # fmt: skip
    marks = [
        Mark(0.0, "p", "", "version", "version 1"),
        Mark(39.5 * hour, "p", "", "version", "version 2"),
        Mark(39.6 * hour, "q", "", "version", "version 7"),
    ]  # fmt: skip
    [change] = levels(points, 3600, marks)
    assert (change.since, change.cause) == (40 * hour, "version 2")
    assert [(m.at, m.what) for m in shown(marks, points, "", 0.0)] == [(39.5 * hour, "version 2")]
    [latency] = charts(Trend(points, 3600, shown(marks, points, "", 0.0), [change]))
    told = latency.option["series"][0]["markLine"]["data"]
    assert [line["name"] for line in told] == ["version 2", "2.00× slower"]
    assert "2.00× slower since" in latency.says

"""The points of a trend's chart, made from the record's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from control_plane.measures import Dimension
from control_plane.web.port import TrendPoint

MEASURED: Final[dict[str, Dimension]] = {
    "hardware": "hardware", "version": "version", "arm": "arm",
}  # fmt: skip
"""Lines of a trend that the record measures from the attempts themselves."""


def bucket_of(hours: float) -> int:
    """Return the width of a bucket in seconds, so that a chart has some dozens of them.

    >>> bucket_of(1), bucket_of(24), bucket_of(720)
    (60, 900, 28800)
    """
    wanted = hours * 3600 / 100
    widths = (60, 300, 900, 3600, 4 * 3600, 8 * 3600)
    return next((w for w in widths if w >= wanted), 86_400)


def run_point(row: Mapping[str, Any]) -> TrendPoint:
    """Return the point of a bucket of runs."""
    return TrendPoint(
        row["playbook"], float(row["bucket"]), int(row["runs"]), row["p50_s"], row["p95_s"],
        row["p99_s"], row["cost_usd"], int(row["failed"]),
    )  # fmt: skip


def measured_point(row: Mapping[str, Any]) -> TrendPoint:
    """Return the point of a bucket of attempts by one dimension; a line may have no name."""
    return TrendPoint(
        row["line"] or "(none)", float(row["bucket"]), int(row["attempts"]), row["total_p50_s"],
        row["total_p95_s"], row["total_p99_s"], row["cost_usd"], int(row["failed"]),
    )  # fmt: skip


def step_points(rows: list[dict[str, Any]], by: str) -> list[TrendPoint]:
    """Return a point per row; by step, the configuration with most attempts of a bucket.

    Percentiles of several configurations cannot be added up, so the rows of a step are
    told apart by batch size and number in flight when asked by configuration.
    """
    named: Callable[[Mapping[str, Any]], str] = _config_name if by == "configuration" else _step
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((named(row), float(row["bucket"])), []).append(row)
    return [_merged(line, at, group) for (line, at), group in groups.items()]


def _step(row: Mapping[str, Any]) -> str:
    return f"{row['playbook']} › {row['step']}"


def _config_name(row: Mapping[str, Any]) -> str:
    if not row["batch_size"]:
        return _step(row)
    return f"{_step(row)}, batch {row['batch_size']}, {row['in_flight']} in flight"


def _merged(line: str, at: float, rows: list[dict[str, Any]]) -> TrendPoint:
    attempts = sum(int(r["attempts"]) for r in rows)
    costs = [r["cost_usd"] for r in rows if r["cost_usd"] is not None]

    def mean(name: str) -> float:
        return float(sum(r[name] * r["attempts"] for r in rows) / max(attempts, 1))

    return TrendPoint(
        line, at, attempts, mean("p50_s"), mean("p95_s"), mean("p99_s"),
        sum(costs) if costs else None, sum(int(r["failed"]) for r in rows),
    )  # fmt: skip

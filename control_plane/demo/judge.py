"""What the demo promises, checked on its report. Pure: a report in, sentences out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from control_plane.demo.report import covered

Json: TypeAlias = Any

FASTER: Final = 0.3
"""Share of the time before the loop that a run may take after it."""
EQUAL: Final = (
    ("journal_events", "clickhouse_events"),
    ("journal_attempts", "clickhouse_attempts"),
    ("qdrant_points", "qdrant_expected"),
)
"""Counts that agree where the record has lost nothing."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: whether it was kept, in a sentence. A ``goal`` may be missed."""

    kept: bool
    text: str
    goal: bool = False


def checks(report: Mapping[str, Json]) -> Iterator[Check]:
    """Yield each promise that a report of its stage can be held to."""
    yield from _work(report)
    yield from _record(report)
    yield from _loop(report)


def _work(report: Mapping[str, Json]) -> Iterator[Check]:
    failed = report["failed_patients"]
    yield Check(failed == 0, f"{failed} patients failed")
    hashes = {run["features_sha256"] for run in report["runs"]}
    text = f"{len(report['runs'])} runs, {len(hashes)} different features"
    yield Check(len(hashes) == 1 and None not in hashes, text)


def _record(report: Mapping[str, Json]) -> Iterator[Check]:
    rows = report["rows"]
    if rows is None:
        return
    for one, other in EQUAL:
        text = f"{one.replace('_', ' ')} {rows[one]}, {other.replace('_', ' ')} {rows[other]}"
        yield Check(rows[one] == rows[other] and rows[one] > 0, text)


def _loop(report: Mapping[str, Json]) -> Iterator[Check]:
    before, after = report["before"], report["after"]
    if after is None:
        return
    kept = [p for p in report["proposals"] if p["state"] == "kept"]
    yield Check(len(kept) >= 2, f"{len(kept)} changes kept", goal=True)
    if before and before["wall_s_median"] and after["wall_s_median"]:
        ratio = after["wall_s_median"] / before["wall_s_median"]
        text = f"a run takes {ratio:.2f} of the time it took"
        yield Check(ratio <= FASTER, text, goal=True)
    hits = covered(report["proposals"])
    text = f"{sum(hits)} of {len(hits)} measured effects lie in the predicted interval"
    yield Check(sum(hits) >= len(hits) - 1, text, goal=True)

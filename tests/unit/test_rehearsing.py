"""A search of several knobs in the simulator ends, and goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from control_plane.rehearsing import Joint

SCOPE = {
    "playbook": "etl/load", "step": "fetch", "defaults": {"each.batch": 4, "each.in_flight": 2},
    "tune": [
        {"name": "each.batch", "min": 1, "max": 1000},
        {"name": "each.in_flight", "min": 1, "max": 8},
    ],
}  # fmt: skip


class Counted(Joint):
    """Counts what is replayed; a large batch is best."""

    def __init__(self, kept: Path, scope: Mapping[str, Any] = SCOPE) -> None:
        super().__init__(None, kept, scope, "r1", None, None, 1)
        self.asked = 0

    def tried(self, values: Mapping[str, Any]) -> dict[str, Any]:
        self.asked += 1
        assert self.asked < 40, "it asks without end"
        night = values.get("start.hours") == "22-6"
        return {"values": dict(values), "log_outcome": 1 / values.get("each.batch", 1 + night)}


def test_a_search_ends_where_its_pool_is_tried_though_more_trials_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimizer.search.numeric.POOL", 6)
    joint = Counted(tmp_path / "trials.db")
    rows = joint.search(20, lambda _done, _of: None)
    assert len(rows) == joint.asked == 6
    assert SCOPE["defaults"] in [row["values"] for row in rows]
    again = Counted(tmp_path / "trials.db")
    assert again.search(6, lambda _done, _of: None) == rows


HOURS = {"name": "start.hours", "choices": ["any", "22-6"]}


def test_declared_hours_are_each_tried_by_themselves_after_a_search_of_what_counts(
    tmp_path: Path,
) -> None:
    alone = Counted(tmp_path / "trials.db", {**SCOPE, "tune": [HOURS]})
    tried = [{"start.hours": "22-6"}, {"start.hours": "any"}]
    assert [row["values"] for row in alone.search(4, lambda _done, _of: None)] == tried
    beside = Counted(tmp_path / "trials.db", {**SCOPE, "tune": [*SCOPE["tune"], HOURS]})
    rows = [row["values"] for row in beside.search(4, lambda _done, _of: None)]
    assert (len(rows), rows[-2:]) == (6, tried)

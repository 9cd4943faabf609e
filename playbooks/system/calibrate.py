"""The step of ``system/calibrate``: one replay of history, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.calibrator import calibrate
from runtime.record.history import History

PATIENCE_S = 60.0


def replay(workload: Mapping[str, Any], history: History) -> dict[str, Any]:
    """Wait for the record to hold what was there when it was asked, then replay it."""
    cursor = {int(writer): int(pos) for writer, pos in workload.get("cursor", {}).items()}
    if cursor:
        history.await_caught_up(cursor, PATIENCE_S)
    return calibrate(history, float(workload["at"]), workload.get("described") or ())

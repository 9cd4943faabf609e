"""The steps of ``system/optimize``: each calls one agent and returns plain values.

The agents read the record through `History`, whose named statements are all they may ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.loop import run_cycle
from agents.observer import observe as look
from optimizer.scope import step_named
from optimizer.seeded import seeded
from runtime.record.history import History

PATIENCE_S = 60.0


def observe(workload: Mapping[str, Any], history: History) -> dict[str, Any]:
    """Wait for the record to hold what the cycle is about, then say what is there."""
    cursor = {int(writer): int(pos) for writer, pos in workload.get("cursor", {}).items()}
    if cursor:
        history.await_caught_up(cursor, PATIENCE_S)
    seen, reasons = look(history, workload["scopes"])
    return {
        "steps": [
            {
                "scope": step_named(one.scope),
                "batches": len(one.history),
                "slot_s": one.slot_s,
                "data_quality": one.history.quality.to_json(),
            }
            for one in seen
        ],
        "silent": [reason.to_json() for reason in reasons],
    }


def tune(workload: Mapping[str, Any], history: History) -> dict[str, Any]:
    """Return the candidates of this cycle, and why there are no others."""
    rng = seeded(workload["cycle"])
    return run_cycle(
        history, workload["scopes"], workload["policy"], rng,
        workload.get("calibration"), float(workload.get("at", 0.0)),
        workload.get("described") or (),
    ).to_json()  # fmt: skip

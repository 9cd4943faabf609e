"""One cycle of the tuning loop: observe, tune, look back. Values in, values out.

>>> CycleResult((), ()).to_json()
{'candidates': [], 'reasons': []}
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from agents.calibrator import read_others
from agents.observer import Reader, observe
from agents.tuner import tune
from agents.verifier import review
from optimizer.guard import Reason
from optimizer.proposal import Candidate
from optimizer.tune import CHOSEN

Json: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class CycleResult:
    """What one cycle came to: candidates, and a reason for all it did not propose."""

    candidates: tuple[Candidate, ...]
    reasons: tuple[Reason, ...]

    def to_json(self) -> dict[str, Json]:
        """Return it as the result of ``system/optimize``."""
        return {
            "candidates": [candidate.to_json() for candidate in self.candidates],
            "reasons": [reason.to_json() for reason in self.reasons],
        }


def run_cycle(
    reader: Reader,
    scopes: Sequence[Mapping[str, Json]],
    policy: Mapping[str, Json],
    rng: random.Random,
    calibration: Mapping[str, Json] | None = None,
    now: float = 0.0,
) -> CycleResult:
    """Return the proposals of one cycle. The same record, scopes and rng give the same.

    ``calibration`` is what `agents.calibrator.calibrate` last said, ``now`` the time by
    which its age is judged.
    """
    seen, silent = observe(reader, scopes)
    chosen = any(tuned["name"] in CHOSEN for one in seen for tuned in one.scope.get("tune") or ())
    others = read_others(reader, calibration, now) if chosen else None
    candidates, reasons = tune(seen, policy, rng, others)
    return CycleResult(tuple(candidates), (*silent, *reasons, *review(seen)))

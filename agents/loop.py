"""One cycle of the tuning loop: observe, tune, look back. Values in, values out.

>>> CycleResult((), ()).to_json()
{'candidates': [], 'reasons': []}
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from agents.calibrator import by_step, read_others
from agents.lenders import lenders_of
from agents.observer import Reader, observe
from agents.tuner import prior_of, recorded_of, tune
from agents.verifier import review
from agents.works import read_works
from optimizer.guard import Limits, Reason
from optimizer.proposal import Candidate
from optimizer.reasoning import reasoning
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


def study(
    reader: Reader, workload: Mapping[str, Json], scope: Mapping[str, Json], seed: str
) -> dict[str, Json] | None:
    """Return the whole reasoning about one step of a cycle's inputs; None without a history."""
    seen, _ = observe(reader, workload["scopes"])
    mine = [one for one in seen if one.scope == scope]
    if not mine:
        return None
    one = mine[0]
    chosen = any(tuned["name"] in CHOSEN for tuned in scope.get("tune") or ())
    now = float(workload.get("at", 0.0))
    catalogue = workload.get("described") or ()
    prior = prior_of(one, seen, by_step(catalogue))
    lending = lenders_of(seen, by_step(catalogue)).to(one)
    others = read_others(reader, workload.get("calibration"), now, catalogue) if chosen else None
    limits = Limits.from_policy(workload["policy"])
    recorded = recorded_of(one, seen, read_works(reader, [one]) if limits.joint else {})
    return reasoning(
        one.scope, one.history, limits, seed, one.tries, prior, others, lending, recorded
    )


def run_cycle(
    reader: Reader,
    scopes: Sequence[Mapping[str, Json]],
    policy: Mapping[str, Json],
    rng: random.Random,
    calibration: Mapping[str, Json] | None = None,
    now: float = 0.0,
    catalogue: Sequence[Mapping[str, Json]] = (),
) -> CycleResult:
    """Return the proposals of one cycle. The same record, scopes and rng give the same.

    ``calibration`` is what `agents.calibrator.calibrate` last said, ``now`` the time by
    which its age is judged; ``catalogue`` says what steps run, by which they resemble others.
    """
    seen, silent = observe(reader, scopes)
    chosen = any(tuned["name"] in CHOSEN for one in seen for tuned in one.scope.get("tune") or ())
    others = read_others(reader, calibration, now, catalogue) if chosen else None
    works = read_works(reader, seen) if Limits.from_policy(policy).joint else None
    candidates, reasons = tune(seen, policy, rng, others, works, by_step(catalogue))
    return CycleResult(tuple(candidates), (*silent, *reasons, *review(seen)))

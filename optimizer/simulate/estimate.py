"""An estimate: what a run would have taken, as a range, with what it leans on.

It is never a measurement, and says so. Where the record holds nothing to answer from, the
answer is a `CannotSay` with its reason; to find out is what a bounded experiment is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, TypeAlias

Json: TypeAlias = Any
Why: TypeAlias = Literal[
    "run_not_completed", "run_paused", "run_forked", "nothing_ran", "step_not_run", "not_an_each",
    "knob_not_simulated", "one_size", "beyond_history", "not_comparable", "no_retry_seen",
    "budget_spent", "run_would_fail", "no_start", "hour_not_seen",
]  # fmt: skip
QUANTILES: Final = (0.05, 0.5, 0.95)


@dataclass(frozen=True, slots=True)
class Band:
    """Nine of ten replays fall between lower and upper."""

    lower: float
    median: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Band:
        """Return the band of the replays' values.

        >>> Band.of([3.0, 1.0, 2.0])
        Band(lower=1.1, median=2.0, upper=2.9)
        """
        ordered = sorted(values)
        return cls(*(round(_quantile(ordered, q), 9) for q in QUANTILES))


def _quantile(ordered: Sequence[float], q: float) -> float:
    place = q * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """One step: seconds from its beginning to its end, dollars, items failed for good."""

    step: str
    recorded_span_s: float
    span_s: Band
    cost_usd: Band | None
    items_failed: Band


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the run would have taken.

    ``makespan_delta`` is the relative change against the same run replayed as it was
    (-0.4 is 40% less), ``cost_delta`` that of its dollars. ``calibration_error`` is how far
    that replay, drawn in the same way, lies from the recorded makespan; ``fails`` the share
    of replays in which the run would have failed (they are left out of the times).
    """

    run: str
    playbook: str
    changes: Mapping[str, Mapping[str, Json]]
    recorded_makespan_s: float
    makespan_s: Band
    makespan_delta: Band
    cost_usd: Band | None
    items_failed: Band
    fails: float
    steps: Sequence[StepEstimate]
    assumptions: Sequence[str]
    calibration_error: float
    draws: int
    runs_of_history: int
    kind: Literal["estimate"] = "estimate"
    cost_delta: Band | None = None

    def to_json(self) -> dict[str, Json]:
        """Return it as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CannotSay:
    """The record holds nothing to answer from, and why."""

    why: Why
    text: str
    kind: Literal["cannot_say"] = field(default="cannot_say")

    def to_json(self) -> dict[str, Json]:
        """Return it as JSON values."""
        return asdict(self)

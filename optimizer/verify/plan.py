"""The plan of an experiment: its statistical settings, frozen before the first unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

Json: TypeAlias = Any
Design: TypeAlias = Literal["blocks", "switchback"]
"""``blocks``: each block of items was drawn to an arm with a known share; outcomes count per
item. ``switchback``: drained blocks alternate in pairs of random order; a pair is one
comparison, and the objective is wall time per item of a block."""
Failures: TypeAlias = Literal["first", "final"]

MOST_LOST: Final = 100.0
"""Failing for good never counts as more than so many batches, whatever a proposal says."""
PRICES: Final = (0.25, 4.0)
"""Times its price at which a gain is told too: what failing loses is said, not measured."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the ramp: each candidate's share of blocks, and how many it must finish."""

    share: float
    min_candidates: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The statistical settings of one experiment, frozen before it starts.

    ``min_units`` is the least number of blocks a side in the last stage. A plan of kind
    ``experiment`` has one stage; ``min_candidates`` (``min_pairs``) of it end an arm.
    ``slow_s_per_item`` is control's historical p99 of a block, or None. The mean over more
    batches varies less, so ``slow_by_batches`` may hold it by the number of batches in a
    block, and each unit is held to its own: without that, a block of one large batch would
    look slow beside one of several small ones that are no faster.

    ``failures`` says which failures of a batch are harm: that of its first try, or for good
    alone, where the knob itself decides how a first try ends or what follows it. A batch that
    fails for good loses ``lost_s``, which counts as time (and in its price as cost), as far as
    `MOST_LOST` of control's batches go, and ``rescues`` says whether the seconds of rescuing it
    count. ``zone`` is whose clock tells the days on which units began.
    """

    design: Design = "blocks"
    kind: Literal["change", "experiment"] = "change"
    objective: Literal["cost", "time"] = "time"
    ramp: tuple[Stage, ...] = (Stage(0.1, 10), Stage(0.5, 60))
    harm_alpha: float = 0.05
    gain_alpha: float = 0.05
    min_gain: float = 0.05
    min_units: int = 30
    noninferiority: float = 0.05
    min_pairs: int = 8
    horizon_runs: int = 10
    t_opt: int = 100
    failures: Failures = "first"
    lost_s: float = 0.0
    rescues: bool = True
    slow_s_per_item: float | None = None
    slow_by_batches: tuple[tuple[int, float], ...] = ()
    zone: str = "UTC"

    def slow(self, batches: int) -> float | None:
        """Return from how many seconds per item on a block of so many batches is slow."""
        if not self.slow_by_batches:
            return self.slow_s_per_item
        return min(self.slow_by_batches, key=lambda one: abs(math.log(one[0] / batches)))[1]

    def to_json(self) -> dict[str, Json]:
        """Return the plan as it stands in ``experiment.started``."""
        plan = asdict(self)
        plan["ramp"] = [[stage.share, stage.min_candidates] for stage in self.ramp]
        plan["slow_by_batches"] = [list(pair) for pair in self.slow_by_batches]
        return plan

    @staticmethod
    def from_json(value: Mapping[str, Json]) -> Plan:
        """Return the plan that `to_json` wrote; what is missing has its default."""
        fields = dict(value)
        if "ramp" in fields:
            fields["ramp"] = tuple(Stage(float(q), int(n)) for q, n in fields["ramp"])
        slow = fields.get("slow_by_batches", ())
        fields["slow_by_batches"] = tuple((int(n), float(s)) for n, s in slow)
        return Plan(**fields)

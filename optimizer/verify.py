"""Verification: what the units of an experiment say so far, at any look.

A `Verification` is a fold over finished units. Two designs. ``blocks``: each block of
items was drawn to an arm with a known share; outcomes count per item. ``switchback``:
drained blocks alternate in pairs of random order; a pair is one comparison, and the
objective is wall time per item of a block. Harm is tested from the first unit on. A gain
counts only when it is proven beyond the least worthwhile one, failures are not worse
beyond a margin, and each stage has its samples. Everything in a `Plan` was frozen before
the first unit.

>>> plan = Plan(design="blocks", kind="change", objective="time")
>>> check = Verification(plan, ("candidate",))
>>> check.add(Unit("candidate", share=0.1, items=50, batches=1, seconds_per_item=0.002))
>>> check.finding(stage=0, runs=1).reason
'collecting'
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

from optimizer.comparison import Comparison, Harm
from optimizer.sequential import (
    ArmOdds,
    log_mean_exp,
    median_sequence,
    proportion_sequence,
    pseudo_median,
)

Json: TypeAlias = Any
Design: TypeAlias = Literal["blocks", "switchback"]
Outcome: TypeAlias = Literal["better", "worse", "inconclusive"]
Failures: TypeAlias = Literal["first", "final"]

CONTROL: Final = "control"
BLOCK_RETRY_SHARE: Final = 0.10
"""A drained block in which more than this share of batches needed a retry is a harm event."""
SAMPLE_RATIO_ALPHA: Final = 0.0001
"""Arms drawn this improbably often mean that units went missing, not that luck was bad."""
MANY_FAILED: Final = 30
"""Blocks of a side that must have had failures before the shares of what was lost speak."""
PAIR_SCALE: Final = 0.10
"""Log difference of a pair at which it counts about in full for harm by time."""


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
    fails for good loses ``lost_s``, which counts as time (and in its price as cost), and
    ``rescues`` says whether the seconds of rescuing it count. ``zone`` is whose clock tells
    the days on which units began.
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


@dataclass(frozen=True, slots=True)
class Unit:
    """A finished block, in the order in which blocks finished.

    ``share`` is the chance with which *its* arm was drawn, ``control_share`` that of the
    control in the same draw (None: what equal arms that are still live leave over).
    Blocks hold equally many items, so that a share of blocks is one of items.
    ``seconds_per_item``: slot time of all tries (blocks), wall time of the drained block
    (switchback). ``retried`` counts batches whose first try failed. ``failed_items`` are
    those of batches that ended in failure, rescued or not.
    """

    arm: str
    share: float
    items: int
    batches: int
    seconds_per_item: float
    cost_per_item: float | None = None
    retried: int = 0
    failed_items: int = 0
    pair: int | None = None
    control_share: float | None = None
    at: float = 0.0

    def __post_init__(self) -> None:
        if not (self.seconds_per_item > 0.0 and self.items > 0 and self.batches > 0):
            raise ValueError(f"a unit needs items, batches and a positive time: {self}")

    @property
    def failed_batches(self) -> int:
        """How many batches the items that failed make."""
        return min(self.batches, math.ceil(self.failed_items * self.batches / self.items))


@dataclass(frozen=True, slots=True)
class Finding:
    """What the units say. ``final`` ends the experiment; else it goes on.

    Reasons of an end: ``harm_failures``, ``harm_time``, ``harm_tail``, ``all_harmful``
    (worse); ``gain_proven`` (better); ``learned``, ``horizon``, ``sample_ratio``,
    ``gain_refuted`` (inconclusive: no later unit would make it worthwhile). Until then:
    ``collecting``, ``cost_missing``, ``failures_unproven``, ``gain_unproven``.
    """

    verdict: Outcome
    reason: str
    final: bool
    units: dict[str, int]
    statistics: dict[str, Json]


@dataclass(slots=True)
class Tally:
    """Units of one arm, for the table beside the verdict and for non-inferiority."""

    units: int = 0
    items: int = 0
    batches: int = 0
    retried: int = 0
    failed_items: int = 0
    failed_units: int = 0
    failed_batches: int = 0
    squares: tuple[int, int, int] = (0, 0, 0)
    """Of failed batches and batches of units: sums of their squares, the product between."""
    seconds: float = 0.0
    cost_missing: int = 0

    def add(self, unit: Unit) -> None:
        """Take in one unit."""
        self.units += 1
        self.items += unit.items
        self.batches += unit.batches
        self.retried += unit.retried
        self.failed_items += unit.failed_items
        self.failed_units += unit.failed_items > 0
        self.failed_batches += unit.failed_batches
        bad, all_ = unit.failed_batches, unit.batches
        new = (bad * bad, bad * all_, all_ * all_)
        self.squares = (
            self.squares[0] + new[0],
            self.squares[1] + new[1],
            self.squares[2] + new[2],
        )
        self.seconds += unit.seconds_per_item * unit.items
        self.cost_missing += unit.cost_per_item is None

    def scatter(self) -> tuple[float, float]:
        """How failed batches scatter over units, as seen, and as if each failed by itself."""
        share = self.failed_batches / max(self.batches, 1)
        bad, both, all_ = self.squares
        seen = bad - 2.0 * share * both + share * share * all_
        return max(seen, 0.0), self.batches * share * (1.0 - share)

    def describe(self) -> dict[str, Json]:
        """Return the tally for a reader."""
        return {
            "units": self.units,
            "items": self.items,
            "batches": self.batches,
            "retried_share": self.retried / self.batches if self.batches else None,
            "failed_items": self.failed_items,
            "seconds_per_item": self.seconds / self.items if self.items else None,
        }


class Verification:
    """The fold over units of one experiment. Add each unit once, in order of finishing."""

    def __init__(self, plan: Plan, arms: tuple[str, ...]) -> None:
        self.plan = plan
        self.arms = arms
        self._tallies = {name: Tally() for name in (CONTROL, *arms)}
        self._compared = {name: Comparison(self._harm()) for name in arms}
        self._half: dict[int, dict[str, Unit]] = {}
        self._drawn = (ArmOdds(), ArmOdds())

    def _harm(self) -> Harm:
        watched = self.plan.slow(1) is not None and self.plan.design == "blocks"
        return Harm(tail=ArmOdds() if watched else None)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Candidates found harmful: in an experiment over several, the others go on."""
        return tuple(name for name in self.arms if self._compared[name].harmful)

    def add(self, unit: Unit) -> None:
        """Take in one finished unit."""
        self._tallies[unit.arm].add(unit)
        if self.plan.design == "switchback":
            self._add_half(unit)
        else:
            self._add_block(unit)

    # ---- blocks -----------------------------------------------------------------------

    def _add_block(self, unit: Unit) -> None:
        for name in self._about(unit):
            drawn, control = self._chances(unit)
            share = drawn / (drawn + max(control, 1e-9))
            self._compare_block(self._compared[name], unit, drawn, share)

    def _about(self, unit: Unit) -> tuple[str, ...]:
        """The candidates a unit tells of: a dropped one is no longer drawn beside control."""
        if unit.arm != CONTROL:
            return (unit.arm,)
        if len(self.arms) == 1:
            return self.arms
        return tuple(name for name in self.arms if not self._compared[name].harmful)

    def _chances(self, unit: Unit) -> tuple[float, float]:
        """With which chance a candidate, and the control, were drawn where this unit was."""
        live = max(len(self.arms) - len(self.dropped), 1)
        if unit.arm != CONTROL:
            rest = 1.0 - live * unit.share
            return unit.share, rest if unit.control_share is None else unit.control_share
        if self.plan.kind == "experiment":
            return self.plan.ramp[0].share, unit.share
        return (1.0 - unit.share) / live, unit.share

    def _compare_block(self, one: Comparison, unit: Unit, drawn: float, share: float) -> None:
        """``drawn``: chance of the candidate among all arms; ``share``: against control."""
        candidate = unit.arm != CONTROL
        stage = self._stage(drawn)
        one.in_stage[stage] = one.in_stage.get(stage, 0) + candidate
        self._harm_of_block(one, unit, share)
        if len(self.arms) == 1:
            self._drawn[0].add(1.0, candidate=candidate, share=share)
            self._drawn[1].add(-1.0, candidate=candidate, share=share)
        value = self._outcome(unit)
        if stage == len(self.plan.ramp) - 1 and value is not None and value > 0.0:
            one.gain.add(math.log(value), candidate=candidate, share=share)
            one.losses.add(unit.failed_items / unit.items, candidate=candidate, share=share)

    def _outcome(self, unit: Unit) -> float | None:
        """Seconds or cost of an item, with what was lost by failing for good."""
        times = self._with_losses(unit) / unit.seconds_per_item
        value = unit.cost_per_item if self.plan.objective == "cost" else unit.seconds_per_item
        return None if value is None else value * times

    def _with_losses(self, unit: Unit) -> float:
        return unit.seconds_per_item + self.plan.lost_s * unit.failed_batches / unit.items

    def _harm_of_block(self, one: Comparison, unit: Unit, share: float) -> None:
        candidate, harm = unit.arm != CONTROL, one.harm
        bad = unit.retried if self.plan.failures == "first" else unit.failed_batches
        harm.failures.add(float(bad), candidate=candidate, share=share)
        harm.time.add(math.log(self._with_losses(unit)), candidate=candidate, share=share)
        slow = self.plan.slow(unit.batches)
        if harm.tail is not None and slow is not None and unit.seconds_per_item > slow:
            harm.tail.add(1.0, candidate=candidate, share=share)
        self._judge_harm(one)

    def _judge_harm(self, one: Comparison) -> None:
        one.harm.settle()
        if not one.harmful and one.harm.log_e >= math.log(1.0 / self.plan.harm_alpha):
            one.harmful = one.harm.kind()

    def _stage(self, share: float) -> int:
        distances = [abs(stage.share - share) for stage in self.plan.ramp]
        return distances.index(min(distances))

    # ---- switchback -------------------------------------------------------------------

    def _add_half(self, unit: Unit) -> None:
        if unit.pair is None:
            raise ValueError("a unit of a switchback belongs to a pair")
        half = self._half.setdefault(unit.pair, {})
        half[unit.arm] = unit
        arm = next((name for name in half if name != CONTROL), None)
        if arm is not None and CONTROL in half:
            del self._half[unit.pair]
            self._compare_pair(self._compared[arm], half[CONTROL], half[arm])

    def _compare_pair(self, one: Comparison, control: Unit, candidate: Unit) -> None:
        ratio = math.log(candidate.seconds_per_item / control.seconds_per_item)
        one.differences.append(ratio)
        won = ratio < math.log(1.0 - self.plan.min_gain)
        one.sign.add(won)
        one.lost.add(not won)
        one.harm.time.odds.add(
            math.tanh(abs(ratio) / PAIR_SCALE), candidate=ratio > 0.0, share=0.5
        )
        events = _retry_event(candidate) - _retry_event(control)
        one.harm.failures.add(float(abs(events)), candidate=events > 0, share=0.5)
        self._judge_harm(one)

    # ---- what it says -----------------------------------------------------------------

    def may_advance(self, stage: int) -> bool:
        """Whether the ramp may go to its next stage: samples are there, harm is not in sight."""
        if self.plan.kind != "change" or stage >= len(self.plan.ramp) - 1:
            return False
        one = self._compared[self.arms[0]]
        calm = one.harm.log_e < math.log(1.0 / (4.0 * self.plan.harm_alpha))
        return calm and one.in_stage.get(stage, 0) >= self.plan.ramp[stage].min_candidates

    def finding(self, stage: int, runs: int) -> Finding:
        """Return the verdict after ``runs`` runs that took part, in stage ``stage``."""
        verdict, reason, final = self._verdict(stage)
        doubt = reason
        if not final and runs >= self.plan.horizon_runs:
            verdict, reason, final = "inconclusive", "horizon", True
        units = {name: tally.units for name, tally in self._tallies.items()}
        statistics = {name: self._statistics(name) for name in self.arms}
        facts: dict[str, Json] = {"runs": runs, "stage": stage, "doubt": doubt}
        if len(self.arms) == 1:
            facts |= statistics[self.arms[0]]
        facts["arms"] = statistics | {CONTROL: self._tallies[CONTROL].describe()}
        facts["dropped"] = list(self.dropped)
        return Finding(verdict, reason, final, units, facts)

    def _verdict(self, stage: int) -> tuple[Outcome, str, bool]:
        if self._ratio_broken():
            return "inconclusive", "sample_ratio", True
        if len(self.dropped) == len(self.arms):
            kind = self._compared[self.arms[0]].harmful
            return "worse", f"harm_{kind}" if len(self.arms) == 1 else "all_harmful", True
        if self.plan.kind == "experiment":
            done = all(self._has_samples(n) for n in self.arms if n not in self.dropped)
            return "inconclusive", "learned" if done else "collecting", done
        if self._refuted(self.arms[0]):
            return "inconclusive", "gain_refuted", True
        doubt = self._doubt(self.arms[0], stage)
        return ("inconclusive", doubt, False) if doubt else ("better", "gain_proven", True)

    def _ratio_broken(self) -> bool:
        log_e = log_mean_exp([side.log_e for side in self._drawn])
        return log_e >= math.log(1.0 / SAMPLE_RATIO_ALPHA)

    def _has_samples(self, name: str) -> bool:
        if self.plan.design == "switchback":
            return len(self._compared[name].differences) >= self.plan.min_pairs
        least = self.plan.ramp[0].min_candidates
        return min(self._tallies[name].units, self._tallies[CONTROL].units) >= least

    def _refuted(self, name: str) -> bool:
        """Whether the gain is proven to be below the least worthwhile one."""
        one, plan = self._compared[name], self.plan
        if plan.design == "switchback":
            return one.lost.log_e >= math.log(1.0 / plan.gain_alpha)
        lower = one.gain.interval(plan.gain_alpha, plan.t_opt)[0]
        return min(one.gain.counts) >= plan.min_units and lower > math.log(1.0 - plan.min_gain)

    def _doubt(self, name: str, stage: int) -> str:
        """Name what is missing before a change may be kept, or return an empty string."""
        one, plan = self._compared[name], self.plan
        if plan.design == "switchback":
            if len(one.differences) < plan.min_pairs:
                return "collecting"
            if one.sign.log_e < math.log(1.0 / plan.gain_alpha):
                return "gain_unproven"
            return "" if self._failed_gap(name) < plan.noninferiority else "failures_unproven"
        last = len(plan.ramp) - 1
        enough = min(one.gain.counts) >= plan.min_units
        if (
            stage < last
            or not enough
            or one.in_stage.get(last, 0) < plan.ramp[last].min_candidates
        ):
            return "collecting"
        if plan.objective == "cost" and self._cost_missing(name):
            return "cost_missing"
        upper = one.gain.interval(plan.gain_alpha, plan.t_opt)[2]
        if upper >= math.log(1.0 - plan.min_gain):
            return "gain_unproven"
        return "" if self._failed_gap(name) < plan.noninferiority else "failures_unproven"

    def _cost_missing(self, name: str) -> bool:
        """Whether a unit of either side has no cost: what is missing may be what is dear."""
        return any(self._tallies[arm].cost_missing for arm in (name, CONTROL))

    def _failed_gap(self, name: str) -> float:
        """The most by which the candidate's terminal failures may exceed control's.

        Counted in blocks; in batches for the few drained blocks of a switchback, and where a
        block is several tries: those that fail together, as in an outage, count as so many
        fewer. Where many such blocks of both sides have failures, the shares of items lost are
        compared too, half of alpha for each way.
        """
        sides, alpha = (self._tallies[name], self._tallies[CONTROL]), self.plan.gain_alpha
        shares = self.plan.failures == "final" and self.plan.design == "blocks"
        bounds, times = [], _together(*sides) if shares else 1.0
        for tally in sides:
            pair: tuple[float, float] = (tally.failed_units, tally.units)
            if self.plan.design == "switchback" or shares:
                pair = (tally.failed_batches / times, tally.batches / times)
            bounds.append(proportion_sequence(*pair, alpha / (4 if shares else 2)))
        gap = bounds[0][1] - bounds[1][0]
        if shares and min(tally.failed_units for tally in sides) >= MANY_FAILED:
            losses = self._compared[name].losses
            gap = min(gap, losses.interval(alpha / 2, self.plan.t_opt)[2])
        return gap

    def _statistics(self, name: str) -> dict[str, Json]:
        one = self._compared[name]
        lower, middle, upper = self._effect(one)
        return self._tallies[name].describe() | {
            "e": _exp(one.harm.log_e),
            "e_max": _exp(one.harm.log_e_max),
            "e_by_kind": {kind: _exp(log_e) for kind, log_e in one.harm.logs().items()},
            "harmful": one.harmful,
            "gain_e": _exp(one.sign.log_e) if self.plan.design == "switchback" else None,
            "gain_ci": [_relative(lower), _relative(upper)],
            "realised": _relative(middle),
            "failed_gap": self._failed_gap(name),
            "pairs": len(one.differences) if self.plan.design == "switchback" else None,
            "in_stage": {str(k): n for k, n in sorted(one.in_stage.items())},
        }

    def _effect(self, one: Comparison) -> tuple[float, float, float]:
        if self.plan.design == "blocks":
            if one.gain.scores.n < 2:
                return -math.inf, math.nan, math.inf
            return one.gain.interval(self.plan.gain_alpha, self.plan.t_opt)
        if not one.differences:
            return -math.inf, math.nan, math.inf
        lower, upper = median_sequence(one.differences, self.plan.gain_alpha)
        return lower, pseudo_median(one.differences), upper


def _together(*sides: Tally) -> float:
    """By how much more than by chance the batches of a block fail together.

    The design effect of Rao & Scott, "A simple method for the analysis of clustered binary
    data", Biometrics 1992: tries that fail all at once are worth one.
    """
    seen, alone = (sum(pair) for pair in zip(*(t.scatter() for t in sides), strict=True))
    return max(1.0, seen / alone) if alone > 0.0 else 1.0


def _retry_event(unit: Unit) -> int:
    return int(unit.retried > BLOCK_RETRY_SHARE * unit.batches)


def _exp(log_e: float) -> float:
    return math.exp(min(log_e, 690.0))


def _relative(log_ratio: float) -> float | None:
    """Return a log ratio as a relative change, or None where nothing is known."""
    return math.expm1(log_ratio) if math.isfinite(log_ratio) else None

"""The verdict: better, worse or inconclusive, at any look, and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from optimizer.sequential import (
    Gain,
    log_mean_exp,
    median_sequence,
    proportion_sequence,
    pseudo_median,
)
from optimizer.verify.comparison import Comparison
from optimizer.verify.comparisons import Comparisons
from optimizer.verify.plan import Plan
from optimizer.verify.unit import Tally, Unit
from runtime.run.layers import CONTROL

Json: TypeAlias = Any
Outcome: TypeAlias = Literal["better", "worse", "inconclusive"]

SAMPLE_RATIO_ALPHA: Final = 0.0001
"""Arms drawn this improbably often mean that units went missing, not that luck was bad."""
MANY_FAILED: Final = 30
"""Blocks of a side that must have had failures before the shares of what was lost speak."""


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


class Verification:
    """The verdict on one experiment. Add each unit once, in order of finishing."""

    def __init__(self, plan: Plan, arms: tuple[str, ...]) -> None:
        self.plan = plan
        self.arms = arms
        self._seen = Comparisons(plan, arms)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Candidates found harmful: in an experiment over several, the others go on."""
        return self._seen.dropped

    def add(self, unit: Unit) -> None:
        """Take in one finished unit."""
        self._seen.add(unit)

    def may_advance(self, stage: int) -> bool:
        """Whether the ramp may go to its next stage: samples are there, harm is not in sight."""
        if self.plan.kind != "change" or stage >= len(self.plan.ramp) - 1:
            return False
        one = self._seen.compared[self.arms[0]]
        calm = one.harm.log_e < math.log(1.0 / (4.0 * self.plan.harm_alpha))
        return calm and one.in_stage.get(stage, 0) >= self.plan.ramp[stage].min_candidates

    def finding(self, stage: int, runs: int) -> Finding:
        """Return the verdict after ``runs`` runs that took part, in stage ``stage``."""
        verdict, reason, final = self._verdict(stage)
        doubt = reason
        if not final and runs >= self.plan.horizon_runs:
            verdict, reason, final = "inconclusive", "horizon", True
        units = {name: tally.units for name, tally in self._seen.tallies.items()}
        statistics = {name: self._statistics(name) for name in self.arms}
        facts: dict[str, Json] = {"runs": runs, "stage": stage, "doubt": doubt}
        if len(self.arms) == 1:
            facts |= statistics[self.arms[0]]
        facts["arms"] = statistics | {CONTROL: self._seen.tallies[CONTROL].describe()}
        facts["dropped"] = list(self.dropped)
        return Finding(verdict, reason, final, units, facts)

    def _verdict(self, stage: int) -> tuple[Outcome, str, bool]:
        if self._ratio_broken():
            return "inconclusive", "sample_ratio", True
        if len(self.dropped) == len(self.arms):
            kind = self._seen.compared[self.arms[0]].harmful
            return "worse", f"harm_{kind}" if len(self.arms) == 1 else "all_harmful", True
        if self.plan.kind == "experiment":
            done = all(self._has_samples(n) for n in self.arms if n not in self.dropped)
            return "inconclusive", "learned" if done else "collecting", done
        if self._refuted(self.arms[0]):
            return "inconclusive", "gain_refuted", True
        doubt = self._doubt(self.arms[0], stage)
        return ("inconclusive", doubt, False) if doubt else ("better", "gain_proven", True)

    def _ratio_broken(self) -> bool:
        log_e = log_mean_exp([side.log_e for side in self._seen.drawn])
        return log_e >= math.log(1.0 / SAMPLE_RATIO_ALPHA)

    def _has_samples(self, name: str) -> bool:
        if self.plan.design == "switchback":
            return len(self._seen.compared[name].differences) >= self.plan.min_pairs
        least = self.plan.ramp[0].min_candidates
        return min(self._seen.tallies[name].units, self._seen.tallies[CONTROL].units) >= least

    def _refuted(self, name: str) -> bool:
        """Whether the gain is proven to be below the least worthwhile one."""
        one, plan = self._seen.compared[name], self.plan
        if plan.design == "switchback":
            return one.lost.log_e >= math.log(1.0 / plan.gain_alpha)
        lower = one.gain.interval(plan.gain_alpha, plan.t_opt)[0]
        return min(one.gain.counts) >= plan.min_units and lower > math.log(1.0 - plan.min_gain)

    def _doubt(self, name: str, stage: int) -> str:
        """Name what is missing before a change may be kept, or return an empty string."""
        one, plan = self._seen.compared[name], self.plan
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
        return any(self._seen.tallies[arm].cost_missing for arm in (name, CONTROL))

    def _failed_gap(self, name: str) -> float:
        """The most by which the candidate's terminal failures may exceed control's.

        Counted in blocks; in batches for the few drained blocks of a switchback, and where a
        block is several tries: those that fail together, as in an outage, count as so many
        fewer. Where many such blocks of both sides have failures, the shares of items lost are
        compared too, half of alpha for each way.
        """
        alpha, tallies = self.plan.gain_alpha, self._seen.tallies
        sides = (tallies[name], tallies[CONTROL])
        shares = self.plan.failures == "final" and self.plan.design == "blocks"
        bounds, times = [], _together(*sides) if shares else 1.0
        for tally in sides:
            pair: tuple[float, float] = (tally.failed_units, tally.units)
            if self.plan.design == "switchback" or shares:
                pair = (tally.failed_batches / times, tally.batches / times)
            bounds.append(proportion_sequence(*pair, alpha / (4 if shares else 2)))
        gap = bounds[0][1] - bounds[1][0]
        if shares and min(tally.failed_units for tally in sides) >= MANY_FAILED:
            losses = self._seen.compared[name].losses
            gap = min(gap, losses.interval(alpha / 2, self.plan.t_opt)[2])
        return gap

    def _statistics(self, name: str) -> dict[str, Json]:
        one = self._seen.compared[name]
        lower, middle, upper = self._effect(one)
        return self._seen.tallies[name].describe() | {
            "e": _exp(one.harm.log_e),
            "e_max": _exp(one.harm.log_e_max),
            "e_by_kind": {kind: _exp(log_e) for kind, log_e in one.harm.logs().items()},
            "harmful": one.harmful,
            "gain_e": _exp(one.sign.log_e) if self.plan.design == "switchback" else None,
            "gain_ci": [_relative(lower), _relative(upper)],
            "realised": _relative(middle),
            "failed_gap": self._failed_gap(name),
            "pairs": len(one.differences) if self.plan.design == "switchback" else None,
            "lost_s": self._seen.lost_s,
            "by_price": [self._priced(times, gain) for times, gain in one.priced.items()],
            "in_stage": {str(k): n for k, n in sorted(one.in_stage.items())},
        }

    def _priced(self, times: float, gain: Gain) -> dict[str, Json]:
        """The gain if failing for good lost so many times as much."""
        known = gain.scores.n >= 2
        lower, middle, upper = (
            gain.interval(self.plan.gain_alpha, self.plan.t_opt)
            if known
            else (-math.inf, math.nan, math.inf)
        )
        return {
            "lost_s": times * self._seen.lost_s, "realised": _relative(middle),
            "gain_ci": [_relative(lower), _relative(upper)],
        }  # fmt: skip

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


def _exp(log_e: float) -> float:
    return math.exp(min(log_e, 690.0))


def _relative(log_ratio: float) -> float | None:
    """Return a log ratio as a relative change, or None where nothing is known."""
    return math.expm1(log_ratio) if math.isfinite(log_ratio) else None

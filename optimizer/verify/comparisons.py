"""What the units of an experiment tell of each candidate beside the control, so far.

A unit of the control tells of all candidates that are still drawn beside it. It holds no
rule: when enough was seen is for `verification` to say.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from optimizer.sequential import FEW, ArmOdds, Gain
from optimizer.verify.comparison import Comparison, Harm
from optimizer.verify.plan import MOST_LOST, PRICES, Plan
from optimizer.verify.unit import Tally, Unit
from runtime.run.layers import CONTROL

BLOCK_RETRY_SHARE: Final = 0.10
"""A drained block in which more than this share of batches needed a retry is a harm event."""
PAIR_SCALE: Final = 0.10
"""Log difference of a pair at which it counts about in full for harm by time."""


class Comparisons:
    """The fold over units. Add each once, in order of finishing."""

    def __init__(self, plan: Plan, arms: tuple[str, ...]) -> None:
        self.plan = plan
        self.arms = arms
        self.tallies = {name: Tally() for name in (CONTROL, *arms)}
        self.compared = {name: Comparison(self._harm()) for name in arms}
        self._half: dict[int, dict[str, Unit]] = {}
        self.drawn = (ArmOdds(), ArmOdds())
        self.lost_s = plan.lost_s
        """What a batch that fails for good counts as, by what control's batches took so far."""

    def _harm(self) -> Harm:
        watched = self.plan.slow(1) is not None and self.plan.design == "blocks"
        return Harm(tail=ArmOdds() if watched else None)

    @property
    def dropped(self) -> tuple[str, ...]:
        """Candidates found harmful: in an experiment over several, the others go on."""
        return tuple(name for name in self.arms if self.compared[name].harmful)

    def add(self, unit: Unit) -> None:
        """Take in one finished unit."""
        self.lost_s = self._price(unit)
        self.tallies[unit.arm].add(unit)
        if self.plan.design == "switchback":
            self._add_half(unit)
        else:
            self._add_block(unit)

    def _price(self, unit: Unit) -> float:
        """What failing for good loses, no more than so many of control's earlier batches."""
        control = self.tallies[CONTROL]
        batch_s = unit.seconds_per_item * unit.items / unit.batches
        if control.units >= FEW:
            batch_s = control.seconds / control.batches
        return min(self.plan.lost_s, MOST_LOST * batch_s)

    # ---- blocks -----------------------------------------------------------------------

    def _add_block(self, unit: Unit) -> None:
        for name in self._about(unit):
            drawn, control = self._chances(unit)
            share = drawn / (drawn + max(control, 1e-9))
            self._compare_block(self.compared[name], unit, drawn, share)

    def _about(self, unit: Unit) -> tuple[str, ...]:
        """The candidates a unit tells of: a dropped one is no longer drawn beside control."""
        if unit.arm != CONTROL:
            return (unit.arm,)
        if len(self.arms) == 1:
            return self.arms
        return tuple(name for name in self.arms if not self.compared[name].harmful)

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
            self.drawn[0].add(1.0, candidate=candidate, share=share)
            self.drawn[1].add(-1.0, candidate=candidate, share=share)
        value = self._outcome(unit)
        if stage == len(self.plan.ramp) - 1 and value is not None and value > 0.0:
            one.gain.add(math.log(value), candidate=candidate, share=share)
            for times, gain in self._gains(one):
                other = self._outcome(unit, times)
                if other is not None:
                    gain.add(math.log(other), candidate=candidate, share=share)
            one.losses.add(unit.failed_items / unit.items, candidate=candidate, share=share)

    def _gains(self, one: Comparison) -> Iterator[tuple[float, Gain]]:
        """The gain at other prices of failing for good, where that has one."""
        for times in PRICES if self.plan.lost_s else ():
            yield times, one.priced.setdefault(times, Gain())

    def _outcome(self, unit: Unit, priced: float = 1.0) -> float | None:
        """Seconds or cost of an item, with what was lost by failing for good.

        That counts ``priced`` times as much as its price says.
        """
        times = self._with_losses(unit, priced) / unit.seconds_per_item
        value = unit.cost_per_item if self.plan.objective == "cost" else unit.seconds_per_item
        return None if value is None else value * times

    def _with_losses(self, unit: Unit, priced: float = 1.0) -> float:
        lost_s = priced * self.lost_s * unit.failed_batches
        return unit.seconds_per_item + lost_s / unit.items

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
            self._compare_pair(self.compared[arm], half[CONTROL], half[arm])

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


def _retry_event(unit: Unit) -> int:
    return int(unit.retried > BLOCK_RETRY_SHARE * unit.batches)

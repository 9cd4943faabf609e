"""What a retry budget of 10% would lose and hold if every playbook had it, with a floor.

A floor is so many retries a minute that cost nothing, so that small runs keep theirs. Steps
fail as measured reruns do (`flaky_reruns`, those that ever succeed), with three attempts; in
the outage everything fails, with five. Written for a decision, and kept to make it again::

    python -m bench.default_budget --data DIR
"""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from optimizer.backtest.retrying import load
from runtime.playbook.model import Retry
from runtime.run.budget import Budget
from runtime.run.events import Fault
from runtime.run.retry import delay_s

SHARE: Final = 0.1
FLOORS: Final = (0, 1, 10, 60)
STEPS: Final = 60
FAULT: Final = Fault("transient", "")


@dataclass(slots=True)
class Floored:
    """A budget beside so many retries a minute that cost nothing."""

    a_minute: int
    budget: Budget = field(default_factory=Budget)
    free: float = 0.0
    at: float = 0.0

    def ended(self, at: float, *, first: bool, wants: bool) -> bool:
        """Whether a try that ended may be made again."""
        self.free = min(self.a_minute, self.free + (at - self.at) * self.a_minute / 60.0)
        self.at = at
        if self.budget.ended(SHARE, first=first, wants=wants):
            return True
        if not wants or self.free < 1.0:
            return False
        self.free -= 1.0
        return True


def play(
    fails: float, floor: int | None, rate: float, many: int, attempts: int, seed: int,
    down: tuple[float, float] = (0.0, 0.0),
) -> tuple[float, float]:  # fmt: skip
    """Return the share of work lost, and tries for each piece that begins while all is down."""
    rng = np.random.default_rng(seed)
    events = [(float(at), k, 1) for k, at in enumerate(rng.exponential(1 / rate, many).cumsum())]
    budget = Floored(floor or 0, free=float(floor or 0))
    lost = tries = firsts = 0
    while events:
        at, piece, turn = heapq.heappop(events)
        inside = down[0] <= at < down[1]
        tries, firsts = tries + inside, firsts + (inside and turn == 1)
        failed = bool(inside or rng.random() < fails)
        again = failed and turn < attempts
        if floor is not None:
            again = budget.ended(at, first=turn == 1, wants=again)
        if again:
            wait = delay_s(Retry(), turn, FAULT, float(rng.random()))
            heapq.heappush(events, (at + wait, piece, turn + 1))
        lost += failed and not again
    return lost / many, tries / max(firsts, 1)


def lost(chances: Sequence[float], floor: int | None, many: int) -> list[float]:
    """Return what each of these steps loses of so many pieces, four a second."""
    return [play(chance, floor, 4.0, many, 3, 1)[0] for chance in chances]


def amplified(rate: float, floor: int | None) -> float:
    """Return the tries for each piece in an outage of the middle half of four minutes."""
    span = 240.0
    down, many = (span / 4, 3 * span / 4), max(round(rate * span), 20)
    return float(np.mean([play(0.02, floor, rate, many, 5, s, down)[1] for s in range(8)]))


def main() -> None:
    """Print the tables."""
    asked = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    asked.add_argument("--data", type=Path, required=True)
    chance = load(asked.parse_args().data).chance
    some = np.random.default_rng(0).choice(chance[chance < 1.0], STEPS, replace=False)
    for many in (20, 600):
        usual = lost(some, None, many)
        often = lost([0.2], None, many)[0]
        print(f"{many} pieces of work, without: {np.mean(usual):.2%}; 1 in 5 fails: {often:.1%}")
        for floor in FLOORS:
            now = lost(some, floor, many)
            more = float(np.mean(np.array(now) > np.array(usual) + 0.01))
            often = lost([0.2], floor, many)[0]
            print(f"  floor {floor:2}: {np.mean(now):.2%} lost, {more:.0%} of steps lose a point "
                  f"more; 1 in 5 fails: {often:.1%}")  # fmt: skip
    for rate in (0.05, 1.0, 20.0):
        told = ", ".join(f"{floor} {amplified(rate, floor):.2f}" for floor in FLOORS)
        print(f"outage, {rate:g}/s: {amplified(rate, None):.2f} tries without; by floor {told}")


if __name__ == "__main__":
    main()

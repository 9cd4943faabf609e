"""What if: a recorded run under other knob values, as an estimate.

The run's work is drawn again many times, once as it was and once as asked, under the same
chances, and put in time by `flow.replay`. The drawing of the run as it was is compared
with what was recorded: that is the calibration error, part of every answer. Other runs of
the same version, where there are any, tell of sizes and concurrencies the run itself did
not know, and how runs differ. Values in, values out; chance is handed in.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from optimizer.simulate.answer import estimate
from optimizer.simulate.drawing import Plan
from optimizer.simulate.estimate import CannotSay, Estimate
from optimizer.simulate.flow import Outcome, replay
from optimizer.simulate.hours import HoursClock
from optimizer.simulate.question import Asked, Changes, ask, check, refused
from optimizer.simulate.recut import as_asked, as_it_was, shares_of
from optimizer.simulate.work import Work
from runtime.playbook.model import Playbook

DRAWS: Final = 100
BUDGET: Final = 100_000
"""Pieces drawn for one answer; a large run is drawn fewer times, but `LEAST_DRAWS`."""
LEAST_DRAWS: Final = 5


def what_if(
    work: Work, changes: Changes, rng: random.Random, *, history: Sequence[Work] = (),
    playbook: Playbook | None = None, slots: int | None = None, draws: int = DRAWS,
) -> Estimate | CannotSay:  # fmt: skip
    """Return what the run would have taken under ``changes`` (step → knob → value).

    ``history`` are other runs of the same version. ``playbook`` tells which errors are
    tried again and how many items may fail; ``slots`` how many attempts the pool runs.

    Raises:
        BadChange: a value is no whole number of at least 1, no share, or are no hours.
    """
    check(changes)
    if (refusal := refused(work, changes)) is not None:
        return refusal
    return prepared(work, rng, history, playbook, slots, draws).under(changes)


def prepared(
    work: Work, rng: random.Random, history: Sequence[Work] = (),
    playbook: Playbook | None = None, slots: int | None = None, draws: int = DRAWS,
) -> Prepared:  # fmt: skip
    """Return a run that can be asked about many changes: what they share is worked out once."""
    asked = ask(work, {}, history, playbook, slots)
    times = min(draws, max(LEAST_DRAWS, BUDGET // max(work.pieces, 1)))
    return Prepared(work, asked, [rng.getrandbits(64) for _ in range(times)])


@dataclass(slots=True)
class Prepared:
    """A run with its stock, its seeds, and the replays of it as it was."""

    work: Work
    asked: Asked
    seeds: Sequence[int]
    before: Sequence[Outcome] | None = None

    def under(self, changes: Changes) -> Estimate | CannotSay:
        """Return what the run would have taken under changes; see `what_if`."""
        check(changes)
        if (refusal := refused(self.work, changes)) is not None:
            return refusal
        asked = replace(self.asked, changes=changes, notes={})
        was = as_it_was(asked)
        to_be = as_asked(asked, was)
        if isinstance(to_be, CannotSay):
            return to_be
        if self.before is None:
            self.before = [self._replay(was, s) for s in self.seeds]
        shares, clock = shares_of(changes), asked.clock()
        if isinstance(clock, CannotSay):
            return clock
        after = [self._replay(to_be, s, shares, clock) for s in self.seeds]
        if clock is not None:
            if (refusal := clock.refusal()) is not None:
                return refusal
            asked.notes.update(dict.fromkeys(clock.notes()))
        return estimate(asked, self.before, after)

    def _replay(
        self, plan: Plan, seed: int, shares: Mapping[str, float] | None = None,
        clock: HoursClock | None = None,
    ) -> Outcome:  # fmt: skip
        anew = clock.anew() if clock is not None else None
        return replay(plan.draw(seed), self.asked.slots, self.asked.allowed, shares, anew)

"""Replays: what recorded runs of one step foretell of other values of its knobs.

The latest runs on the values in force are asked, all others are their history. Each answer
is kept, and the same seed gives the same. First they are replayed as they were: how far off
that is says whether the rest may be believed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, TypeAlias

from optimizer.direction import Setting
from optimizer.guard import Limits
from optimizer.seeded import seeded
from optimizer.simulate.estimate import CannotSay, Estimate
from optimizer.simulate.what_if import Prepared, prepared
from optimizer.simulate.work import Cut, Work
from optimizer.words import many

Json: TypeAlias = Any

DRAWS: Final = 5
"""Times that a run is drawn for one setting; the same chances serve every setting."""
MOST_PIECES: Final = 1_000
"""A run of more pieces is not replayed, and with its like not more than the next are kept."""
MOST_OF_ALL: Final = 8 * MOST_PIECES
"""A look at a step is to cost a second of processor at most."""


@dataclass(slots=True)
class Replays:
    """The latest runs on the stable values, and all others as their history."""

    scope: Mapping[str, Json]
    works: Sequence[Work]
    stable: Setting
    seed: str
    least: int
    most: int = MOST_PIECES
    asked: list[Work] = field(init=False)
    large: int = field(init=False)
    told: dict[tuple[str, tuple[int, ...]], float | None] = field(default_factory=dict)
    errors: list[float] = field(default_factory=list)
    ready: dict[str, Prepared] = field(default_factory=dict)

    def __post_init__(self) -> None:
        mine = [one for one in self.works if all(self._stood(cut) for cut in self._cuts(one))]
        stood = [work for work in mine if work.pieces <= self.most]
        self.large = len(mine) - len(stood)
        self.asked = stood[-self.least :]
        self.works = self._kept(stood)

    def _kept(self, stood: Sequence[Work]) -> list[Work]:
        """Those asked, then runs on other values, then more on the same, the latest first."""
        same = {work.run for work in stood}
        others = [work for work in self.works if work.run not in same]
        ranked = [*self.asked, *reversed(others), *reversed(stood[: -self.least])]
        room, kept = MOST_OF_ALL, set()
        for work in ranked:
            if work.pieces <= room:
                room -= work.pieces
                kept.add(work.run)
        return [work for work in self.works if work.run in kept]

    def doubt(self, limits: Limits) -> str | None:
        """Return why the replays are not to be trusted, or None."""
        if (found := len(self.asked)) < self.least:
            large = f"; {self.large} have more than {self.most} batches" if self.large else ""
            return f"{many(found, 'run')} on its values can be replayed, not {self.least}{large}"
        for work in self.asked:
            if self.effect(work, self.stable) is None:
                return "its runs cannot be replayed as they were"
        off = median(self.errors)
        if off > limits.replay_error:
            return f"replays of its runs are {off:.0%} off, more than {limits.replay_error:.0%}"
        return None

    def effect(self, work: Work, setting: Setting) -> float | None:
        """Return the log effect that one run's replay foretells, None when it cannot say."""
        key = work.run, tuple(setting.values())
        if key not in self.told:
            self.told[key] = self._replayed(work, setting)
        return self.told[key]

    def foretold(self, setting: Setting) -> float | None:
        """Return the median log effect over the runs; None where one of them cannot say."""
        found = [self.effect(work, setting) for work in self.asked]
        known = [log for log in found if log is not None]
        return median(known) if len(known) == len(found) else None

    def seen(self, knob: str) -> list[int]:
        """The values of a knob that runs had, the stable one among them."""
        cuts = [cut for work in self.works for cut in self._cuts(work)]
        known = {v for cut in cuts if (v := _value(cut, knob)) is not None}
        return sorted(known | {self.stable[knob]})

    def _replayed(self, work: Work, setting: Setting) -> float | None:
        found = self._prepared(work).under({str(self.scope["step"]): dict(setting)})
        if isinstance(found, CannotSay) or self._loses(found, work):
            return None
        self.errors.append(found.calibration_error)
        cost = found.cost_delta if self.scope.get("objective", "cost") == "cost" else None
        return math.log1p(max((cost or found.makespan_delta).median, -0.999))

    def _prepared(self, work: Work) -> Prepared:
        """The run with its stock: it is the same whatever is asked about it."""
        if work.run not in self.ready:
            others = [one for one in self.works if one is not work]
            rng = seeded(f"{self.seed} {work.run}")
            self.ready[work.run] = prepared(work, rng, others, draws=DRAWS)
        return self.ready[work.run]

    def _loses(self, found: Estimate, work: Work) -> bool:
        lost = sum(firing.items_failed for firing in work.firings)
        return found.fails > 0.0 or found.items_failed.median > lost

    def _cuts(self, work: Work) -> list[Cut]:
        return [cut for firing in work.of(str(self.scope["step"])) for cut in firing.cuts]

    def _stood(self, cut: Cut) -> bool:
        told = {knob: _value(cut, knob) for knob in self.stable}
        return not cut.arm and all(told[k] in (None, v) for k, v in self.stable.items())


def _value(cut: Cut, knob: str) -> int | None:
    sizes = {"each.batch": cut.size, "each.in_flight": cut.in_flight}
    return sizes.get(knob, cut.attempts)

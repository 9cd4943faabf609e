"""Replay: history with one family left out at a time, to see what would have been picked.

The result is the calibration for one space and history: which view of history to lean on
(the one under which the family that fares worst fares best, but a view that hangs on how few
steps left one setting has to be better by some), how its stated chances are to be read, how
wide its intervals are, and how far outside of the sizes of history it may speak. It knows
nothing of the step it will be used for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.gate.calibration import FEWEST_FAMILIES, Calibration, Pick, calibrate, reach
from optimizer.gate.lent import lent
from optimizer.gate.metrics import Heard, expert_of
from optimizer.gate.outlook import HARM, LEANS, SAVING, Outlook, outlook
from optimizer.gate.tendency import FEWEST_STEPS, Tendency
from optimizer.search.expert import Expert
from optimizer.search.history import History
from optimizer.search.space import Space

Array: TypeAlias = NDArray[Any]

LEVELS: Final = (0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Stated chances at each of which a replay picks."""
FARTHEST: Final = float(np.log(4.0))
"""An incumbent worse than four times the best is not what anybody runs."""
INCUMBENTS: Final = 12
"""The most incumbents a step of history is replayed from."""
ENOUGH: Final = 0.8
MOST_HARM: Final = 0.05
EARNED: Final = 0.1
"""By how much of its runs the worst family has to fare better for moves alone to be believed."""
WITNESSES: Final = 4
"""With fewer families than this moves have to be better by more, in proportion."""
LOSS: Final = 2.0
"""Savings that one harmful pick outweighs, when views of history are compared (over 1)."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One replay: what was believed, and the log ratios that came true (NaN: not known)."""

    family: str
    step: str
    belief: Outlook
    came: Array


def calibrated(
    space: Space, history: History, alike: Array | None = None, share: float = 0.0
) -> Calibration | None:
    """Return the calibration of a history, or None when it is too thin to replay.

    ``alike`` is the resemblance of each of its steps to each, where that is known, and
    ``share`` what it has earned: history is replayed as it will be used.
    """
    groups: dict[str, list[Case]] = defaultdict(list)
    expert = expert_of(space, history)
    for case in replays(space, history, alike, share, expert):
        groups[case.family].append(case)
    near = {family: _of_a_size(cases) for family, cases in groups.items()}
    tests = {share: _tested(near, near, share) for share in LEANS}
    best = max(LEANS, key=lambda share: tests[share].rank(share, _heard(history)))
    found = calibrate((p for cases in near.values() for p in picks(cases, best)), best)
    if found is None:
        return None
    far = {
        family: [case for case in cases if case.belief.moves.beyond > 0.0]
        for family, cases in groups.items()
    }
    return tests[best].told(found, _tested(near, far, best))


def _heard(history: History) -> bool:
    """Whether any replay had steps enough left to learn a tendency of."""
    fewest = min((history.families.count(one) for one in set(history.families)), default=0)
    return len(history) - fewest >= FEWEST_STEPS


def _of_a_size(cases: Sequence[Case]) -> list[Case]:
    """The cases in which steps of a like size ran under the incumbent.

    Where a family has none it is replayed all the same: what is asked there is harder than what
    the gate will answer, so that what comes true of it is no flattery.
    """
    return [case for case in cases if case.belief.moves.supported] or list(cases)


def replays(
    space: Space, history: History, alike: Array | None = None, share: float = 0.0,
    expert: Expert | None = None,
) -> Iterator[Case]:  # fmt: skip
    """Yield the cases of a history, steps of another size than all others among them.

    ``expert`` is what metrics have to say, of which others than the replayed one are asked.
    """
    families = np.asarray(history.families)
    for family in sorted(set(history.families)):
        others = families != family
        rest = history.of_steps(others)
        if not len(rest):
            continue
        plain = Tendency.of(space, rest)
        told = expert.having_learnt(rest) if expert is not None else None
        for index in np.flatnonzero(~others):
            row = history.rows[index]
            view, tendency = rest, plain
            if alike is not None and share > 0.0:
                view = lent(rest, alike[index, others], share)
                tendency = plain if view is rest else Tendency.of(space, view)
            for incumbent in _incumbents(row):
                heard = Heard(tendency, told, history.seen[index])
                belief = outlook(heard, view, incumbent, float(row[incumbent]))
                yield Case(family, f"{family}/{index}", belief, row - row[incumbent])


def picks(cases: Sequence[Case], share: float) -> Iterator[Pick]:
    """Yield what each case would have picked at every level of stated chance."""
    for case in cases:
        view = case.belief.leaning(share)
        chance = np.where(np.isfinite(case.came), view.below(SAVING), -1.0)
        chance[view.incumbent] = -1.0
        for pick in _picked(chance, view.mean):
            came = float(case.came[pick])
            stated = float(chance[pick])
            yield Pick(case.family, case.step, stated, came <= SAVING, came > HARM)


def _picked(chance: Array, mean: Array) -> list[int]:
    """The best expected among those stated at least so likely, and the likeliest."""
    found = {int(np.argmax(chance))} if chance.max() >= 0.0 else set()
    for level in LEVELS:
        if (chance >= level).any():
            found.add(int(np.argmin(np.where(chance >= level, mean, np.inf))))
    return sorted(found)


def _incumbents(row: Array) -> Array:
    """Settings a step may stand at, spread evenly over how good they are."""
    usual = np.flatnonzero(row - np.nanmin(row) < FARTHEST)
    ranked = usual[np.argsort(row[usual], kind="stable")]
    spread = np.linspace(0, len(ranked) - 1, min(INCUMBENTS, len(ranked)))
    return np.asarray(ranked[np.unique(np.round(spread).astype(int))])


@dataclass(frozen=True, slots=True)
class Made:
    """A change that the gate would have proposed in a replay, and what came of it.

    ``surprise`` is by how many standard deviations the log ratio missed its expectation,
    ``beyond`` how far outside of the sizes of the others the step lay.
    """

    ratio: float
    surprise: float
    beyond: float

    @property
    def harmed(self) -> bool:
        """Whether it was truly harm."""
        return self.ratio > HARM

    @property
    def saved(self) -> float:
        """What was saved, harm counted more than its loss."""
        return max(1.0 - float(np.exp(self.ratio)), -1.0) - (LOSS if self.harmed else 0.0)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What the gate would have done, a list a family; None where it proposed nothing."""

    made: tuple[tuple[Made | None, ...], ...]

    def rank(self, share: float, heard: bool = True) -> tuple[float, float]:
        """How the worst family fares, less what moves have to earn, and then all of them.

        ``heard`` is whether there was a tendency for moves to be better than.
        """
        few = max(WITNESSES / max(len(self.made), 1), 1.0) if heard else 1.0
        each = [[one.saved if one else 0.0 for one in family] for family in self.made]
        means = [sum(family) / len(family) for family in each]
        asked = EARNED * few * (1.0 - share)
        return (round(min(means) - asked, 3), sum(means)) if means else (-asked, 0.0)

    def told(self, found: Calibration, far: Replayed) -> Calibration:
        """Return the map with what came of proposals, of steps of a like size and of others."""
        made = self.proposals()
        low, high = reach([[one.surprise for one in family] for family in made], found.families)
        return replace(
            found, proposed=sum(map(len, made)), proposing=len(made),
            harmed_by=sum(one.harmed for family in made for one in family),
            low=low, high=high, beyond=far.farthest(),
        )  # fmt: skip

    def proposals(self) -> list[list[Made]]:
        """Return what was proposed, by family; a family without a proposal has no list."""
        made = [[one for one in family if one is not None] for family in self.made]
        return [family for family in made if family]

    def farthest(self) -> float:
        """Return how far outside of the sizes of history proposals may go, in logs.

        As far as two families bear it out, and nowhere if any was harmed there.
        """
        made = self.proposals()
        if any(one.harmed for family in made for one in family):
            return 0.0
        each = sorted(max(one.beyond for one in family) for family in made)
        return each[-FEWEST_FAMILIES] if len(each) >= FEWEST_FAMILIES else 0.0


def _tested(
    near: Mapping[str, Sequence[Case]], asked: Mapping[str, Sequence[Case]], share: float
) -> Replayed:
    """What would have been proposed in each case, its family judged by a map of the others."""
    told = {family: list(picks(cases, share)) for family, cases in near.items()}
    made = []
    for family, cases in asked.items():
        rest = (p for other in told if other != family for p in told[other])
        known = calibrate(rest, share, fewest=1)
        each = [None if known is None else _made(case, known) for case in cases]
        made.append(tuple(each))
    return Replayed(tuple(made))


def _made(case: Case, known: Calibration) -> Made | None:
    view = case.belief.leaning(known.share)
    stated = np.where(np.isfinite(case.came), view.below(SAVING), 0.0)
    stated[view.incumbent] = 0.0
    passes = (known.chance(stated) >= ENOUGH) & (known.harm(stated) <= MOST_HARM) & (stated > 0.0)
    if not passes.any():
        return None
    mean = view.mean
    pick = int(np.argmin(np.where(passes, mean, np.inf)))
    ratio = float(case.came[pick])
    surprise = (ratio - float(mean[pick])) / float(view.spread[pick])
    return Made(ratio, surprise, view.moves.beyond)

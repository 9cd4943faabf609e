"""Replay: history with one family left out at a time, to see what would have been picked.

The result is the calibration for one space and history: which view of history to lean on
(the one under which the family that fares worst fares best, but a view that hangs on how few
steps left one setting has to be better by some), and how its stated chances are to be read.
It knows nothing of the step it will be used for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.gate.calibration import Calibration, Pick, calibrate
from optimizer.gate.lent import lent
from optimizer.gate.metrics import Heard, expert_of
from optimizer.gate.outlook import HARM, LEANS, SAVING, Outlook, outlook
from optimizer.gate.tendency import Tendency
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
    tests = {share: _tested(groups, share) for share in LEANS}
    best = max(LEANS, key=lambda share: tests[share].rank(share))
    found = calibrate((p for cases in groups.values() for p in picks(cases, best)), best)
    return None if found is None else tests[best].told(found)


def replays(
    space: Space, history: History, alike: Array | None = None, share: float = 0.0,
    expert: Expert | None = None,
) -> Iterator[Case]:  # fmt: skip
    """Yield the cases of a history in which steps of a like size ran under the incumbent.

    A family that has none is replayed all the same: what is asked there is harder than what
    the gate will answer, so that what comes true of it is no flattery. ``expert`` is what
    metrics have to say, of which others than the replayed one are asked.
    """
    families = np.asarray(history.families)
    for family in sorted(set(history.families)):
        others = families != family
        rest = history.of_steps(others)
        if not len(rest):
            continue
        plain = Tendency.of(space, rest)
        told = expert.having_learnt(rest) if expert is not None else None
        cases: list[Case] = []
        for index in np.flatnonzero(~others):
            row = history.rows[index]
            view, tendency = rest, plain
            if alike is not None and share > 0.0:
                view = lent(rest, alike[index, others], share)
                tendency = plain if view is rest else Tendency.of(space, view)
            for incumbent in _incumbents(row):
                heard = Heard(tendency, told, history.seen[index])
                belief = outlook(heard, view, incumbent, float(row[incumbent]))
                cases.append(Case(family, f"{family}/{index}", belief, row - row[incumbent]))
        yield from [case for case in cases if case.belief.moves.supported] or cases


def picks(cases: Sequence[Case], share: float) -> Iterator[Pick]:
    """Yield what each case would have picked at every level of stated chance."""
    for case in cases:
        view = case.belief.leaning(share)
        chance = np.where(np.isfinite(case.came), view.below(SAVING), -1.0)
        chance[view.incumbent] = -1.0
        mean, spread = view.mean, view.spread
        for pick in _picked(chance, mean):
            came = float(case.came[pick])
            surprise = (came - float(mean[pick])) / float(spread[pick])
            stated = float(chance[pick])
            yield Pick(case.family, case.step, stated, surprise, came <= SAVING, came > HARM)


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
class Replayed:
    """What the gate would have saved, a list a family; 0 where it proposed nothing."""

    saved: tuple[tuple[float, ...], ...]

    def rank(self, share: float) -> tuple[float, float]:
        """How the worst family fares, less what moves have to earn, and then all of them."""
        means = [sum(one) / len(one) for one in self.saved]
        asked = EARNED * (1.0 - share)
        return (round(min(means) - asked, 3), sum(means)) if means else (-asked, 0.0)

    def told(self, found: Calibration) -> Calibration:
        made = [[one for one in family if one != 0.0] for family in self.saved]
        harmed = sum(one < -1.0 for family in made for one in family)
        proposing = sum(bool(family) for family in made)
        proposed = sum(map(len, made))
        return replace(found, proposed=proposed, harmed_by=harmed, proposing=proposing)


def _tested(groups: Mapping[str, Sequence[Case]], share: float) -> Replayed:
    """What each case would have saved, its family judged by a map of the others."""
    told = {family: list(picks(cases, share)) for family, cases in groups.items()}
    saved = []
    for family, cases in groups.items():
        rest = (p for other in told if other != family for p in told[other])
        known = calibrate(rest, share, fewest=1)
        views = [(case.belief.leaning(share), case.came) for case in cases]
        each = [0.0 if known is None else _saved(view, came, known) for view, came in views]
        saved.append(tuple(each))
    return Replayed(tuple(saved))


def _saved(view: Outlook, came: Array, known: Calibration) -> float:
    stated = np.where(np.isfinite(came), view.below(SAVING), 0.0)
    stated[view.incumbent] = 0.0
    passes = (known.chance(stated) >= ENOUGH) & (known.harm(stated) <= MOST_HARM) & (stated > 0.0)
    if not passes.any():
        return 0.0
    ratio = float(came[int(np.argmin(np.where(passes, view.mean, np.inf)))])
    return max(1.0 - float(np.exp(ratio)), -1.0) - (LOSS if ratio > HARM else 0.0)

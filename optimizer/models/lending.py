"""Lending: whose curves a step borrows, and how much each of them weighs.

All weigh alike until resemblance has earned more (see `optimizer.resemblance`): every lender in
turn is taken for a new step of which one size is known, or three, and what the other families
say of its other sizes has to be likelier when those that resemble it weigh more. Who knows
three sizes that lie apart has less to learn from whom it resembles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.models.roughness import Curve, Roughness, learnt
from optimizer.models.shapes import Fan, kinds
from optimizer.resemblance import FEWEST, SHARES, Described, earned, pulls, resemblance

Array: TypeAlias = NDArray[Any]

REPLAYED: Final = 24
"""Lenders that are taken for new steps, from all families alike."""
LEAST_SIZES: Final = 5
"""Sizes a lender needs to be taken for a new step: some are known, the others foretold."""
SEVERAL: Final = 3
"""Sizes from which on a step counts as one that knows several; with fewer it knows one."""
FORETOLD: Final = 12
"""Of a lender's other sizes so many at most are foretold when lending is judged."""


@dataclass(frozen=True, slots=True, eq=False)
class Lender:
    """A step that lends its curve; steps of one family are alike and lend each other nothing."""

    step: str
    family: str
    described: Described
    curve: Curve


@dataclass(frozen=True, slots=True, eq=False)
class Lending:
    """What one step may borrow; ``share`` is how much of a weight hangs on resemblance."""

    mine: Described = field(default_factory=Described)
    lenders: tuple[Lender, ...] = ()
    share: float = 0.0

    @property
    def curves(self) -> list[Curve]:
        """The lenders' curves."""
        return [one.curve for one in self.lenders]

    def alike(self) -> Array:
        """Return how much each lender resembles the step."""
        return np.asarray([resemblance(self.mine, one.described) for one in self.lenders])

    def pulls(self) -> list[float]:
        """Return what each lender weighs, 1 for the one that is most alike."""
        return [float(one) for one in pulls(self.alike(), self.share)]


NOBODY: Final = Lending()


def earned_by(lenders: Sequence[Lender], known: int = SEVERAL) -> float:
    """Return the share of a weight that resemblance has earned where so many sizes are known."""
    if len({one.family for one in lenders}) < FEWEST:
        return 0.0
    replayed = _some([one for one in lenders if len(one.curve[0]) >= LEAST_SIZES])
    if not replayed:
        return 0.0
    gains = np.asarray([list(_gains(one, lenders, known)) for one in replayed])
    return earned(gains, [one.family for one in replayed])


def _some(lenders: Sequence[Lender]) -> list[Lender]:
    """At most so many, of each family about as many."""
    order = np.random.default_rng(5).permutation(len(lenders))
    seen: dict[str, int] = {}
    turns = []
    for at in order:
        family = lenders[at].family
        seen[family] = seen.get(family, 0) + 1
        turns.append((seen[family], int(at)))
    return [lenders[at] for _, at in sorted(turns)[:REPLAYED]]


def _gains(new: Lender, lenders: Sequence[Lender], known: int) -> Iterator[float]:
    """By share, how much likelier its other sizes are with the weights than without."""
    others = [one for one in lenders if one.family != new.family]
    curves = [one.curve for one in others]
    alike = np.asarray([resemblance(new.described, one.described) for one in others])
    rough = learnt(curves)
    told = _Told.of(new.curve, known)
    flat = told.likely(curves, np.ones(len(curves)), rough)
    for share in SHARES:
        weights = pulls(alike, share)
        same = np.ptp(weights) == 0.0
        yield 0.0 if same else told.likely(curves, weights, rough) - flat


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """A curve of which some sizes are known and some are foretold; all in logs."""

    sizes: Array
    seconds: Array
    known: Array
    rest: Array

    @classmethod
    def of(cls, curve: Curve, known: int) -> _Told:
        x, y = (np.log(np.asarray(part, float)) for part in curve)
        last = len(x) - 1
        seen = np.array([0, last // 2, last] if known >= SEVERAL else [last // 2])
        some = np.linspace(0, last, min(FORETOLD, last + 1)).astype(int)
        return cls(x, y, seen, np.setdiff1d(some, seen))

    def likely(self, others: Sequence[Curve], weights: Array, rough: Roughness) -> float:
        """The mean log density of what is foretold."""
        shapes = kinds(self.sizes[0], self.sizes[-1], others, list(weights))
        here = self.known
        fan = Fan(self.sizes[here], self.seconds[here], np.zeros(len(here)), shapes, rough)
        belief = fan.at(np.exp(self.sizes[self.rest]))
        return float(belief.likely(self.seconds[self.rest]).mean())

"""Calibration: what was stated, against what came true, on the user's own history.

History is replayed with one family left out at a time: each of its steps is taken for a new
one that has run under one setting alone, and what would have been picked for it is compared
with what that setting did. From many such picks follow a map of stated chances to what came
true (isotonic), the same for harm, and how wide an interval has to be to hold what comes
(conformal). Every family counts once, however many steps it has. The fewer families stand
behind a chance, the more it is drawn towards what came of such chances in other histories
(two numbers a curve, the same whichever of five public data sets is left out).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Json: TypeAlias = Any

VERSION: Final = 2
FEWEST_FAMILIES: Final = 2
CAUTION: Final = 2.0
"""How many families the other histories count as, in the curves and in the interval's reach."""
PIVOT: Final = 0.85
"""The stated chance at which `ELSEWHERE` holds."""
ELSEWHERE: Final = {"saved": (2.2, 1.2), "harmed": (-2.8, -1.0)}
"""What came true in other histories: log odds at `PIVOT`, and by log odds of what is stated."""
SUREST: Final = 0.99
MOST_HARMED: Final = 0.1
"""The most of a replay's proposals that may have done harm, for the gate to open at all."""
TAIL: Final = 0.05
NORMAL: Final = 1.645


@dataclass(frozen=True, slots=True)
class Pick:
    """One pick of a replay: what was stated of it, and what came true.

    ``surprise`` is by how many standard deviations the log ratio missed its expectation.
    """

    family: str
    step: str
    stated: float
    surprise: float
    saved: bool
    harmed: bool


@dataclass(frozen=True, slots=True)
class Calibration:
    """The map, as a value: knots of the two curves, the interval's reach, and from what."""

    share: float
    stated: tuple[float, ...]
    saved: tuple[float, ...]
    harmed: tuple[float, ...]
    behind: tuple[float, ...]
    """At each knot, how many families had a pick that was stated at least so likely."""
    low: float
    high: float
    replays: int
    steps: int
    families: int
    mean_stated: float
    mean_saved: float
    proposed: int = 0
    """Changes that the gate would have proposed in the replays, each by a map of the others."""
    harmed_by: int = 0
    """How many of them would have done harm."""
    proposing: int = 0
    """In how many families it would have proposed any."""
    version: int = VERSION

    @property
    def proven(self) -> bool:
        """Whether the gate would have done well on history; one that has not stays shut."""
        enough = self.proposing >= FEWEST_FAMILIES
        return enough and self.harmed_by <= MOST_HARMED * self.proposed

    def chance(self, stated: Array) -> Array:
        """Return how likely a saving is, for what was stated."""
        return self._drawn(self.saved, stated, elsewhere("saved", stated))

    def harm(self, stated: Array) -> Array:
        """Return how likely harm is, for what was stated of a saving."""
        return self._drawn(self.harmed, stated, elsewhere("harmed", stated))

    def _drawn(self, curve: Sequence[float], stated: Array, guess: Array) -> Array:
        came = np.interp(stated, self.stated, curve)
        behind = np.interp(stated, self.stated, self.behind, right=0.0)
        weight = behind / (behind + CAUTION)
        return np.asarray(weight * came + (1.0 - weight) * guess)

    def says(self) -> str:
        """Return it in a sentence, for a reviewer."""
        return (
            f"calibrated on {self.replays} replays of {self.steps} steps of {self.families} "
            f"families: stated {self.mean_stated:.2f} came true {self.mean_saved:.2f}"
        )

    def to_json(self) -> dict[str, Json]:
        """Return it as plain JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Json]) -> Calibration:
        """Return what `to_json` wrote.

        Raises:
            OtherVersion: it was written by a release that calibrates in another way.
        """
        if value.get("version") != VERSION:
            raise OtherVersion(value.get("version"))
        known = {name: value[name] for name in cls.__slots__}
        for name in ("stated", "saved", "harmed", "behind"):
            known[name] = tuple(float(one) for one in known[name])
        return cls(**known)


class OtherVersion(ValueError):
    """A calibration is of another version."""

    def __init__(self, version: Json) -> None:
        super().__init__(f"the calibration is of version {version}, and {VERSION} is read here")


def elsewhere(curve: Literal["saved", "harmed"], stated: Array) -> Array:
    """Return what came of stated chances in other histories than the user's."""
    from scipy.special import expit, logit

    level, slope = ELSEWHERE[curve]
    odds = logit(np.clip(stated, 1.0 - SUREST, SUREST)) - logit(PIVOT)
    return np.asarray(expit(level + slope * odds))


def calibrate(
    picks: Iterable[Pick], share: float, fewest: int = FEWEST_FAMILIES
) -> Calibration | None:  # fmt: skip
    """Return the map learnt from picks, or None where they are of too few families."""
    from scipy.optimize import isotonic_regression

    rows = sorted(picks, key=lambda p: (p.stated, p.family, p.step, p.saved, p.surprise))
    weights = _weights(rows)
    families = len({pick.family for pick in rows})
    if families < max(fewest, 1):
        return None
    saved = np.asarray([float(pick.saved) for pick in rows])
    harmed = np.asarray([float(pick.harmed) for pick in rows])
    stated = np.asarray([pick.stated for pick in rows])
    at, of = np.unique(stated, return_inverse=True)  # what was stated alike came true together
    each = np.bincount(of, weights=weights)
    came = [np.bincount(of, weights=weights * one) / each for one in (saved, harmed)]
    up = isotonic_regression(came[0], weights=each).x
    down = isotonic_regression(came[1], weights=each, increasing=False).x
    behind = _behind(rows)[np.searchsorted(stated, at)]
    kept = _knots(up, down, behind)
    low, high = _reach(np.asarray([pick.surprise for pick in rows]), weights, families)
    return Calibration(
        share, _numbers(at[kept]), _numbers(up[kept]), _numbers(down[kept]),
        _numbers(behind[kept]), low, high, len(rows), len({p.step for p in rows}), families,
        float(stated @ weights / weights.sum()), float(saved @ weights / weights.sum()),
    )  # fmt: skip


def _behind(rows: Sequence[Pick]) -> Array:
    """By pick, in order of what was stated: the families with one at least so likely."""
    seen: set[str] = set()
    counts = []
    for pick in reversed(rows):
        seen.add(pick.family)
        counts.append(float(len(seen)))
    stated = [pick.stated for pick in rows]
    return np.asarray(counts[::-1])[np.searchsorted(stated, stated)]


def _numbers(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _weights(rows: Sequence[Pick]) -> Array:
    counts: dict[str, int] = defaultdict(int)
    for pick in rows:
        counts[pick.family] += 1
    return np.asarray([1.0 / counts[pick.family] for pick in rows])


def _knots(*curves: Array) -> Array:
    """The ends of the flat pieces: between them the curves are as if all were kept."""
    moves = np.zeros(len(curves[0]) - 1, bool)
    for curve in curves:
        moves |= np.diff(curve) != 0.0
    kept = np.ones(len(moves) + 1, bool)
    kept[1:-1] = moves[:-1] | moves[1:]
    return kept


def _reach(surprise: Array, weights: Array, families: int) -> tuple[float, float]:
    """The surprises between which nine in ten lie, drawn towards the normal ones."""
    order = np.argsort(surprise)
    heights = (np.cumsum(weights[order]) - 0.5 * weights[order]) / weights.sum()
    low, high = np.interp((TAIL, 1.0 - TAIL), heights, surprise[order])
    drawn = families / (families + CAUTION)
    return float(drawn * low - (1.0 - drawn) * NORMAL), float(
        drawn * high + (1.0 - drawn) * NORMAL
    )

"""Calibration: what was stated, against what came true, on the user's own history.

History is replayed with one family left out at a time: each of its steps is taken for a new
one that has run under one setting alone, and what would have been picked for it is compared
with what that setting did. From many such picks follow a map of stated chances to what came
true (isotonic), and the same for harm; from those that the gate would have proposed, how
wide an interval has to be to hold what comes (conformal), for what is chosen comes out
otherwise than what is not. Every family counts once, however many steps it has. The fewer
families stand behind a chance, the more it is drawn towards what came of such chances in
other histories (two numbers a curve, the same whichever of five public data sets is left
out), and an interval towards that of a normal error.
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

VERSION: Final = 3
FEWEST_FAMILIES: Final = 2
CAUTION: Final = 2.0
"""How many families the other histories count as, in the curves."""
PIVOT: Final = 0.85
"""The stated chance at which `ELSEWHERE` holds."""
ELSEWHERE: Final = {"saved": (2.2, 1.2), "harmed": (-2.8, -1.0)}
"""What came true in other histories: log odds at `PIVOT`, and by log odds of what is stated."""
SUREST: Final = 0.99
MOST_HARMED: Final = 0.1
"""The most of a replay's proposals that may have done harm, for the gate to open at all."""
TAIL: Final = 0.05
NORMAL: Final = 1.645
IMAGINED: Final = 3.0
"""How many families with a normal error stand beside those that proposed, in an interval."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One pick of a replay: what was stated of it, and what came true."""

    family: str
    step: str
    stated: float
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
    low: float = -NORMAL
    """By how many standard deviations proposals come out lower than expected, at most."""
    high: float = NORMAL
    beyond: float = 0.0
    """By how much, in logs, a step may lie outside of the sizes of history."""
    version: int = VERSION

    @property
    def proven(self) -> bool:
        """Whether the gate would have done well on history; one that has not stays shut.

        Where only two families say so, no harm at all may have been done.
        """
        few = self.proposing <= FEWEST_FAMILIES
        most = 0.0 if few else MOST_HARMED * self.proposed
        return self.proposing >= FEWEST_FAMILIES and self.harmed_by <= most

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
        own = self.proposing / (self.proposing + IMAGINED)
        return (
            f"calibrated on {self.replays} replays of {self.steps} steps of {self.families} "
            f"families: stated {self.mean_stated:.2f} came true {self.mean_saved:.2f}; interval "
            f"{own:.0%} by the proposals in {self.proposing} of them, the rest by a normal error"
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

    rows = sorted(picks, key=lambda p: (p.stated, p.family, p.step, p.saved, p.harmed))
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
    return Calibration(
        share, _numbers(at[kept]), _numbers(up[kept]), _numbers(down[kept]),
        _numbers(behind[kept]), len(rows), len({p.step for p in rows}), families,
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


def reach(surprises: Sequence[Sequence[float]], families: int) -> tuple[float, float]:
    """Return between which surprises nine in ten proposals lie, drawn towards normal ones.

    ``surprises`` are by family that proposed: by how many standard deviations each log ratio
    missed what was expected of it. What is imagined beside them is the wider the fewer
    ``families`` there are in history, since what is expected is itself learnt from these.
    """
    normal = NORMAL * (1.0 + 1.0 / families) ** 0.5
    if not surprises:
        return -normal, normal
    each = np.concatenate([np.asarray(family) for family in surprises])
    weights = np.concatenate([np.full(len(f), 1.0 / len(f)) for f in surprises])
    order = np.argsort(each, kind="stable")
    heights = (np.cumsum(weights[order]) - 0.5 * weights[order]) / len(surprises)
    low, high = np.interp((TAIL, 1.0 - TAIL), heights, each[order])
    own = len(surprises) / (len(surprises) + IMAGINED)
    rest = (1.0 - own) * normal
    return float(own * low - rest), float(own * high + rest)

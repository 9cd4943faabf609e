"""An outlook: what is believed of every change away from the incumbent.

Two views of the same history are blended: the tendency, which knows what is good for most,
and the moves, which know what leaving this very setting did and how
it went with size. Which of them to lean on is not known beforehand; replaying history tells
(`optimizer.gate.calibration`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.gate.moves import Moves
from optimizer.search.history import History
from optimizer.search.posterior import Posterior

Array: TypeAlias = NDArray[Any]

LEANS: Final = (1.0, 0.5, 0.0)
"""Shares of the tendency that are compared; the rest is the moves'."""
HALF: Final = 0.5
"""The share of the tendency where no replay has said which."""
SAVING, HARM = float(np.log(0.95)), float(np.log(1.05))
"""Log ratios: what is worth having (5% less), and what is harm (5% more)."""


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """Log ratios to the incumbent, by candidate. ``share`` is how far the tendency counts."""

    incumbent: int
    posterior: Posterior
    moves: Moves
    share: float

    def leaning(self, share: float) -> Outlook:
        """Return the same belief with another share."""
        return Outlook(self.incumbent, self.posterior, self.moves, share)

    def below(self, threshold: float) -> Array:
        """Return the chance by candidate that its log ratio is below a threshold."""
        chance = np.zeros(len(self.moves.mean))
        if self.share > 0.0:
            chance = self.share * self.posterior.below(threshold)
        if self.share < 1.0:
            chance = chance + (1.0 - self.share) * self.moves.below(threshold)
        chance[self.incumbent] = float(threshold > 0.0)
        return chance

    @property
    def mean(self) -> Array:
        """The expected log ratio by candidate."""
        mean = self.share * self.posterior.average() + (1.0 - self.share) * self.moves.mean
        mean[self.incumbent] = 0.0
        return np.asarray(mean)

    @property
    def spread(self) -> Array:
        """The standard deviation of the log ratio by candidate."""
        posterior = self.posterior
        second = posterior.weights @ (posterior.variance + posterior.mean**2)
        moved = self.moves.spread**2 + self.moves.mean**2
        both = self.share * second + (1.0 - self.share) * moved - self.mean**2
        spread = np.sqrt(np.maximum(both, 1e-8))
        spread[self.incumbent] = 0.0
        return np.asarray(spread)


class Tells(Protocol):
    """What says how settings stand from an incumbent."""

    def about(self, incumbent: int) -> Posterior:
        """Return the belief."""
        ...


def outlook(
    tendency: Tells, history: History, incumbent: int, level: float, share: float = HALF
) -> Outlook:
    """Return what is believed when only the incumbent was run, at this mean log outcome."""
    return Outlook(
        incumbent, tendency.about(incumbent), Moves.of(history, incumbent, level), share
    )

"""A trial: a few runs on either side, and whether the candidate may stay.

What history expected and what was measured are put together (a normal prior, a Student t
for noise that is itself only roughly known). The candidate stays when the chance that it is
harmful is tiny and the chance that it saves is good; a run that fails ends it.

>>> settled(prior=(-0.3, 0.4), control=[0.0, 0.02], candidate=[-0.31, -0.28]).kept
True
>>> settled(prior=(-0.3, 0.4), control=[0.0, 0.02], candidate=[0.01, -0.02]).kept
False
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from optimizer.gate.outlook import HARM, SAVING

NOISE: Final = 0.06
"""What one run's log outcome is guessed to vary by, before any repeat was seen."""
GUESSED: Final = 4.0
"""How many repeats that guess counts as."""
LEAST_CHANCE: Final = 0.8
MOST_HARM: Final = 0.01


@dataclass(frozen=True, slots=True)
class Settled:
    """The log ratio after a trial: expected, its standard deviation, and what follows."""

    mean: float
    spread: float
    chance: float
    harm: float
    kept: bool


def settled(
    prior: tuple[float, float], control: Sequence[float], candidate: Sequence[float]
) -> Settled:
    """Return what a trial shows; outcomes are logs, one a run."""
    from scipy.special import stdtr

    variance, freedom = noise([control, candidate])
    measured = float(np.mean(candidate) - np.mean(control))
    error = variance * (1.0 / len(control) + 1.0 / len(candidate))
    expected, known = prior[0], max(prior[1], 1e-6) ** 2
    trust = known / (known + error)
    mean, spread = expected + trust * (measured - expected), float(np.sqrt(trust * error))
    chance = float(stdtr(freedom, (SAVING - mean) / spread))
    harm = float(stdtr(freedom, (mean - HARM) / spread))
    return Settled(mean, spread, chance, harm, chance >= LEAST_CHANCE and harm <= MOST_HARM)


def noise(sides: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return the variance of one run's log outcome, and its degrees of freedom."""
    squares = sum(float(((np.asarray(s) - np.mean(s)) ** 2).sum()) for s in sides if len(s))
    repeats = sum(max(len(side) - 1, 0) for side in sides)
    return (GUESSED * NOISE**2 + squares) / (GUESSED + repeats), GUESSED + repeats

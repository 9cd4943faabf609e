"""How likely trying again helps: a failure chance per try, and what a retry limit costs.

Nobody knows a step's failure chance; what is known is how such chances are spread. The
spread is a histogram over a fixed grid, learnt from many steps (or many batches of one
step) by expectation maximisation, as in non-parametric empirical Bayes (Robbins 1956; Laird
1978), and pulled towards a prior by so many imagined units. Its last cell is "never
succeeds": an error that is permanent whatever it calls itself. One unit's own outcomes then
give its posterior; a unit that has failed several times has a bad one, which is a hazard
that falls with each try.

>>> fickle = ANYTHING.given(failed=1, succeeded=9)
>>> broken = ANYTHING.given(failed=10, succeeded=0)
>>> fickle.best_limit(price=20.0, most=10) > 3, broken.best_limit(price=20.0, most=10)
(True, 0)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[Any]

_LOGITS: Final = np.linspace(-9.0, 2.5, 49)
CHANCES: Final[Array] = np.r_[1.0 / (1.0 + np.exp(-_LOGITS)), 1.0]
"""Failure chances of a try; the last one never succeeds."""
NEVER: Final = 0.25
"""Prior share of errors that no retry helps."""
FULL: Final = 400.0
"""A unit with more tries than this counts as if it had so many: it is known well enough."""
ROUNDS: Final = 60
"""Steps of expectation and maximisation."""


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """How the failure chances of a try are spread: one weight a cell of `CHANCES`."""

    weights: Array

    def given(self, failed: float, succeeded: float) -> Rates:
        """Return the spread for a unit of which these tries are known."""
        return Rates(_posteriors(self.weights, np.array([failed]), np.array([succeeded]))[0])

    def learn(
        self, failed: ArrayLike, succeeded: ArrayLike, *, strength: float,
        count: ArrayLike | None = None,
    ) -> Rates:  # fmt: skip
        """Return the spread over units like these; this one weighs ``strength`` units.

        ``count`` says how many units have the same outcomes.
        """
        lost, won = np.asarray(failed, float), np.asarray(succeeded, float)
        if not len(lost):
            return self
        many = np.ones(len(lost)) if count is None else np.asarray(count, float)
        likelihood = _likelihood(lost, won)
        weights = self.weights
        for _ in range(ROUNDS):
            share = likelihood * weights
            share /= share.sum(axis=1, keepdims=True)
            weights = many @ share + strength * self.weights
            weights = weights / weights.sum()
        return Rates(weights)

    def likely(self, failed: ArrayLike, succeeded: ArrayLike) -> Array:
        """Return how likely each unit's tries are, in logs, up to what is of the unit alone."""
        likelihood = _likelihood(np.asarray(failed, float), np.asarray(succeeded, float))
        return np.asarray(np.log(np.maximum(likelihood @ self.weights, 1e-300)))

    @property
    def fails(self) -> float:
        """The chance that the next try fails."""
        return float(self.weights @ CHANCES)

    @property
    def never(self) -> float:
        """The chance that no try ever succeeds."""
        return float(self.weights[-1])

    def fails_all(self, tries: int) -> float:
        """Return the chance that so many tries all fail."""
        return float(self.weights @ CHANCES**tries)

    def tries(self, limit: int) -> float:
        """Return the tries to expect with up to ``limit`` retries."""
        return sum(self.fails_all(k) for k in range(limit + 1))

    def lost(self, limit: int) -> float:
        """Return the chance that all tries fail."""
        return self.fails_all(limit + 1)

    def cost(self, limit: int, price: float) -> float:
        """Return the expected cost in tries, where failing for good costs ``price`` more."""
        return self.tries(limit) + price * self.lost(limit)

    def best_limit(self, price: float, most: int) -> int:
        """Return the number of retries (0 to ``most``) of least expected cost, least first."""
        return int(np.argmin([self.cost(limit, price) for limit in range(most + 1)]))


def _likelihood(failed: Array, succeeded: Array) -> Array:
    scale = np.minimum(1.0, FULL / np.maximum(failed + succeeded, 1.0))[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        wins = np.where(succeeded[:, None] > 0, succeeded[:, None] * np.log1p(-CHANCES), 0.0)
        logs = scale * (failed[:, None] * np.log(CHANCES) + wins)
    return np.asarray(np.exp(logs - logs.max(axis=1, keepdims=True)))


def _posteriors(weights: Array, failed: Array, succeeded: Array) -> Array:
    share = _likelihood(failed, succeeded) * weights
    return np.asarray(share / share.sum(axis=1, keepdims=True))


def _anything() -> Rates:
    even = np.full(len(_LOGITS), (1.0 - NEVER) / len(_LOGITS))
    return Rates(np.r_[even, NEVER])


ANYTHING: Final = _anything()
"""What is believed before anything was seen: every order of magnitude alike."""

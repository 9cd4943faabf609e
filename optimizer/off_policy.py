"""Off-policy estimates: what another value would have come to, from logged propensities.

Where a trial drew the arm of each unit with a known probability, the outcomes of the units
that got the other value speak for all units, once each weighs the inverse of its chance.
Self-normalised weighting (Swaminathan & Joachims, "The Self-Normalized Estimator for
Counterfactual Learning", NeurIPS 2015) keeps a few heavy units from running away with the
mean; the doubly robust estimate (Dudík, Langford & Li, "Doubly Robust Policy Evaluation and
Learning", ICML 2011) adds a model of the outcome and weighs only what it gets wrong. Below
thirty effective units (Kish 1965) nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from optimizer.effect import REACH

Array: TypeAlias = NDArray[Any]
Json: TypeAlias = Any

LEAST: Final = 30.0
"""Effective units below which there is no estimate."""
HEAVIEST: Final = 50.0
"""Weights are cut here: a unit that was drawn with 1 in 500 does not count for 500."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The mean outcome had every unit got the value, with its standard error."""

    method: str
    mean: float
    se: float
    effective: float

    def to_json(self) -> dict[str, Json]:
        """Return it for the record, with its 90% interval."""
        return {
            "mean": self.mean,
            "lower": self.mean - REACH * self.se,
            "upper": self.mean + REACH * self.se,
            "effective_units": self.effective,
        }


class TooFew(ValueError):
    """There are not enough effective units for an estimate."""

    def __init__(self, effective: float) -> None:
        super().__init__(f"{effective:.0f} effective units; {LEAST:.0f} are needed")
        self.effective = effective


def effective_units(taken: ArrayLike, chance: ArrayLike) -> float:
    """Return how many equal units the weighted ones are worth (Kish).

    >>> effective_units([True] * 40 + [False] * 40, [0.5] * 80)
    40.0
    """
    weights = _weights(np.asarray(taken, bool), np.asarray(chance, float))
    total = float(weights.sum())
    return total**2 / float(weights @ weights) if total > 0.0 else 0.0


def snips(taken: ArrayLike, chance: ArrayLike, outcome: ArrayLike) -> Estimate:
    """Return the self-normalised estimate.

    ``taken`` says which units got the value, ``chance`` with which probability each could.

    Raises:
        TooFew: nothing can be said.
    """
    got, y = np.asarray(taken, bool), np.asarray(outcome, float)
    weights, effective = _sound(got, np.asarray(chance, float))
    total = weights.sum()
    mean = float(weights[got] @ y[got] / total)
    rest = np.where(got, weights * (np.where(got, y, 0.0) - mean), 0.0)
    return Estimate("snips", mean, float(np.sqrt(rest @ rest) / total), effective)


def doubly_robust(
    taken: ArrayLike, chance: ArrayLike, outcome: ArrayLike, facts: ArrayLike
) -> Estimate:
    """Return the doubly robust estimate; ``facts`` are what is known of units beforehand.

    The model of the outcome is a straight line in the facts, fitted on half of the units and
    used on the other, so that no unit is judged by itself.

    Raises:
        TooFew: nothing can be said.
    """
    got, y, p = np.asarray(taken, bool), np.asarray(outcome, float), np.asarray(chance, float)
    weights, effective = _sound(got, p)
    x = np.column_stack([np.ones(len(y)), np.asarray(facts, float).reshape(len(y), -1)])
    half = np.arange(len(y)) % 2 == 0
    expected = np.empty(len(y))
    for one, other in ((half, ~half), (~half, half)):
        expected[one] = x[one] @ _line(x[other & got], y[other & got], weights[other & got])
    wrong = np.where(got, weights * (np.where(got, y, 0.0) - expected), 0.0)
    share = wrong / max(float(weights.sum()) / len(y), 1e-12)
    scores = expected + share
    se = float(scores.std(ddof=1) / math.sqrt(len(y)))
    return Estimate("doubly robust", float(scores.mean()), se, effective)


def compared(
    arms: Mapping[str, tuple[ArrayLike, ArrayLike]], outcome: ArrayLike, facts: ArrayLike
) -> dict[str, Json]:
    """Return both estimates of each arm, for the evidence; why not, where there is none."""
    found: dict[str, Json] = {}
    for name, (taken, chance) in arms.items():
        try:
            plain, robust = snips(taken, chance, outcome), None
            robust = doubly_robust(taken, chance, outcome, facts)
            found[name] = {"snips": plain.to_json(), "doubly_robust": robust.to_json()}
        except TooFew as error:
            found[name] = {"refused": str(error), "effective_units": error.effective}
    return found


def _weights(taken: Array, chance: Array) -> Array:
    if ((chance <= 0.0) | (chance > 1.0))[taken].any():
        raise ValueError("a unit that got a value had a chance of it above 0 and up to 1")
    return np.where(taken, np.minimum(1.0 / np.where(taken, chance, 1.0), HEAVIEST), 0.0)


def _sound(taken: Array, chance: Array) -> tuple[Array, float]:
    effective = effective_units(taken, chance)
    if effective < LEAST:
        raise TooFew(effective)
    return _weights(taken, chance), effective


def _line(x: Array, y: Array, weights: Array) -> Array:
    """Weighted least squares, with a light ridge on all but the level."""
    ridge = 1e-6 * len(y) * np.eye(x.shape[1])
    ridge[0, 0] = 0.0
    normal = x.T @ (x * weights[:, None]) + ridge
    return np.asarray(np.linalg.lstsq(normal, x.T @ (weights * y), rcond=None)[0])

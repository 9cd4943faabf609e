"""The methods that are compared: ours, and what everybody could use instead.

A method is a generator: it yields the setting to try next and is sent the log outcome. Ours
also says when it would stop; the others are made to stop after `FORCED` trials, since they
have no rule of their own. Every method works on log outcomes and repeats no setting.
Hyperparameters of the baselines are their libraries' or their papers'.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest import forests, optuna_methods
from optimizer.backtest.table import Table
from optimizer.search.history import History, centred
from optimizer.search.numeric import shipped

Array: TypeAlias = NDArray[Any]
Trials: TypeAlias = Generator[int, float, None]
Play: TypeAlias = Callable[[Table, History, np.random.Generator], Trials]

FORCED: Final = 10
"""After so many trials a method without a rule of its own stops."""
HORIZON: Final = 50
"""How many runs a workload has in all, when regret is counted."""
_TIE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Method:
    """One method: how it plays, what it needs, and how dear it is."""

    play: Play
    history: Literal["unused", "welcome", "needed"] = "unused"
    random: bool = True
    """Whether another seed may give another search."""
    slow: bool = False
    """Whether a proposal takes above 50 ms, so that fewer seeds are run."""
    stops: bool = False
    """Whether it has a stopping rule of its own."""
    knows: bool = False
    """Whether it can be told what failed, and what broke a limit by how much."""
    version: int = 1
    """Raise it when the method would play otherwise: results of another are not reused."""
    libraries: tuple[str, ...] = ()
    """The packages whose version its results depend on."""


def ours(table: Table, history: History, rng: np.random.Generator) -> Trials:
    """Play the shipped search."""
    search = shipped(table.space, history, HORIZON)
    while (step := search.next()) is not None:
        search.tell(step.setting, (yield step.setting))


def at_random(table: Table, history: History, rng: np.random.Generator) -> Trials:
    """Every setting once, in a random order."""
    for setting in rng.permutation(len(table.space)):
        yield int(setting)


def mean_rank(table: Table, history: History, rng: np.random.Generator) -> Trials:
    """The order of what was best for others on average (Micky, CLOUD 2018; PARIS, SoCC 2017)."""
    _, levels = centred(history.rows)
    seen = np.isfinite(history.rows).any(axis=0)
    levels = np.where(seen, levels, levels[seen].max() + 1.0)
    for setting in np.argsort(levels + _TIE * rng.random(len(levels))):
        yield int(setting)


RANK: Final = 3
RIDGE: Final = 0.3


def als(table: Table, history: History, rng: np.random.Generator) -> Trials:
    """Matrix completion by alternating least squares (Paragon, ASPLOS 2013; Quasar, 2014)."""
    free, levels = centred(history.rows)
    factors = _factors(free, levels, rng)
    left = np.ones(len(levels), bool)
    tried: list[int] = []
    told: list[float] = []
    expected = levels
    while left.any():
        noise = _TIE * rng.random(len(levels))
        setting = int(np.argmin(np.where(left, expected + noise, np.inf)))
        left[setting] = False
        told.append((yield setting))
        tried.append(setting)
        expected = _completed(levels, factors, tried, told)


def _factors(free: Array, levels: Array, rng: np.random.Generator) -> Array:
    known = np.isfinite(free)
    rest = np.where(known, free - levels[None, :], 0.0)
    settings = rng.normal(0.0, 0.1, (free.shape[1], RANK))
    ridge = RIDGE * np.eye(RANK)
    for _ in range(12):
        steps = np.stack(
            [_ridge(settings[k], r[k], ridge) for k, r in zip(known, rest, strict=True)]
        )
        settings = np.stack(
            [_ridge(steps[k], r[k], ridge) for k, r in zip(known.T, rest.T, strict=True)]
        )
    return settings


def _ridge(inputs: Array, outputs: Array, ridge: Array) -> Array:
    return np.asarray(np.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ outputs))


def _completed(levels: Array, factors: Array, tried: list[int], told: list[float]) -> Array:
    inputs = np.hstack([np.ones((len(tried), 1)), factors[tried]])
    ridge = RIDGE * np.eye(RANK + 1)
    ridge[0, 0] = 1e-6  # the step's own level is free
    found = _ridge(inputs, np.asarray(told) - levels[tried], ridge)
    return np.asarray(levels + found[0] + factors @ found[1:])


OURS: Final = "trimtab"
METHODS: Final[dict[str, Method]] = {
    OURS: Method(ours, history="welcome", random=False, stops=True, knows=True),
    "random": Method(at_random),
    "mean_rank": Method(mean_rank, history="needed", random=False),
    "als": Method(als, history="needed"),
    "sklearn_gp": Method(forests.gaussian_process, libraries=("scikit-learn",)),
    "extra_trees": Method(forests.extra_trees, libraries=("scikit-learn",)),
    "optuna_tpe": Method(optuna_methods.tpe, libraries=("optuna",)),
    "optuna_gp": Method(optuna_methods.gaussian_process, slow=True, libraries=("optuna", "torch")),
}

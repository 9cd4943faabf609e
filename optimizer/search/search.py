"""A search over a finite space: what to try next, and when trying is no longer worth it.

The next trial is the one with the most expected improvement per what the trial itself
costs. It is worth running while what it is expected to save over the runs still to come is
more than what it is expected to waste; so the search ends by itself, the sooner the fewer
runs there are to come (a value-of-information rule in the manner of Frazier & Powell's
knowledge gradient).

A run that fails or breaks a limit saves nothing and costs what failing costs; the chances of
either are beliefs of their own, beside that of the outcome (see `failing` and `keeping`).

>>> import numpy as np
>>> from optimizer.search.space import Column, Space
>>> space = Space.of(("a", "b", "c"), {"cpus": Column("log", (1, 2, 4))})
>>> search = Search(space, History.of([], [], 3), horizon=50)
>>> search.ask()
0
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.failing import Failing
from optimizer.search.history import History
from optimizer.search.keeping import Keeping
from optimizer.search.kernels import Kernels
from optimizer.search.mixture import Mixture
from optimizer.search.posterior import DEAREST, Posterior
from optimizer.search.space import Space

Array: TypeAlias = NDArray[Any]

_FEWEST: Final = 2
"""A step of the history with fewer outcomes says nothing of what is better than what."""
_WASTE: Final = 2.0
"""A run that failed costs so many times the dearest that did not."""


@dataclass(frozen=True, slots=True)
class Step:
    """The next trial, and whether it is worth its price over the runs still to come.

    ``saves`` is what a run is expected to save by it, as a share of one under the best so far,
    and ``price`` what the trial is expected to cost, as a multiple of one; NaN while nothing
    that is good was tried.
    """

    setting: int
    worthwhile: bool
    saves: float = math.nan
    price: float = math.nan


@dataclass(slots=True)
class Search:
    """Ask for a setting, tell its outcome, until `ask` returns None.

    ``horizon`` is how many runs there are in all, the trials among them.
    """

    space: Space
    history: History
    horizon: int = 50
    tried: list[int] = field(default_factory=list)
    outcomes: list[float] = field(default_factory=list)
    failed: list[bool] = field(default_factory=list)
    over: list[float] = field(default_factory=list)
    metrics: list[Array | None] = field(default_factory=list)
    mixture: Mixture = field(init=False)
    _failing: Failing = field(init=False)
    _keeping: Keeping = field(init=False)
    _waste: float = field(init=False)

    def __post_init__(self) -> None:
        kernels = Kernels.of(self.space)
        known = np.isfinite(self.history.rows).sum(axis=1) >= _FEWEST
        measured = self.history if known.all() else self.history.of_steps(known)
        self.mixture = Mixture(self.space, measured, kernels)
        self._failing = Failing(self.history, Kernels.counting_once(self.space))
        self._keeping = Keeping(self.space, self.history, kernels)
        self._waste = _waste(measured)

    def tell(
        self, setting: int, log_outcome: float, *, failed: bool = False, over: float = -np.inf,
        metrics: Array | None = None,
    ) -> None:  # fmt: skip
        """A setting was tried.

        ``failed``: its run came to nothing, so that its outcome says nothing of others.
        ``over``: the log of a limited quantity as a multiple of its limit; above 0 the limit
        was broken. ``metrics`` are what it was seen to do, as history has them.
        """
        if not (failed or np.isfinite(log_outcome)):
            raise ValueError(f"a run that did not fail has an outcome, not {log_outcome}")
        self.tried.append(setting)
        self.outcomes.append(log_outcome)
        self.failed.append(failed)
        self.over.append(over)
        self.metrics.append(metrics)

    @property
    def best(self) -> int:
        """The best setting tried so far, of those that neither failed nor broke the limit."""
        return self.tried[best_of(self.outcomes, self.failed, self.over)]

    def ask(self) -> int | None:
        """Return the setting to try next, or None when another trial is not worth it."""
        step = self.next()
        return step.setting if step is not None and step.worthwhile else None

    def next(self) -> Step | None:
        """Return the best next trial, worth its price or not; None when all was tried."""
        if self.tried and len(self.tried) >= min(self.horizon, len(self.space)):
            return None
        good, price = self.good(), self._price()
        now = 1.0 if not self._broken().all() else self._waste
        gain = good * (self.belief().saving() if now == 1.0 else np.maximum(now - price, 0.0))
        price = good * price + (1.0 - good) * self._waste
        value = gain / price
        value[self.tried] = -1.0
        best = int(np.argmax(value))
        left = self.horizon - len(self.tried)
        worthwhile = not self.tried or (left - 1) * gain[best] > price[best] - now
        if now != 1.0 or not self.tried:
            return Step(best, bool(worthwhile))
        return Step(best, bool(worthwhile), float(gain[best]), float(price[best]))

    def good(self) -> Array:
        """Return the chance by setting that a run neither fails nor breaks the limit."""
        good = np.clip(1.0 - self._failing.chance(self.tried, self.failed), 0.0, 1.0)
        known = [k for k, over in enumerate(self.over) if np.isfinite(over)]
        if self.history.over is None and not known:
            return good
        told = [self.tried[k] for k in known], [self.over[k] for k in known]
        return np.asarray(good * self._keeping.chance(*told))

    def belief(self) -> Posterior:
        """What is believed of every setting now, from the best within the limit so far."""
        told = self._measured()
        outcomes = [self.outcomes[k] for k in told]
        best = best_of(self.outcomes, self.failed, self.over)
        tried = [self.tried[k] for k in told]
        metrics = [self.metrics[k] for k in told]
        return self.mixture.posterior(tried, outcomes, self.outcomes[best], metrics)

    def _price(self) -> Array:
        """What a good run costs, as a multiple of one under the best."""
        return self.belief().price() if self._measured() else self.mixture.risk

    def _measured(self) -> list[int]:
        """The trials with an outcome that says something."""
        return [k for k, failed in enumerate(self.failed) if not failed]

    def _broken(self) -> Array:
        """By how much each trial was over the limit."""
        return broken(self.failed, self.over)


def broken(failed: Sequence[bool], over: Sequence[float]) -> Array:
    """By how much each trial was over the limit; 0 if it was not, infinite if it failed."""
    return np.where(failed, np.inf, np.maximum(over, 0.0))


def best_of(outcomes: Sequence[float], failed: Sequence[bool], over: Sequence[float]) -> int:
    """Return which trial was best: of those that kept the limit, or came nearest to it."""
    return int(np.lexsort((np.asarray(outcomes), broken(failed, over)))[0])


def _waste(history: History) -> float:
    """What a run that fails costs, as a multiple of one under the best: see `_WASTE`."""
    if not len(history):
        return DEAREST
    rows = history.rows - history.anchors()
    if history.over is not None:
        rows = np.where(np.nan_to_num(history.over) <= 0.0, rows, np.nan)
    rows = np.where(np.isfinite(rows).any(axis=1, keepdims=True), rows, np.inf)
    worst = np.minimum(_WASTE * np.exp(np.nanmax(rows, axis=1)), DEAREST)
    return float(np.average(worst, weights=history.weights()))

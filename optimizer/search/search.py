"""A search over a finite space: what to try next, and when trying is no longer worth it.

The next trial is the one with the most expected improvement per what the trial itself
costs. It is worth running while what it is expected to save over the runs still to come is
more than what it is expected to waste; so the search ends by itself, the sooner the fewer
runs there are to come (a value-of-information rule in the manner of Frazier & Powell's
knowledge gradient).

>>> import numpy as np
>>> from optimizer.search.space import Column, Space
>>> space = Space.of(("a", "b", "c"), {"cpus": Column("log", (1, 2, 4))})
>>> search = Search(space, History.of([], [], 3), horizon=50)
>>> search.ask()
0
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from optimizer.search.history import History
from optimizer.search.mixture import Mixture
from optimizer.search.posterior import Posterior
from optimizer.search.space import Space


@dataclass(frozen=True, slots=True)
class Step:
    """The next trial, and whether it is worth its price over the runs still to come."""

    setting: int
    worthwhile: bool


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
    mixture: Mixture = field(init=False)

    def __post_init__(self) -> None:
        self.mixture = Mixture(self.space, self.history)

    def tell(self, setting: int, log_outcome: float) -> None:
        """A setting was tried."""
        self.tried.append(setting)
        self.outcomes.append(log_outcome)

    @property
    def best(self) -> int:
        """The best setting tried so far."""
        return self.tried[int(np.argmin(self.outcomes))]

    def ask(self) -> int | None:
        """Return the setting to try next, or None when another trial is not worth it."""
        step = self.next()
        return step.setting if step is not None and step.worthwhile else None

    def next(self) -> Step | None:
        """Return the best next trial, worth its price or not; None when all was tried."""
        if not self.tried:
            return Step(int(np.argmin(self.mixture.risk)), True)
        if len(self.tried) >= min(self.horizon, len(self.space)):
            return None
        belief = self.belief()
        gain, price = belief.saving(), belief.price()
        gain[self.tried] = -1.0
        best = int(np.argmax(gain / price))
        left = self.horizon - len(self.tried)
        return Step(best, bool((left - 1) * gain[best] > price[best] - 1.0))

    def belief(self) -> Posterior:
        """What is believed of every setting now."""
        return self.mixture.posterior(self.tried, self.outcomes)

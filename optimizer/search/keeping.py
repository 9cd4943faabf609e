"""The chance to keep a limit: a belief of the limited quantity of its own.

A limit is a constraint on something that is measured (a latency), not a failure: what broke
it still tells its outcome, and by how much it was over. Other steps' quantities are known with
no limit at all, so that a history of larger models says how latency goes with the settings,
and not that nothing is allowed. The same sort of mixture as for the outcome believes in the
log of the quantity over its limit (Gardner et al., "Bayesian optimization with inequality
constraints", ICML 2014; Gelbart et al., UAI 2014); a step's level is not free, since a limit is
not relative: it is expected to be what other families' levels are, or, with the chance
that the next family is unlike all n seen so far (one in n + 1), anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.components import LEVEL
from optimizer.search.history import History, centred
from optimizer.search.kernels import Kernels
from optimizer.search.mixture import Level, Mixture
from optimizer.search.space import Space

Array: TypeAlias = NDArray[Any]

_LEAST: Final = 0.05
"""The least variance of a new step's level."""


class _Plain(History):
    """A history of quantities: they are believed in as they are."""

    def warped(self) -> Array:
        """Return the rows as they are."""
        return self.rows


class Keeping:
    """What is believed of the limited quantity. Make it once; ask it after every trial."""

    def __init__(self, space: Space, history: History, kernels: Kernels) -> None:
        over = history.over if history.over is not None else np.zeros((0, len(space)))
        known = np.isfinite(over).sum(axis=1) > 0
        families = [f for f, here in zip(history.families, known, strict=False) if here]
        seen = _Plain(over[known], tuple(families))
        level, chance = _level(seen), 1.0 / (len(set(families)) + 1.0)
        alike = Mixture(space, seen, kernels, level)
        unlike = alike.at(Level(level.mean, LEVEL))
        self._either = ((1.0 - chance, alike), (chance, unlike))

    def chance(self, tried: Sequence[int], over: Sequence[float]) -> Array:
        """Return the chance by setting to keep the limit, after these trials."""
        told = [(share, *mixture.weighed(tried, over)) for share, mixture in self._either]
        most = max(likely for _, likely, _ in told)
        weights = np.asarray([share * np.exp(likely - most) for share, likely, _ in told])
        chances = np.stack([belief.below(0.0) for *_, belief in told])
        return np.asarray(np.minimum(weights / weights.sum() @ chances, 1.0))


def _level(history: History) -> Level:
    """What the levels of other families say of a new one."""
    families = len(set(history.families))
    if families < 2:
        return Level(0.0, LEVEL)
    free, _ = centred(history.rows)
    own = np.nanmean(history.rows - free, axis=1)
    weights = history.weights() / history.weights().sum()
    mean = float(weights @ own)
    variance = float(weights @ (own - mean) ** 2) * (families + 1.0) / (families - 1.0)
    return Level(mean, max(variance, _LEAST))

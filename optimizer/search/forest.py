"""A forest: what a run did with memory, CPU and bytes, read as how other settings would do.

Extremely randomised trees (Geurts et al., 2006) learn from pairs of settings that other steps
ran under, as in Arrow (Hsu et al., "Arrow: Low-Level Augmented Bayesian Optimization for
Finding the Best Cloud VM", ICDCS 2018): the quantities of the setting that was measured, the
low-level metrics seen there, and the quantities of another setting. What they foretell is how
the other setting did for that step, beside how it does for steps in general, its own level
left out: where metrics say nothing, the answer is near nothing. Settings and metrics are
quantities, compared by their logarithm, so that no unit counts; a metric is also held against
each quantity of the other setting (memory that was used against memory that there is).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.history import History, centred
from optimizer.search.kernels import Kernels
from optimizer.search.recalled import Recalled, name_of
from optimizer.search.space import Space

Array: TypeAlias = NDArray[Any]

TREES: Final = 32
LEAF: Final = 5
"""The fewest pairs that a leaf of a tree speaks for."""
PAIRS: Final = 3000
"""About so many pairs are learnt from, spread evenly over steps."""
KEPT: Final = 16
"""So many forests are kept in memory, of a few MB each: history is asked of more than once."""
_GROWN: Final[Recalled[tuple[Any, ...]]] = Recalled(KEPT)
_LEAST: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """How a space and its metrics look to trees: ``settings`` are settings × quantities.

    ``logs`` are the quantities that a metric can be held against; ``centre`` and ``spread``
    are the metrics' own, in logs, over all of history.
    """

    settings: Array
    logs: Array
    centre: Array
    spread: Array

    @classmethod
    def of(cls, space: Space, metrics: Array) -> Seen:
        """Return how this history's metrics (steps × settings × metrics) are to be read."""
        told = logs_of(metrics).reshape(-1, metrics.shape[-1])
        known = np.isfinite(told)
        counts = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, told, 0.0).sum(axis=0) / counts
        off = np.where(known, told - centre, 0.0)
        spread = np.sqrt((off * off).sum(axis=0) / counts)
        spread = np.where(spread > _LEAST, spread, 1.0)
        return cls(Kernels.of(space).features, _quantities(space), centre, spread)

    def pairs(self, source: int, metrics: Array) -> Array:
        """Return what trees are shown of every other setting: settings × inputs."""
        told = logs_of(metrics) - self.centre
        here, size = self.logs[source], len(self.settings)
        apart = self.logs - here
        held = told[None, :, None] - apart[:, None, :]
        plain = told[None, :, None] - (self.logs - self.logs.mean(axis=0))[:, None, :]
        fixed = np.concatenate([self.settings[source], told / self.spread])
        parts = [np.tile(fixed, (size, 1)), self.settings]
        parts += [held.reshape(size, -1), plain.reshape(size, -1)]
        return np.hstack(parts).astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Trees over pairs of settings, for one space and one history."""

    seen: Seen
    trees: tuple[Any, ...]

    @classmethod
    def of(cls, seen: Seen, history: History) -> Forest:
        """Grow a forest on the steps of a history; the same lessons grow the same once."""
        lessons = _lessons(seen, history)
        return cls(seen, _GROWN.of(name_of(lessons), lambda: _grown(*lessons)))

    def told(self, source: int, metrics: Array) -> Array:
        """Return what each tree makes of one trial's metrics: trees × settings."""
        inputs = self.seen.pairs(source, metrics)
        return np.stack([tree.predict(inputs)[:, 0] for tree in self.trees])


def logs_of(metrics: Array) -> Array:
    """Return metrics in logs; what was not measured, and what is none at all, is not known."""
    known = np.isfinite(metrics) & (np.nan_to_num(metrics) > 0.0)
    return np.where(known, np.log2(np.where(known, metrics, 1.0)), np.nan)


def measured(metrics: Array) -> Array:
    """Return where a trial measured anything, over the last axis."""
    return np.asarray(np.isfinite(logs_of(metrics)).any(axis=-1))


def taught(history: History) -> History:
    """Return a history with the metrics of runs that have an outcome: others teach nothing."""
    if history.metrics is None:
        return history
    known = np.isfinite(history.rows)[:, :, None]
    return replace(history, metrics=np.where(known, history.metrics, np.nan))


def ordered(history: History) -> History:
    """Return a history in an order of its own, whatever the order its steps came in."""
    rows = np.nan_to_num(history.rows, nan=np.inf)
    families = np.unique(history.families, return_inverse=True)[1]
    return history.of_steps(np.lexsort([*rows.T, families]))


def _grown(inputs: Array, told: Array, weights: Array) -> tuple[Any, ...]:
    from sklearn.ensemble import ExtraTreesRegressor

    forest = ExtraTreesRegressor(TREES, min_samples_leaf=LEAF, random_state=0)
    forest.fit(inputs, told, sample_weight=weights)
    return tuple(tree.tree_ for tree in forest.estimators_)


def _lessons(seen: Seen, history: History) -> tuple[Array, Array, Array]:
    """The pairs of a history: inputs, how the other setting stands, and weights."""
    rows = history.warped()
    free, mean = centred(rows)
    rest = free - mean[None, :]
    measuring = measured(history.seen) & np.isfinite(rows)
    steps = np.flatnonzero(measuring.any(axis=1))
    order = np.random.default_rng(0).permutation(rows.shape[1])
    many = max(1, PAIRS // max(int(np.isfinite(rows[steps]).sum()), 1))
    weights, parts = history.weights(), []
    for step in steps:
        others = np.flatnonzero(np.isfinite(rows[step]))
        sources = order[measuring[step][order]][:many]
        weight = np.full(len(others), weights[step] / (len(others) * len(sources)))
        for source in map(int, sources):
            pairs = seen.pairs(source, history.seen[step, source])[others]
            parts.append((pairs, rest[step, others], weight))
    inputs, told, each = (np.concatenate(one) for one in zip(*parts, strict=True))
    return inputs, told, each


def _quantities(space: Space) -> Array:
    """The quantities of settings and their products, in logs: settings × quantities."""
    logs = [column.numbers for column in space.columns.values() if column.kind == "log"]
    logs = [column for column in logs if column.std() > _LEAST]
    both = [one + other for place, one in enumerate(logs) for other in logs[:place]]
    return np.stack([*logs, *both], axis=1) if logs else np.zeros((len(space), 0))

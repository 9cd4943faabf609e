"""Carried: what a step took where it ran, carried over to settings near by where it did not.

Steps run on grids of their own: one knows batch sizes 10, 20 and 40, another 16 and 64. A
row of history then has holes that lie between what is known, and to leave them empty would
compare steps by what each happened to run. So a hole is filled by regression on the step's
own outcomes over the columns of the space, in that idea of how alike settings are which
foretells the step's outcomes best from its others; and only where the regression is sure.
What lies outside of what the step knows stays unknown.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.history import History
from optimizer.search.kernels import LENGTHS, Kernels
from optimizer.search.recalled import Recalled, name_of
from optimizer.search.space import Column, Space

Array: TypeAlias = NDArray[Any]

SURE: Final = 0.05
"""A hole is filled when so small a share of the step's variance is left unknown there."""
RIDGE: Final = 0.01
EDGE: Final = 1e-9
FEWEST: Final = 4
"""A step that knows fewer settings is left as it is."""
_CARRIED: Final[Recalled[Array]] = Recalled(16)


def carried(space: Space, history: History, *, unseen: bool = False) -> History:
    """Return the history with the holes filled that lie among what a step knows.

    A setting that no step ran stays unknown, unless ``unseen``: what is filled passes for
    measured, and of what nobody ran the search says itself how unsure it is.
    """
    known = np.isfinite(history.rows)
    ran = np.asarray(known.any(axis=0) | unseen)
    partly = ~known.all(axis=1) & (known.sum(axis=1) >= FEWEST)
    if not partly.any():
        return history
    kernels = Kernels.of(space)
    name = name_of([history.rows, space.features, kernels.features], unseen)
    rows = _CARRIED.of(name, lambda: _carried(space, kernels, history.rows, partly, ran))
    return replace(history, rows=rows.copy())


def _carried(space: Space, kernels: Kernels, told: Array, partly: Array, ran: Array) -> Array:
    """All rows, those filled that know a part."""
    known, rows = np.isfinite(told), told.copy()
    views = _views(kernels)
    for here, steps in _alike(known, np.flatnonzero(partly)):
        asked = np.flatnonzero(_reached(space.features, here) & ran & ~here)
        if len(asked):
            rows[np.ix_(steps, asked)] = _filled(told[np.ix_(steps, here)], here, asked, views)
    return rows


def lent(space: Space, other: Space, outcomes: Array) -> Array:
    """Return what a step with settings of its own tells of these, NaN where it cannot say.

    The two spaces are compared in the columns that they share.

    >>> sizes = ((4, 8, 16, 32, 64, 128, 256, 512), (12, 48, 4096))
    >>> one, ours = (Space.of(tuple(map(str, s)), {"batch": Column("log", s)}) for s in sizes)
    >>> lent(ours, one, np.log2(sizes[0])).round(1).tolist()
    [3.6, 5.6, nan]
    """
    shared = [name for name in space.columns if name in other.columns]
    if not shared:
        return np.full(len(space), np.nan)
    columns = {name: _joined(space.columns[name], other.columns[name]) for name in shared}
    names = (*(f"ours/{name}" for name in space.names), *(f"its/{name}" for name in other.names))
    row = np.concatenate([np.full(len(space), np.nan), outcomes])
    alone = History.of([row], ["it"], len(row))
    both = carried(Space.of(names, columns), alone, unseen=True)
    return np.asarray(both.rows[0, : len(space)])


def _joined(one: Column, other: Column) -> Column:
    return Column(one.kind, (*one.values, *other.values))


def _reached(features: Array, known: Array) -> Array:
    """Whether each setting lies between those that are known, in every feature."""
    here = features[known]
    within = (features >= here.min(axis=0) - EDGE) & (features <= here.max(axis=0) + EDGE)
    return np.asarray(within.all(axis=1))


def _alike(known: Array, steps: Array) -> Iterator[tuple[Array, Array]]:
    """Yield what is known together, with the steps that know just that."""
    of = defaultdict(list)
    for step in steps:
        of[known[step].tobytes()].append(int(step))
    for these in of.values():
        yield known[these[0]], np.asarray(these)


def _filled(told: Array, known: Array, asked: Array, views: Sequence[_View]) -> Array:
    """What steps (each a row of what it knows) take where it is asked about, NaN if unsure."""
    level = told.mean(axis=1, keepdims=True)
    regressions = [view.told(known) for view in views]
    missed = [(one.missed((told - level).T) ** 2).mean(axis=0) for one in regressions]
    filled = np.empty((len(told), len(asked)))
    for step, best in enumerate(np.argmin(missed, axis=0)):
        mean, unsure = regressions[best].foretold(told[step] - level[step], asked)
        filled[step] = np.where(unsure <= SURE, level[step] + mean, np.nan)
    return filled


def _views(kernels: Kernels) -> list[_View]:
    every = np.arange(len(kernels.features))
    return [_View(kernels.near(every, every, view)) for view in range(len(LENGTHS))]


@dataclass(slots=True, eq=False)
class _View:
    """One idea of how alike all settings are."""

    near: Array
    _inverse: Array | None = None

    def told(self, known: Array) -> _ByKnown | _ByHoles:
        """Return the regression on some settings, by whichever are fewer: these or the others."""
        here, holes = np.flatnonzero(known), np.flatnonzero(~known)
        if len(here) <= len(holes):
            return _ByKnown.of(self.near, here)
        if self._inverse is None:
            self._inverse = _inverse(self.near)
        return _ByHoles.of(self._inverse, here, holes)


@dataclass(frozen=True, slots=True, eq=False)
class _ByKnown:
    """A regression on what is known, by the inverse of its covariance."""

    near: Array
    here: Array
    inverse: Array

    @classmethod
    def of(cls, near: Array, here: Array) -> _ByKnown:
        return cls(near, here, _inverse(near[np.ix_(here, here)]))

    def missed(self, told: Array) -> Array:
        """By how much each outcome is missed when the others foretell it: known × steps."""
        return np.asarray((self.inverse @ told) / np.diag(self.inverse)[:, None])

    def foretold(self, told: Array, asked: Array) -> tuple[Array, Array]:
        """Return what is expected elsewhere, and the variance that is left unknown there."""
        beside = self.near[np.ix_(asked, self.here)]
        pull = beside @ self.inverse
        return pull @ told, np.diag(self.near)[asked] - (pull * beside).sum(axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _ByHoles:
    """The same regression by the inverse of all settings' covariance: holes are taken out of it.

    ``pull`` is what a hole's outcome takes from what is known: holes × known.
    """

    inverse: Array
    here: Array
    holes: Array
    covariance: Array
    pull: Array

    @classmethod
    def of(cls, inverse: Array, here: Array, holes: Array) -> _ByHoles:
        covariance = np.linalg.inv(inverse[np.ix_(holes, holes)])
        return cls(inverse, here, holes, covariance, -covariance @ inverse[np.ix_(holes, here)])

    def missed(self, told: Array) -> Array:
        """By how much each outcome is missed when the others foretell it: known × steps."""
        whole = np.empty((len(self.inverse), told.shape[1]))
        whole[self.here], whole[self.holes] = told, self.pull @ told
        beside = self.inverse[np.ix_(self.holes, self.here)]
        heights = np.diag(self.inverse)[self.here] + (beside * self.pull).sum(axis=0)
        return np.asarray((self.inverse @ whole)[self.here] / heights[:, None])

    def foretold(self, told: Array, asked: Array) -> tuple[Array, Array]:
        """Return what is expected elsewhere, and the variance that is left unknown there."""
        these = np.searchsorted(self.holes, asked)
        return self.pull[these] @ told, np.diag(self.covariance)[these] - RIDGE


def _inverse(near: Array) -> Array:
    return np.asarray(np.linalg.inv(near + RIDGE * np.eye(len(near))))

"""Carried: what a step took where it ran, carried over to settings near by where it did not.

Steps run on grids of their own: one knows batch sizes 10, 20 and 40, another 16 and 64. A
row of history then has holes that lie between what is known, and to leave them empty would
compare steps by what each happened to run. So a hole is filled by regression on the step's
own outcomes over the columns of the space, in that idea of how alike settings are which
foretells the step's outcomes best from its others; and only where the regression is sure.
What lies outside of what the step knows stays unknown.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.history import History
from optimizer.search.kernels import LENGTHS, Kernels
from optimizer.search.space import Column, Space

Array: TypeAlias = NDArray[Any]

SURE: Final = 0.05
"""A hole is filled when so small a share of the step's variance is left unknown there."""
RIDGE: Final = 0.01
EDGE: Final = 1e-9
FEWEST: Final = 4
"""A step that knows fewer settings is left as it is."""


def carried(space: Space, history: History, *, unseen: bool = False) -> History:
    """Return the history with the holes filled that lie among what a step knows.

    A setting that no step ran stays unknown, unless ``unseen``: what is filled passes for
    measured, and of what nobody ran the search says itself how unsure it is.
    """
    known = np.isfinite(history.rows)
    ran = known.any(axis=0) | unseen
    partly = ~known.all(axis=1) & (known.sum(axis=1) >= FEWEST)
    if not partly.any():
        return history
    kernels = Kernels.of(space)
    every = np.arange(len(space))
    views = [kernels.near(every, every, view) for view in range(len(LENGTHS))]
    rows = history.rows.copy()
    for step in np.flatnonzero(partly):
        reached = _reached(space.features, known[step]) & ran
        rows[step] = np.where(reached, _filled(rows[step], known[step], views), rows[step])
    return replace(history, rows=rows)


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


def _filled(row: Array, known: Array, views: list[Array]) -> Array:
    """One step's row with the holes filled of which its best view is sure."""
    here, holes = np.flatnonzero(known), np.flatnonzero(~known)
    level = row[here].mean()
    told = row[here] - level
    inverses = [
        np.linalg.inv(near[np.ix_(here, here)] + RIDGE * np.eye(len(here))) for near in views
    ]
    missed = [float(np.mean(((i @ told) / np.diag(i)) ** 2)) for i in inverses]
    best = int(np.argmin(missed))
    near, inverse = views[best], inverses[best]
    pull = near[np.ix_(holes, here)] @ inverse
    unsure = np.diag(near)[holes] - (pull * near[np.ix_(holes, here)]).sum(axis=1)
    filled = row.copy()
    filled[holes] = np.where(unsure <= SURE, level + pull @ told, np.nan)
    return filled

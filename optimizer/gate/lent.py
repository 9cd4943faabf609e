"""Lent: other steps' outcomes, weighed by how much each step resembles the one that asks.

A history that lends is a history whose rows have a pull of their own, up to 1, beside what
their family counts. How far pulls differ is what resemblance has earned: every step is
foretold by the others, with and without, and what its settings did has to be likelier with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.resemblance import SHARES, pulls
from optimizer.search.history import History

Array: TypeAlias = NDArray[Any]

_ROUNDS: Final = 20
_LEAST: Final = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Lent(History):
    """A history whose rows are worth more or less to one step."""

    pull: tuple[float, ...] = ()

    def weights(self) -> Array:
        """Return the weight of each row: its family's share times its pull, on average 1."""
        weights = History.weights(self) * np.asarray(self.pull)
        return np.asarray(weights / weights.mean())


def lent(history: History, alike: Array, share: float) -> History:
    """Return a history as it speaks to a step of which its rows' resemblance is given."""
    pull = pulls(alike, share)
    if not len(alike) or (pull == pull[0]).all():
        return history
    weights = tuple(map(float, pull))
    return Lent(history.rows, history.families, metrics=history.metrics, pull=weights)


def pull_of(history: History) -> Array:
    """Return the pull of each row; 1 where all weigh alike."""
    return np.asarray(history.pull) if isinstance(history, Lent) else np.ones(len(history))


def gains(history: History, alike: Array) -> Array:
    """Return by step and share how much likelier it is by those that resemble it.

    A step is foretold by other families alone, as in the replays.
    """
    found = np.zeros((len(history), len(SHARES)))
    families, rows = np.asarray(history.families), history.warped()
    for step in range(len(history)):
        others = families != families[step]
        if others.any():
            rest = History(rows[others], tuple(families[others]))
            found[step] = list(_gained(rest, rows[step], alike[step, others]))
    return found


def _gained(rest: History, row: Array, alike: Array) -> Iterator[float]:
    flat = _likely(rest.rows, rest.weights(), row)
    for share in SHARES:
        view = lent(rest, alike, share)
        yield 0.0 if view is rest else _likely(rest.rows, view.weights(), row) - flat


def _likely(rows: Array, weights: Array, row: Array) -> float:
    """The mean log likelihood of a row's settings, its own level free, by the weighted others."""
    free, mean = centred(rows, weights)
    both = np.isfinite(row) & np.isfinite(rows).any(axis=0)
    if both.sum() < 2:
        return 0.0
    known = np.isfinite(rows) * weights[:, None]
    rest = np.where(np.isfinite(rows), free - mean, 0.0)
    few = float((weights**2).sum() / weights.sum() ** 2)
    variance = (float((known * rest**2).sum() / known.sum()) + _LEAST) * (1.0 + few)
    off = row[both] - mean[both]
    off = off - off.mean()
    return float(-0.5 * ((off**2).mean() / variance + np.log(variance)))


def centred(rows: Array, weights: Array) -> tuple[Array, Array]:
    """Split rows as `optimizer.search.history.centred` does, each row with its weight."""
    known = np.isfinite(rows)
    each = known * weights[:, None]
    counts = np.maximum(each.sum(axis=0), 1e-12)
    filled = np.where(known, rows, 0.0)
    many = np.maximum(known.sum(axis=1), 1)
    own = filled.sum(axis=1) / many
    levels = np.zeros(rows.shape[1])
    for _ in range(_ROUNDS):
        levels = np.where(known, rows - own[:, None], 0.0)
        levels = (levels * each).sum(axis=0) / counts
        own = np.where(known, rows - levels[None, :], 0.0).sum(axis=1) / many
    return rows - own[:, None], levels

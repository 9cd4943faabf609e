"""The chance that a run fails: a belief of its own beside that of the outcome.

Beta-binomial by step and setting. What other steps' runs did under a setting and under those
like it (each a count by how near it is, families counting alike) gives the chance that a new
step begins from; the step's own trials, and those of settings like the one in question, move
it. In which quantities settings are alike in failing (memory, nodes, a kind of hardware), and
how many trials that beginning is worth, is learnt from history: every family in turn is taken
for the new one, half of its settings told, and those views count that foretell the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.components import TEMPER
from optimizer.search.history import History
from optimizer.search.kernels import Kernels

Array: TypeAlias = NDArray[Any]

WORTH: Final = (0.03, 0.1, 0.3, 1.0)
"""How many trials of its own the chance that a step begins from may be worth."""
SHRUNK: Final = 1.0
"""The general chance counts as much as so many families that ran a setting."""
FEW: Final = 0.05
"""The chance before anything is known; it counts as one family."""
SHARP: Final = 2.0
"""Nearness is raised to it, for a count is not a surface."""
_LEAST: Final = 1e-3


class Failing:
    """What is believed of failures. Make it once; ask it after every trial.

    Where no run ever failed, none is expected to until one does.
    """

    def __init__(self, history: History, kernels: Kernels) -> None:
        self._history, self._kernels = history, kernels
        self._told = _failures(history)
        self._learnt: _Learnt | None = None

    def chance(self, tried: Sequence[int], failed: Sequence[bool]) -> Array:
        """Return the chance by setting that a run fails, after these trials."""
        if not (any(failed) or np.nansum(self._told) > 0.0):
            return np.zeros(len(self._kernels.features))
        if self._learnt is None:
            self._learnt = _Learnt.of(self._told, self._history.families, self._kernels)
        told = np.asarray(failed, float)
        return self._learnt.chance(np.asarray(tried, int), told)


@dataclass(frozen=True, slots=True, eq=False)
class _Learnt:
    """What history says of failures.

    ``near`` is views × settings × settings, ``begins`` the chance that a new step begins from,
    views × settings, ``weights`` what is believed, worths × views.
    """

    near: Array
    begins: Array
    weights: Array

    @classmethod
    def of(cls, told: Array, families: Sequence[str], kernels: Kernels) -> _Learnt:
        size = len(kernels.features)
        near = np.stack([kernels.nearness(s) for s in range(size)], axis=1) ** SHARP
        near = np.concatenate([near, np.eye(size)[None]])  # that a setting is like no other
        names = np.asarray(families, object)
        logs = np.zeros((len(WORTH), len(near)))
        order = np.random.default_rng(0).permutation(size)
        for family in sorted(set(families)):
            own = names == family
            others = _begins(near, told[~own], names[~own])
            share = 1.0 / own.sum()
            for row in told[own]:
                logs += share * _foretold(near, others, row, order)
        weights = np.exp(TEMPER * (logs - logs.max()))
        return cls(near, _begins(near, told, names), weights / weights.sum())

    def chance(self, tried: Array, failed: Array) -> Array:
        by_view = _after(self.near, self.begins, tried, failed)
        weights = self.weights * self._likely(tried, failed)
        return np.asarray(np.einsum("wv,wvn->n", weights / weights.sum(), by_view))

    def _likely(self, tried: Array, failed: Array) -> Array:
        """How likely a step's own trials were, each by those before it: worths × views."""
        likely = np.ones(self.weights.shape)
        for k, setting in enumerate(tried):
            near = self.near[:, setting, tried[:k]]
            worth = np.asarray(WORTH)[:, None]
            chance = (worth * self.begins[:, setting] + near @ failed[:k]) / (
                worth + near.sum(axis=1)
            )
            likely *= np.abs(1.0 - failed[k] - np.clip(chance, _LEAST, 1.0 - _LEAST))
        return likely


def _failures(history: History) -> Array:
    """The share of failed runs, steps × settings; NaN where none ran."""
    if history.failed is not None:
        return history.failed
    return np.where(np.isfinite(history.rows), 0.0, np.nan)


def _begins(near: Array, told: Array, families: Array) -> Array:
    """The chance that a new step begins from, by view and setting."""
    many = len(set(families))
    each = np.asarray([1.0 / (families == family).sum() for family in families])
    known = np.isfinite(told)
    bad = each @ np.where(known, told, 0.0)
    ran = each @ known.astype(float)
    general = (many * bad.sum() / max(float(ran.sum()), _LEAST) + FEW) / (many + 1.0)
    return np.asarray((near @ bad + SHRUNK * general) / (near @ ran + SHRUNK))


def _after(near: Array, begins: Array, tried: Array, failed: Array) -> Array:
    """The chance after trials: worths × views × settings."""
    bad, ran = near[:, :, tried] @ failed, near[:, :, tried].sum(axis=2)
    worth = np.asarray(WORTH)[:, None, None]
    return np.asarray((worth * begins + bad) / (worth + ran))


def _foretold(near: Array, begins: Array, row: Array, order: Array) -> Array:
    """The log likelihood of a step's failures, half of them told: worths × views."""
    index = order[np.isfinite(row[order])]
    told, rest = index[: len(index) // 2], index[len(index) // 2 :]
    first = _likely(begins[None, :, told], row[told])
    after = _after(near, begins, told, row[told])[:, :, rest]
    return np.asarray(first + _likely(after, row[rest]))


def _likely(chance: Array, failed: Array) -> Array:
    chance = np.clip(chance, _LEAST, 1.0 - _LEAST)
    return np.asarray((failed * np.log(chance) + (1.0 - failed) * np.log1p(-chance)).sum(axis=-1))

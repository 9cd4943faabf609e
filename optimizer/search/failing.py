"""The chance that a run fails: a belief of its own beside that of the outcome.

Beta-binomial by step and setting. What other steps' runs did under a setting and under those
like it (each a count by how near it is, families counting alike) gives the chance that a new
step begins from; the step's own trials, and those of settings like the one in question, move
it. In which quantities settings are alike in failing (memory, nodes, a kind of hardware), and
how many trials that beginning is worth, is learnt from history: every family in turn is taken
for the new one, half of its settings told, and those views count that foretell the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.search.components import TEMPER
from optimizer.search.history import History
from optimizer.search.kernels import Kernels
from optimizer.search.recalled import Recalled, name_of

Array: TypeAlias = NDArray[Any]

WORTH: Final = (0.03, 0.1, 0.3, 1.0)
"""How many trials of its own the chance that a step begins from may be worth."""
SHRUNK: Final = 1.0
"""The general chance counts as much as so many families that ran a setting."""
FEW: Final = 0.05
"""The chance before anything is known; it counts as one family."""
SHARP: Final = 2.0
"""Nearness is raised to it, for a count is not a surface."""
AT_ONCE: Final = 32
"""Steps that are summed up side by side: one product instead of many."""
_LEAST: Final = 1e-3
_LEARNT: Final[Recalled[tuple[Array, Array]]] = Recalled(64)


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

    ``begins`` is the chance that a new step begins from, views × settings, ``weights`` what is
    believed, worths × views.
    """

    kernels: Kernels
    begins: Array
    weights: Array

    @classmethod
    def of(cls, told: Array, families: Sequence[str], kernels: Kernels) -> _Learnt:
        name = name_of([told, kernels.features, kernels.lengths], families)
        return cls(kernels, *_LEARNT.of(name, lambda: cls._anew(told, families, kernels)))

    @staticmethod
    def _anew(told: Array, families: Sequence[str], kernels: Kernels) -> tuple[Array, Array]:
        size = len(kernels.features)
        near = np.empty((len(kernels) + 1, size, size))
        for setting in range(size):
            near[:, setting] = _near(kernels, setting)
        every = _Counted.of(near, told, families)
        logs = np.zeros((len(WORTH), len(near)))
        order = np.random.default_rng(0).permutation(size)
        for family in sorted(set(families)):
            rows = told[[one == family for one in families]]
            others = every.without(_Counted.of(near, rows, (family,) * len(rows))).begins()
            logs += sum(_foretold(near, others, rows, order)) / len(rows)
        weights = np.exp(TEMPER * (logs - logs.max()))
        return every.begins(), weights / weights.sum()

    def chance(self, tried: Array, failed: Array) -> Array:
        near = np.zeros((*self.begins.shape, len(tried)))
        for place, setting in enumerate(tried):
            near[:, :, place] = _near(self.kernels, setting)
        by_view = _after(near, self.begins, np.arange(len(tried)), failed)
        weights = self.weights * self._likely(near, tried, failed)
        return np.asarray(np.einsum("wv,wvn->n", weights / weights.sum(), by_view))

    def _likely(self, beside: Array, tried: Array, failed: Array) -> Array:
        """How likely a step's own trials were, each by those before it: worths × views."""
        likely = np.ones(self.weights.shape)
        for k, setting in enumerate(tried):
            near = beside[:, setting, :k]
            worth = np.asarray(WORTH)[:, None]
            chance = (worth * self.begins[:, setting] + near @ failed[:k]) / (
                worth + near.sum(axis=1)
            )
            likely *= np.abs(1.0 - failed[k] - np.clip(chance, _LEAST, 1.0 - _LEAST))
        return likely


def _near(kernels: Kernels, setting: int) -> Array:
    """How near a setting is to all by view, and, last, that it is like no other."""
    alone = np.arange(len(kernels.features)) == setting
    return np.concatenate([kernels.nearness(setting) ** SHARP, alone[None]])


def _failures(history: History) -> Array:
    """The share of failed runs, steps × settings; NaN where none ran."""
    if history.failed is not None:
        return history.failed
    return np.where(np.isfinite(history.rows), 0.0, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    """Runs of steps and what failed of them, a family counting as one: by setting, and near it.

    ``bad`` and ``ran`` are by setting; ``near_bad`` and ``near_ran`` count what was like it
    too: views × settings.
    """

    families: int
    bad: Array
    ran: Array
    near_bad: Array
    near_ran: Array

    @classmethod
    def of(cls, near: Array, told: Array, families: Sequence[str]) -> _Counted:
        """Count steps, of which there may be none."""
        of = Counter(families)
        each = np.asarray([1.0 / of[family] for family in families])
        known = np.isfinite(told)
        bad, ran = each @ np.where(known, told, 0.0), each @ known.astype(float)
        return cls(len(of), bad, ran, *_summed(near, np.stack([bad, ran])))

    def without(self, other: _Counted) -> _Counted:
        """Return the counts without those of a family."""
        return _Counted(
            self.families - other.families, self.bad - other.bad, self.ran - other.ran,
            self.near_bad - other.near_bad, self.near_ran - other.near_ran,
        )  # fmt: skip

    def begins(self) -> Array:
        """Return the chance that a new step begins from, by view and setting."""
        many, ran = self.families, max(float(self.ran.sum()), _LEAST)
        general = (many * self.bad.sum() / ran + FEW) / (many + 1.0)
        return np.asarray((self.near_bad + SHRUNK * general) / (self.near_ran + SHRUNK))


def _summed(near: Array, counts: Array) -> Array:
    """Counts by setting (n × settings) with those of what is near: n × views × settings."""
    views, size, _ = near.shape
    found = near.reshape(-1, size) @ counts.T
    return np.ascontiguousarray(found.T).reshape(len(counts), views, size)


def _after(near: Array, begins: Array, tried: Array, failed: Array) -> Array:
    """The chance after trials: worths × views × settings."""
    bad, ran = near[:, :, tried] @ failed, near[:, :, tried].sum(axis=2)
    worth = np.asarray(WORTH)[:, None, None]
    return np.asarray((worth * begins + bad) / (worth + ran))


def _foretold(near: Array, begins: Array, rows: Array, order: Array) -> Iterator[Array]:
    """Yield each step's log likelihood of its failures, half of them told: worths × views."""
    for place in range(0, len(rows), AT_ONCE):
        yield from _side_by_side(near, begins, rows[place : place + AT_ONCE], order)


def _side_by_side(near: Array, begins: Array, rows: Array, order: Array) -> Iterator[Array]:
    halves = [_halved(order[np.isfinite(row[order])]) for row in rows]
    counts = np.zeros((len(rows), 2, rows.shape[1]))
    for row, (told, _), (bad, ran) in zip(rows, halves, counts, strict=True):
        bad[told], ran[told] = row[told], 1.0
    summed = _summed(near, counts.reshape(-1, rows.shape[1]))
    worth = np.asarray(WORTH)[:, None, None]
    for row, (told, rest), bad, ran in zip(rows, halves, summed[::2], summed[1::2], strict=True):
        first = _likely(begins[None, :, told], row[told])
        after = (worth * begins[:, rest] + bad[:, rest]) / (worth + ran[:, rest])
        yield np.asarray(first + _likely(after, row[rest]))


def _halved(index: Array) -> tuple[Array, Array]:
    return index[: len(index) // 2], index[len(index) // 2 :]


def _likely(chance: Array, failed: Array) -> Array:
    chance = np.clip(chance, _LEAST, 1.0 - _LEAST)
    return np.asarray((failed * np.log(chance) + (1.0 - failed) * np.log1p(-chance)).sum(axis=-1))

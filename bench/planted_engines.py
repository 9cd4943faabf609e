"""Planted histories of two engines for the same result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from bench.planted_histories import Array, Chance, History, begun, log_normal, row

# ---- alternatives ---------------------------------------------------------------------------

ENGINES: Final = {"name": "alternatives", "choices": ["default", "other"]}
LEARNED: Final = {
    "proposal": "p-z", "kind": "experiment", "state": "learned", "content": "c",
    "diff": [{"knob": "alternatives", "from": "default", "values": ["other"]}],
}  # fmt: skip


def _engines(sizes: Array, factor: Callable[[float], float], chance: Chance,
             trial: bool = True, sized: bool = False) -> History:  # fmt: skip
    """Runs of inputs of these sizes; by the toss of a coin the other engine does the work."""
    rows = []
    for n, size in enumerate(sizes):
        other = bool(chance.random() < 0.5)
        took = size / 1000.0 * (factor(size) if other else 1.0) * log_normal(chance, 0.05)
        arm = ("candidate.1" if other else "control") if trial else ""
        rows.append(row(
            f"r{n}", -1, took, begun(n), items=int(size) if sized else 0, batch_size=0,
            bytes_in=int(size),
            experiment="x-z" if trial else "", arm=arm, share=0.5 if trial else None,
        ))  # fmt: skip
    worth = float(sum(s * factor(s) for s in sizes) / sizes.sum())
    return History(rows, ENGINES, "default", lambda value: worth, min(worth, 1.0),
                   {"last": [LEARNED] if trial else []})  # fmt: skip


def engine_cheaper(chance: Chance) -> History:
    return _engines(np.exp(chance.normal(8.0, 0.3, 60)), lambda size: 0.6, chance)


def engine_fast_on_small(chance: Chance) -> History:
    """Two in three inputs are small, where it takes half; on large ones it takes twice."""
    small = chance.random(60) < 0.67
    sizes = np.where(small, 1000.0, 10_000.0) * np.exp(chance.normal(0.0, 0.2, 60))
    return _engines(sizes, lambda size: 0.4 if size < 4000.0 else 2.0, chance)


def engine_fast_on_small_items(chance: Chance) -> History:
    """The same, where the record knows how many items each input has."""
    sizes = np.where(chance.random(120) < 0.75, 1000.0, 10_000.0)
    return _engines(sizes, lambda size: 0.4 if size < 4000.0 else 1.6, chance, sized=True)


def engine_by_habit(chance: Chance) -> History:
    """The other engine was taken for small inputs, outside of a trial."""
    planted = _engines(np.exp(chance.normal(8.0, 0.3, 60)), lambda size: 1.3, chance, trial=False)
    return History(planted.rows, ENGINES, "default", lambda value: 1.3)

"""Retry limits on measured reruns: what a limit learnt from a few logged tries costs.

Every step of the data was rerun thousands of times, so its failure chance is known. A method
sees a few logged tries of each step and of others of its project, the full record of other
projects, and sets a limit of retries; a failed try costs 1, failing for good ``price``
more. The oracle knows each step's chance. Steps that never failed need no limit and are
left out. ``on_permanent`` are the tries spent on steps that never succeed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from optimizer.models.recovery import ANYTHING, Rates

Array: TypeAlias = NDArray[Any]
Json: TypeAlias = Any

DATASET: Final = "flaky_reruns"
PRICES: Final = (5.0, 20.0, 100.0)
LOGGED: Final = (5, 10, 20, 100)
MOST: Final = 10
"""Retries at most, for every method and the oracle."""
RERUNS: Final = 1000
"""A step that was rerun less often is left out."""
STRENGTH: Final = 10.0
"""Steps of its own project that what is known of others weighs."""
OURS: Final = "trimtab"


@dataclass(frozen=True, slots=True, eq=False)
class Reruns:
    """The steps that ever failed: project, reruns that failed, and reruns in all."""

    family: Array
    failed: Array
    total: Array

    @property
    def chance(self) -> Array:
        """The failure chance of a try, by step."""
        return np.asarray(self.failed / self.total)


def path(folder: Path) -> Path:
    """Return the file of the reruns."""
    return folder / DATASET / "tests.parquet"


def load(folder: Path) -> Reruns:
    """Return the steps of a folder that ever failed."""
    table = pq.read_table(path(folder), columns=["family", "fails", "passes"])
    failed = table.column("fails").to_numpy().astype(float)
    total = failed + table.column("passes").to_numpy()
    keep = (total >= RERUNS) & (failed > 0)
    family = np.array(table.column("family").to_pylist())
    return Reruns(family[keep], failed[keep], total[keep])


Way: TypeAlias = Callable[[Reruns, Array, int, float], Array]
"""Limits by step, from the failures among so many logged tries, and the price."""


def ours(reruns: Reruns, failed: Array, logged: int, price: float) -> Array:
    """The shipped model: others' spread, drawn to the project's own logged tries."""
    limits = np.zeros(len(failed), int)
    for name in np.unique(reruns.family):
        mine = reruns.family == name
        others = _others(reruns, name)
        own = others.learn(failed[mine], logged - failed[mine], strength=STRENGTH)
        known = {k: own.given(k, logged - k).best_limit(price, MOST) for k in set(failed[mine])}
        limits[mine] = [known[k] for k in failed[mine]]
    return limits


def _others(reruns: Reruns, name: str) -> Rates:
    rest = reruns.family != name
    key = (id(reruns), name)
    if key not in _LEARNT:
        won = reruns.total[rest] - reruns.failed[rest]
        _LEARNT[key] = ANYTHING.learn(reruns.failed[rest], won, strength=STRENGTH)
    return _LEARNT[key]


_LEARNT: Final[dict[tuple[int, str], Rates]] = {}


def fixed(limit: int) -> Way:
    """The same limit for every step."""
    return lambda reruns, failed, logged, price: np.full(len(failed), limit)


def own_share(reruns: Reruns, failed: Array, logged: int, price: float) -> Array:
    """Each step by itself: the share of its logged tries that failed, one more of each."""
    share = (failed + 1.0) / (logged + 2.0)
    return np.asarray(np.argmin([costs(share, k, price) for k in range(MOST + 1)], axis=0))


METHODS: Final[Mapping[str, Way]] = {
    OURS: ours, "own_share": own_share,
    **{f"fixed_{limit}": fixed(limit) for limit in (0, 1, 2, 3, 5, 10)},
}  # fmt: skip


def costs(chance: Array, limit: int, price: float) -> Array:
    """Return the expected cost of steps under one limit of retries."""
    tries = sum(chance**k for k in range(limit + 1))
    return np.asarray(tries + price * chance ** (limit + 1))


def rows(reruns: Reruns, methods: Sequence[str], seeds: int) -> list[dict[str, Json]]:
    """Return a row for each price, number of logged tries and method."""
    found = []
    for price in PRICES:
        table = np.array([costs(reruns.chance, k, price) for k in range(MOST + 1)])
        oracle = float(table.min(axis=0).mean())
        for logged in LOGGED:
            for method in methods:
                limits = [
                    METHODS[method](reruns, logged_of(reruns, logged, seed), logged, price)
                    for seed in range(seeds)
                ]
                found.append({
                    "kind": "retry", "dataset": DATASET,
                    "objective": f"price_{price:g}_logged_{logged}",
                    "method": method, "logged": logged, "tasks": len(reruns.failed),
                    "seeds": seeds, **_figures(reruns, table, limits, oracle),
                })  # fmt: skip
    return found


def logged_of(reruns: Reruns, logged: int, seed: int) -> Array:
    """Draw how many of so many logged tries failed, by step."""
    return np.random.default_rng([seed, logged]).binomial(logged, reruns.chance)


def _figures(reruns: Reruns, table: Array, limits: Sequence[Array], oracle: float) -> Json:
    steps = np.arange(table.shape[1])
    cost = float(np.mean([table[one, steps].mean() for one in limits]))
    permanent = reruns.chance == 1.0
    tries = [float((1 + one[permanent]).mean()) for one in limits] if permanent.any() else []
    return {
        "over_oracle": 100.0 * (cost / oracle - 1.0),
        "on_permanent": float(np.mean(tries)) if tries else None,
    }

"""What it costs to set up a search and to ask it, by the size of its space and its history.

The histories are generated: steps of families whose outcomes go with the columns of a grid.
CPU seconds, beside those of one eigendecomposition of a matrix of settings by settings, which
a machine needs whatever the code is like; ``again`` is a second search on the same history::

    OPENBLAS_NUM_THREADS=1 python -m bench.search_setup > bench/results/search-setup.json
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.machine import machine
from optimizer.search.history import History
from optimizer.search.numeric import Numeric, shipped
from optimizer.search.space import Column, Space

Array: TypeAlias = NDArray[Any]

TRIALS: Final = 12
SIDES: Final = {80: (4, 4, 5), 320: (8, 5, 8), 640: (8, 8, 10)}


@dataclass(frozen=True, slots=True)
class Case:
    """A history of steps, two a family: with holes, failures, a limit or metrics."""

    size: int
    steps: int
    holes: float = 0.0
    failures: bool = False
    limit: bool = False
    metrics: bool = False


CASES: Final = {
    "80 settings, 12 steps": Case(80, 12),
    "80 settings, 12 steps, metrics": Case(80, 12, metrics=True),
    "640 settings, 10 steps": Case(640, 10),
    "640 settings, 40 steps": Case(640, 40),
    "640 settings, 40 steps, a third unknown": Case(640, 40, holes=0.3),
    "640 settings, 40 steps, a tenth fail": Case(640, 40, failures=True),
    "640 settings, 12 steps, a limit": Case(640, 12, limit=True),
    "640 settings, 12 steps, metrics": Case(640, 12, metrics=True),
}


def main() -> None:
    shipped(_space(80), _history(_space(80), Case(80, 8, metrics=True)), 50)  # loads libraries
    told = {name: measured(case) for name, case in CASES.items()}
    print(json.dumps({"cases": told, "machine": machine()}, indent=1))


def measured(case: Case) -> dict[str, float]:
    """Return the CPU time of a set-up, of a second one, and of a proposal."""
    space = _space(case.size)
    history = _history(space, case)
    search, setup = _timed(lambda: _asked(space, history))
    _, again = _timed(lambda: _asked(space, history))
    _, asked = _timed(lambda: _played(search, history))
    _, unit = _timed(lambda: np.linalg.eigh(space.features @ space.features.T))
    return {
        "setup_s": round(setup, 3), "again_s": round(again, 3),
        "proposal_ms": round(1000.0 * asked / TRIALS, 1), "eigh_s": round(unit, 3),
        "setup_over_eigh": round(setup / unit, 1),
    }  # fmt: skip


def _asked(space: Space, history: History) -> Any:
    search = shipped(space, history, 50)
    search.next()
    return search


def _played(search: Any, history: History) -> None:
    """Tell the search what one more step of the kind would take."""
    row = np.nan_to_num(history.rows[0], nan=float(np.nanmax(history.rows[0])))
    for _ in range(TRIALS):
        setting = search.next().setting
        more = {} if isinstance(search, Numeric) else {"metrics": _metrics(row)[setting]}
        search.tell(setting, float(row[setting]), **more)


def _space(size: int) -> Space:
    grid = np.asarray(list(product(*map(range, SIDES[size]))))
    return Space.of(tuple(map(str, range(size))), {
        "cpus": Column("log", tuple(2.0 ** grid[:, 0])),
        "nodes": Column("log", tuple(1.0 + grid[:, 1])),
        "memory": Column("log", tuple(1.5 ** grid[:, 2])),
        "kind": Column("category", tuple("abcd"[i % 4] for i in grid.sum(axis=1))),
    })  # fmt: skip


def _history(space: Space, case: Case) -> History:
    rng = np.random.default_rng(
        list(map(int, (case.size, case.steps, 100 * case.holes, *_ways(case))))
    )
    slopes = np.repeat(rng.normal(size=(case.steps // 2, space.features.shape[1])), 2, axis=0)
    rows = (slopes + rng.normal(size=slopes.shape) * 0.2) @ space.features.T
    rows += rng.normal(size=rows.shape) * 0.05
    whole = rows.copy()
    bad = (rows > np.quantile(rows, 0.9, axis=1, keepdims=True)) & case.failures
    rows[(rng.random(rows.shape) < case.holes) | bad] = np.nan
    over = rows - np.nanmedian(rows, axis=1, keepdims=True)
    families = [f"family {step // 2}" for step in range(case.steps)]
    return History.of(
        list(rows), families, len(space),
        failed=list(bad.astype(float)) if case.failures else None,
        over=list(over) if case.limit else None,
        metrics=[_metrics(row) for row in whole] if case.metrics else None,
    )  # fmt: skip


def _ways(case: Case) -> tuple[bool, bool, bool]:
    return case.failures, case.limit, case.metrics


def _metrics(row: Array) -> Array:
    noise = np.random.default_rng(len(row)).normal(size=(len(row), 2))
    told = np.stack([0.5 * row + 0.1 * noise[:, 0], noise[:, 1], -row], axis=1)
    return np.asarray(np.exp(told))


def _timed(do: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    found = do()
    return found, time.process_time() - began


if __name__ == "__main__":
    main()

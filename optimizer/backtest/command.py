"""The backtest as one call, with what it may be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from optimizer.backtest.datasets import NoData, available
from optimizer.backtest.jobs import finish, plan
from optimizer.backtest.methods import METHODS
from optimizer.backtest.rows import rows

Json: TypeAlias = Any

QUICK_SEEDS: Final = 2


class NoSuchMethod(ValueError):
    """A method is not among those that can be compared."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no method is called {name!r}; there are {', '.join(METHODS)}")


def run(
    folder: Path, sets: Sequence[str], methods: Sequence[str], *, seeds: int, quick: bool,
    kept: Path, workers: int, progress: Callable[[int, int], None], noise: bool = False,
    same_family: bool = False,
) -> list[dict[str, Json]]:  # fmt: skip
    """Return one row a data set, objective and method.

    Raises:
        NoData, UnknownDataset, NoSuchMethod: nothing was run.
    """
    datasets = sets or available(folder)
    if not datasets:
        raise NoData(f"{folder} holds none of the data sets that there are recipes for")
    for name in methods:
        if name not in METHODS:
            raise NoSuchMethod(name)
    chosen = methods or [n for n, m in METHODS.items() if not (quick and m.slow)]
    jobs = plan(
        folder, datasets, chosen, min(seeds, QUICK_SEEDS) if quick else seeds,
        noise=noise, same_family=same_family,
    )  # fmt: skip
    return rows(finish(jobs, kept, workers, progress))

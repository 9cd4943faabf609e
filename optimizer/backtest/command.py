"""The backtest as one call, with what it may be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from optimizer.backtest import parts, passive_jobs
from optimizer.backtest.datasets import RECIPES, NoData, UnknownDataset, available, load
from optimizer.backtest.jobs import finish, plan
from optimizer.backtest.methods import METHODS, OURS
from optimizer.backtest.passive import GATES
from optimizer.backtest.rows import rows

Json: TypeAlias = Any

QUICK_SEEDS: Final = 2
QUICK_METHODS: Final = (OURS, "random", "mean_rank", "als", "optuna_tpe")
QUICK_TABLES: Final = 2
"""Tables of an objective that are played in a hurry."""
QUICK_CURVES: Final = 24


class NoSuchMethod(ValueError):
    """A method is not among those that can be compared."""

    def __init__(self, name: str) -> None:
        known = ", ".join(dict.fromkeys((*METHODS, *GATES, *parts.METHODS)))
        super().__init__(f"no method is called {name!r}; there are {known}")


def run(
    folder: Path, sets: Sequence[str], methods: Sequence[str], *, seeds: int, quick: bool,
    kept: Path, workers: int, progress: Callable[[int, int], None], noise: bool = False,
    same_family: bool = False,
) -> list[dict[str, Json]]:  # fmt: skip
    """Return one row a data set, objective and method: of searches, the gate, then the models.

    ``quick`` plays a sample of the tables and curves: ``left_out`` says how many it left out.

    Raises:
        NoData, UnknownDataset, NoSuchMethod: nothing was run.
    """
    for name in sets:
        if name not in RECIPES and name not in parts.DATASETS:
            raise UnknownDataset(name, parts.DATASETS)
    datasets = [s for s in sets if s in RECIPES] if sets else available(folder)
    for name in methods:
        if name not in METHODS and name not in GATES and name not in parts.METHODS:
            raise NoSuchMethod(name)
    seeds = min(seeds, QUICK_SEEDS) if quick else seeds
    every = QUICK_METHODS if quick else tuple(METHODS)
    searches = [n for n in methods if n in METHODS] if methods else list(every)
    gates = [n for n in methods if n in GATES] if methods else list(GATES)
    most = QUICK_TABLES if quick else None
    jobs = plan(folder, datasets, searches, seeds, noise=noise, same_family=same_family, most=most)
    passive = passive_jobs.plan(folder, datasets, gates, seeds, most)
    curves = QUICK_CURVES if quick else None
    before = len(jobs) + len(passive)
    total = before + parts.count(folder, sets, methods, curves)
    if not total:
        raise NoData(
            f"{folder} holds nothing that was asked for; it has one folder a data set,"
            f" such as {next(iter(RECIPES))}/evals.parquet"
        )
    found = rows(finish(jobs, kept, workers, lambda done, _: progress(done, total)))
    beside = kept.with_name(f"{kept.stem}-gate{kept.suffix}")
    found += passive_jobs.finish(
        passive, beside, workers, lambda done, _: progress(len(jobs) + done, total)
    )
    if quick:
        found = _sampled(folder, datasets, found)
    models = kept.with_name(f"{kept.stem}-models{kept.suffix}")
    return found + parts.rows(
        folder, sets, methods, seeds=seeds, kept=models,
        progress=lambda done, _: progress(before + done, total), most=curves,
    )  # fmt: skip


def sampled(searches: Sequence[dict[str, Json]]) -> str:
    """Say what a quick backtest has left out beside tables and curves."""
    played = {row["method"] for row in searches}
    without = ", ".join(name for name in METHODS if name not in played)
    return f"A sample of at most {QUICK_SEEDS} seeds; methods left out: {without or 'none'}."


def _sampled(
    folder: Path, datasets: Sequence[str], found: Sequence[dict[str, Json]]
) -> list[dict[str, Json]]:
    """Rows with the number of tables that a sample has left out."""
    tables = {name: {o: len(t) for o, t in load(folder, name).items()} for name in datasets}
    left = {
        (name, objective): many - min(many, QUICK_TABLES)
        for name, by_objective in tables.items()
        for objective, many in by_objective.items()
    }
    return [{**row, "left_out": left[row["dataset"], row["objective"]]} for row in found]

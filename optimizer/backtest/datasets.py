"""The measured data: folders of Parquet files, one data set each, read as tables.

A *recipe* says which columns make a setting, how they are compared, and what is to be had
less of. Repeated runs of a setting are averaged; one that failed more often than not
failed. Whoever has other data of the same shape adds a recipe.

A recipe may have *limits*: each makes of every objective another one, in which a setting
above the limit counts as failed (``s_per_mtoken<=50ms``: 50 ms a token and no more).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from optimizer.backtest.table import Table
from optimizer.search.space import Column, Kind, Space

Array: TypeAlias = NDArray[Any]
Row: TypeAlias = dict[str, Any]
T = TypeVar("T")


class UnknownDataset(ValueError):
    """There is no recipe of that name."""

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        names = ", ".join(sorted({*RECIPES, *known}))
        super().__init__(f"no recipe for {name!r}; there are {names}")


class NoData(ValueError):
    """A folder does not hold what was asked for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one column, in the unit that objectives name them by."""

    column: str
    unit: str
    values: tuple[float, ...]
    fewest: int = 3
    """A workload with fewer settings within a limit is left out of it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the rows of one data set become tables."""

    columns: Mapping[str, Kind]
    objectives: tuple[str, ...]
    fewest: int = 8
    """A workload measured under fewer settings is left out."""
    completed: str | None = "completed"
    keep: Callable[[Row], bool] = field(default=lambda _: True)
    derive: Callable[[Sequence[Row]], None] = field(default=lambda _: None)
    limits: Limits | None = None


def _per_cpu(rows: Sequence[Row]) -> None:
    for row in rows:
        row["mem_per_vcpu"] = row["mem_gib"] / row["vcpu"]
        row["all_vcpu"] = row["vcpu"] * row["nodes"]


def _ranked(rows: Sequence[Row], size: str, most: int) -> None:
    """Rank a batch size by where it stands between a job's least and greatest."""
    sizes: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        sizes[row["workload"]].append(row[size])
    for row in rows:
        low, high = min(sizes[row["workload"]]), max(sizes[row["workload"]])
        share = np.log(row[size] / low) / np.log(high / low) if high > low else 0.0
        row["batch_rank"] = 1.0 + round(most * float(share))


def _placed(rows: Sequence[Row]) -> None:
    """Name a job's setting by its GPUs and nodes, a placement as Pollux (OSDI 2021) models it.

    Which node holds how many is no knob: 1 and 2 GPUs are 2 and 1, and are runs of one setting.
    """
    _ranked(rows, "local_bsz", 8)
    for row in rows:
        row["nodes"] = len(str(int(row["placement"])))
        row["config"] = f"{row['n_gpus']:.0f}on{row['nodes']}_b{row['batch_rank'] - 1:.0f}"


def _batched(rows: Sequence[Row]) -> None:
    _ranked(rows, "batch_size", 4)
    for row in rows:
        row["config"] = f"{row['config'].rsplit('_b', 1)[0]}_b{row['batch_rank'] - 1:.0f}"


def _per_token(rows: Sequence[Row]) -> None:
    for row in rows:
        row["ms_per_token"] = 1000.0 * row["latency_s"] / row["io_len"]


SHORT: Final = ("block_size_x", "block_size_y", "tile_size_x", "tile_size_y")
SWITCHES: Final = ("read_only", "use_padding", "use_shmem")


def _kernels(rows: Sequence[Row]) -> None:
    """Name a kernel's setting by its values; a workload is the kernel on one GPU."""
    for row in rows:
        sizes, switches = ([str(row[name]) for name in names] for names in (SHORT, SWITCHES))
        row.update(workload=row["gpu"], config=f"{'x'.join(sizes)}_{''.join(switches)}")


def _within_cost(rows: Sequence[Row]) -> None:
    """The error of a trained model; a setting dearer than the median one is not allowed."""
    costs: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        costs[row["workload"]].append(row["cost_usd"])
    limits = {workload: float(np.median(paid)) for workload, paid in costs.items()}
    for row in rows:
        row.update(
            error=1.0 - row["accuracy"], completed=row["cost_usd"] <= limits[row["workload"]]
        )


RECIPES: Final[dict[str, Recipe]] = {
    "scout_multi": Recipe(
        {"vcpu": "log", "mem_per_vcpu": "log", "nodes": "log", "all_vcpu": "log"},
        ("cost_usd", "time_s"), derive=_per_cpu,
    ),
    "ibm_multicloud": Recipe(
        {
            "provider": "category", "A_family": "category", "A_vcpu": "category",
            "B_family": "category", "B_vcpu": "category", "C_family": "category",
            "C_type": "category", "C_vcpu": "category", "nodes": "number",
        },
        ("cost_usd", "time_s"), fewest=20,
    ),
    "llm_inference_bench": Recipe(
        {"hardware": "category", "framework": "category", "n_devices": "log", "batch_size": "log"},
        ("device_s_per_mtoken", "s_per_mtoken"), fewest=30, completed=None,
        derive=_per_token, limits=Limits("ms_per_token", "ms", (25.0, 50.0, 100.0)),
    ),
    "gavel": Recipe(
        {"gpu": "category", "n_gpus": "log", "consolidated": "category", "batch_rank": "number"},
        ("usd_per_msample", "s_per_ksample"), fewest=12, keep=lambda row: row["batch_size"] > 0,
        derive=_batched,
    ),
    "pollux_adaptdl": Recipe(
        {"n_gpus": "log", "nodes": "number", "batch_rank": "number"},
        ("gpu_s_per_ksample", "s_per_ksample"), fewest=12, completed=None,
        keep=lambda row: row["table"] == "placements", derive=_placed,
    ),
    "trimtuner_tf": Recipe(
        {
            "vcpu": "log", "n_workers": "log", "batch_size": "log", "learning_rate": "log",
            "synchronism": "category",
        },
        ("error",), fewest=30, derive=_within_cost,
    ),
    "kernel_convolution": Recipe(
        {
            "block_size_x": "log", "block_size_y": "log", "tile_size_x": "number",
            "tile_size_y": "number", "read_only": "category", "use_padding": "category",
            "use_shmem": "category",
        },
        ("time_ms",), fewest=300, derive=_kernels,
    ),
}  # fmt: skip


def evenly(items: Sequence[T], most: int | None) -> list[T]:
    """Return at most so many of some items, evenly apart.

    >>> evenly("abcdefg", 3), evenly("ab", 3)
    (['a', 'c', 'e'], ['a', 'b'])
    """
    if most is None or len(items) <= most:
        return list(items)
    return [items[n * len(items) // most] for n in range(most)]


def available(folder: Path) -> list[str]:
    """Return the data sets of a folder that there are recipes for."""
    return [name for name in RECIPES if (folder / name / "evals.parquet").exists()]


def load(folder: Path, name: str) -> dict[str, list[Table]]:
    """Return a data set's tables by objective.

    Raises:
        UnknownDataset: there is no recipe for it.
        NoData: its file is not there.
    """
    if name not in RECIPES:
        raise UnknownDataset(name)
    recipe = RECIPES[name]
    rows = [row for row in read(folder, name).to_pylist() if recipe.keep(row)]
    recipe.derive(rows)
    tables = {o: list(_tables(name, o, recipe, rows, None)) for o in recipe.objectives}
    for limit in recipe.limits.values if recipe.limits else ():
        for o in recipe.objectives:
            tables[_limited(o, recipe, limit)] = list(_tables(name, o, recipe, rows, limit))
    return tables


def _limited(objective: str, recipe: Recipe, limit: float | None) -> str:
    if limit is None or recipe.limits is None:
        return objective
    return f"{objective}<={limit:g}{recipe.limits.unit}"


def read(folder: Path, name: str, file: str = "evals") -> pa.Table:
    """Return one file of a data set, or raise `NoData`."""
    path = folder / name / f"{file}.parquet"
    if not path.exists():
        raise NoData(f"{path} is not there; --data names the folder above the data sets")
    return pq.read_table(path)


def _tables(
    name: str, objective: str, recipe: Recipe, rows: Sequence[Row], limit: float | None
) -> Iterator[Table]:
    label = _limited(objective, recipe, limit)
    settings: dict[str, Row] = {}
    by_workload: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        settings.setdefault(row["config"], row)
        by_workload[row["workload"]][row["config"]].append(row)
    for workload in sorted(by_workload):
        cells = dict(sorted(by_workload[workload].items()))
        measured, ok = _measured(cells.values(), objective, recipe.completed)
        if len(cells) < recipe.fewest or ok.sum() < recipe.fewest:
            continue
        over = None
        if limit is not None and recipe.limits is not None:
            taken = _measured(cells.values(), recipe.limits.column, recipe.completed)[0]
            over = np.log(taken / limit)
            if (ok & (over <= 0.0)).sum() < recipe.limits.fewest:
                continue
        lines = [settings[config] for config in cells]
        space = Space.of(
            tuple(cells),
            {c: Column(kind, tuple(r[c] for r in lines)) for c, kind in recipe.columns.items()},
        )
        family = next(iter(cells.values()))[0]["family"]
        yield Table.of(name, label, f"{workload}/{label}", family, space, measured, ok,
                       over=over)  # fmt: skip


def _measured(cells: Any, column: str, completed: str | None) -> tuple[Array, Array]:
    """The mean of each setting's good runs, and whether most of its runs were good."""
    means, ok = [], []
    for runs in cells:
        good = [r for r in runs if completed is None or r[completed]]
        means.append(float(np.mean([r[column] for r in good])) if good else np.nan)
        ok.append(len(good) / len(runs) > 0.5)
    return np.asarray(means), np.asarray(ok)

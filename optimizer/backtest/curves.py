"""Measured curves: the time of a batch by its size, in four public data sets.

A curve is one workload on one hardware. Curves are of the same family when they are of one
program or model; what is borrowed for a curve comes from other families alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from optimizer.models.lending import Lender
from optimizer.resemblance import Described

Array: TypeAlias = NDArray[Any]
Row: TypeAlias = dict[str, Any]

FEWEST: Final = 4
"""Sizes a curve needs."""
DENSE: Final = 10
"""Sizes from which on a choice under a limit means something."""
RISES: Final = 1.3
"""A curve that rises by less is all noise: nothing depends on the size."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """One measured curve, sizes ascending."""

    family: str
    name: str
    sizes: Array
    seconds: Array
    labels: frozenset[str] = frozenset()

    @property
    def described(self) -> Described:
        """What is known of it beside its seconds: on what hardware, how many, with what."""
        return Described(words=self.labels)

    def lender(self) -> Lender:
        """Return it as others may borrow it."""
        return Lender(
            self.name, self.family, self.described, (list(self.sizes), list(self.seconds))
        )


@dataclass(frozen=True, slots=True)
class Source:
    """Where curves stand in a data set: what tells them apart, and size and time of a row."""

    file: str
    family: str
    apart: tuple[str, ...]
    size: str
    time: str
    keep: Callable[[Row], bool] = field(default=lambda _: True)


SOURCES: Final[Mapping[str, Source]] = {
    "pollux_adaptdl": Source(
        "evals", "workload", ("placement",), "local_bsz", "step_time",
        lambda row: row["table"] == "placements",
    ),
    "vidur_mlp": Source(
        "service_time", "model", ("gpu", "tensor_parallel"), "num_tokens", "layer_ms"
    ),
    "splitwise_llm": Source(
        "runs", "model", ("hardware", "tensor_parallel"), "batch_size", "e2e_ms",
        lambda row: row["prompt_tokens"] == 512 and row["output_tokens"] == 128,
    ),
    "llm_inference_bench": Source(
        "evals", "family", ("workload", "hardware", "n_devices", "framework"), "batch_size",
        "latency_s",
    ),
}  # fmt: skip


def available(folder: Path) -> list[str]:
    """Return the data sets of a folder that hold curves."""
    return [name for name, s in SOURCES.items() if path(folder, name, s).exists()]


def path(folder: Path, name: str, source: Source) -> Path:
    """Return the file of a data set that holds its curves."""
    return folder / name / f"{source.file}.parquet"


def load(folder: Path, name: str) -> list[Curve]:
    """Return the curves of a data set that rise."""
    source = SOURCES[name]
    cells: dict[tuple[str, ...], dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in pq.read_table(path(folder, name, source)).to_pylist():
        if source.keep(row):
            key = tuple(str(row[column]) for column in (source.family, *source.apart))
            cells[key][float(row[source.size])].append(float(row[source.time]))
    curves = [_curve(key, by_size, source) for key, by_size in sorted(cells.items())]
    return [c for c in curves if len(c.sizes) >= FEWEST and _rises(c)]


def _curve(key: tuple[str, ...], by_size: Mapping[float, list[float]], source: Source) -> Curve:
    sizes = sorted(by_size)
    seconds = np.array([np.mean(by_size[size]) for size in sizes])
    named = zip(source.apart, key[1:], strict=True)
    labels = frozenset(f"{column} {value}" for column, value in named if column != "workload")
    return Curve(key[0], "/".join(key), np.array(sizes), seconds, labels)


def _rises(curve: Curve) -> bool:
    return bool(curve.seconds.max() >= RISES * curve.seconds.min())

"""Noise: how much one run differs from the next, resampled from what was measured.

A *source* is a list of log deviations from the median: of one benchmark on equal virtual
machines (``azure_vm_noise``), or of one configuration of a service on equal workers
(``tuna_repeats``, where some are far less steady than others). Every setting of a search
has a source of its own, and every trial of it draws anew; all methods hear the same draw
for the same trial, so that luck is not taken for skill.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest.datasets import read

Array: TypeAlias = NDArray[Any]

_FEWEST: Final = 5
_TIMES: Final = ("ns", "us", "ms", "seconds")
_MACHINE: Final = ("test", "unit", "vm_sku", "region", "lifespan")
_CRASHED: Final = (1e6, 1e10)
"""What the records of configurations hold for one that crashed or timed out."""


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """Sources of log deviations, of machines and of configurations."""

    machines: tuple[Array, ...]
    configurations: tuple[Array, ...]

    @classmethod
    def of(cls, folder: Path) -> Noise:
        """Return the noise of a folder of data sets.

        Raises:
            NoData: it holds no measured noise.
        """
        return cls(tuple(_machines(folder)), tuple(_configurations(folder)))

    def draw(self, table: str, seed: int, setting: int, trial: int) -> float:
        """Return the log deviation of one trial; half of the settings have either sort."""
        place = zlib.crc32(table.encode())
        which = np.random.default_rng([seed, place, setting])
        sort = self.machines if which.random() < 0.5 else self.configurations
        source = sort[int(which.integers(len(sort)))]
        return float(np.random.default_rng([seed, place, setting, trial]).choice(source))


def _machines(folder: Path) -> Iterable[Array]:
    rows = read(folder, "azure_vm_noise", "samples")
    keys = [rows.column(name).to_pylist() for name in _MACHINE]
    found = _grouped(list(zip(*keys, strict=True)), rows.column("value").to_numpy())
    for (_, unit, *_), values in sorted(found.items()):
        yield from _deviations(values if unit in _TIMES else 1.0 / values)


def _configurations(folder: Path) -> Iterable[Array]:
    rows = read(folder, "tuna_repeats", "runs")
    keys = [rows.column(name).to_pylist() for name in ("family", "run", "config")]
    found = _grouped(list(zip(*keys, strict=True)), rows.column("performance").to_numpy())
    for _, values in sorted(found.items()):
        yield from _deviations(values[~np.isin(values, _CRASHED)])


def _grouped(keys: Sequence[tuple[Any, ...]], values: Array) -> dict[tuple[Any, ...], Array]:
    groups: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for key, value in zip(keys, values, strict=True):
        groups[key].append(float(value))
    return {key: np.asarray(group) for key, group in groups.items()}


def _deviations(values: Array) -> Iterable[Array]:
    good = values[np.isfinite(values) & (values > 0)]
    if len(good) >= _FEWEST:
        yield np.log(good / np.median(good))

"""Worlds in which memory decides: what the expert on metrics is worth, on generated data.

`python -m bench.forest_worlds` prints JSON. No public table of finite settings was found with
low-level metrics and families enough to learn from, so these worlds are generated, and what is
found in them says nothing of how often the real one is like them. A world has clusters (CPUs
and memory a node, nodes) and programs with steps; a step has a working set, and where that is
larger than a cluster's memory it spills: a cliff. In the world ``cliff`` a run's metrics show
it (memory, CPU, bytes), in ``mute`` they are noise, in ``even`` nothing spills. The same
worlds are searched with the metrics and without.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest.play import play
from optimizer.backtest.score import Score, score, summary
from optimizer.backtest.table import Table
from optimizer.search.space import Column, Space

Array: TypeAlias = NDArray[Any]
Json: TypeAlias = Any

KINDS: Final = ("cliff", "mute", "even")
CPUS: Final = (2.0, 4.0, 8.0, 16.0)
GIB_PER_CPU: Final = (2.0, 4.0, 8.0)
NODES: Final = (1.0, 2.0, 4.0, 8.0)
FAMILIES: Final = 8
STEPS: Final = 3
"""Steps a family."""
JUDGED: Final = 2
"""Steps of a world that are searched."""


def world(kind: str, seed: int) -> list[Table]:
    """Return the steps of one world, what each costs under every cluster, and its metrics."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    clusters = np.asarray([(c, c * m, n) for c in CPUS for m in GIB_PER_CPU for n in NODES])
    names = tuple(f"{n:.0f}x{c:.0f}c{m:.0f}g" for c, m, n in clusters)
    columns = dict(zip(("vcpu", "mem_gib", "nodes"), map(tuple, clusters.T), strict=True))
    space = Space.of(names, {name: Column("log", values) for name, values in columns.items()})
    tables = []
    for family in range(FAMILIES):
        program = _program(rng)
        for number in range(STEPS):
            cost, metrics = _measured(kind, clusters, program, rng)
            name = f"f{family}s{number}/usd"
            sound = np.ones(len(names), bool)
            tables.append(Table.of(kind, "usd", name, f"f{family}", space, cost, sound, metrics))
    return tables


def _program(rng: np.random.Generator) -> dict[str, float]:
    return {
        "serial": float(np.exp(rng.uniform(np.log(0.005), np.log(0.1)))),
        "spill": float(rng.uniform(1.0, 6.0)),
        "bytes": float(np.exp(rng.uniform(np.log(0.01), np.log(0.3)))),
    }


def _measured(
    kind: str, clusters: Array, program: dict[str, float], rng: np.random.Generator
) -> tuple[Array, Array]:
    """Dollars by cluster, and metrics by cluster: memory, CPU share, bytes a second."""
    cpus, gib, nodes = clusters.T
    work = float(np.exp(rng.uniform(np.log(2e3), np.log(4e4))))
    needed = float(np.exp(rng.uniform(np.log(4.0), np.log(400.0))))
    over = np.maximum(needed / (gib * nodes * 0.8) - 1.0, 0.0)
    spilled = np.zeros(len(gib)) if kind == "even" else np.minimum(over, 3.0) * program["spill"]
    share = program["serial"] + (1.0 - program["serial"]) / (cpus * nodes)
    busy = work * share
    seconds = (busy * (1.0 + spilled) + 20.0) * np.exp(rng.normal(0.0, 0.03, len(gib)))
    price = nodes * (0.035 * cpus + 0.005 * gib) / 3600.0
    metrics = np.stack([
        np.minimum(needed / (nodes * gib), 0.95),
        np.clip(work / (seconds * cpus * nodes), 0.001, 1.0),
        work * program["bytes"] * (1.0 + 5.0 * spilled) / seconds,
    ], axis=1)  # fmt: skip
    metrics = metrics * np.exp(rng.normal(0.0, 0.05, metrics.shape))
    if kind == "mute":
        metrics = np.exp(rng.normal(0.0, 1.0, metrics.shape))
    return seconds * price, metrics


def searched(kind: str, seed: int) -> Iterator[tuple[Score, Score]]:
    """Yield the scores of the shipped search, with metrics and without."""
    tables = world(kind, seed)
    plain = [_without(table) for table in tables]
    for place in range(0, len(tables), len(tables) // JUDGED):
        each = (tables[place], tables), (plain[place], plain)
        told, mute = (
            score(one, play("trimtab", one, one.known(others), seed)) for one, others in each
        )
        yield told, mute


def _without(table: Table) -> Table:
    return Table(table.dataset, table.objective, table.name, table.family, table.space,
                 table.outcome, table.failed)  # fmt: skip


def summed(kind: str, seeds: int) -> dict[str, Json]:
    """Return both sides' figures over all worlds of a kind, and their difference."""
    pairs = [pair for seed in range(seeds) for pair in searched(kind, seed)]
    sides = dict(zip(("with", "without"), zip(*pairs, strict=True), strict=True))
    apart = [100.0 * (one.net_regret - other.net_regret) for one, other in pairs]
    error = statistics.stdev(apart) / len(apart) ** 0.5
    return {
        "searches": len(pairs),
        **{name: _rounded(summary(side)) for name, side in sides.items()},
        "net_regret_difference": [round(statistics.fmean(apart), 2), round(error, 2)],
    }


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in figures.items()}


def main() -> None:
    """Print the figures of every kind of world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--kinds", default=",".join(KINDS))
    told = parser.parse_args()
    found = {kind: summed(kind, told.seeds) for kind in told.kinds.split(",")}
    print(json.dumps({"generated": True, "seeds": told.seeds, "kinds": found}, indent=1))


if __name__ == "__main__":
    main()

"""The jobs of a backtest: one method on one table, all seeds; done side by side.

See `kept` for how a backtest that was interrupted goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from optimizer.backtest.datasets import evenly, load
from optimizer.backtest.kept import key_of, read, written
from optimizer.backtest.methods import METHODS
from optimizer.backtest.noise import Noise
from optimizer.backtest.play import Played, play
from optimizer.backtest.score import Score, score
from optimizer.backtest.side_by_side import side_by_side
from optimizer.backtest.table import Table
from optimizer.search.history import History

SLOW_SEEDS: Final = 5
"""Seeds of a method that takes above 50 ms a proposal."""
FEWEST_STEPS: Final = 2
"""Steps of other families that a method which lives on history needs."""


@dataclass(frozen=True, slots=True)
class Job:
    """One method on one table.

    ``noise``: what it is told is as noisy as real runs are. ``same_family``: history holds
    other inputs of the same program too.
    """

    folder: str
    dataset: str
    objective: str
    table: str
    method: str
    seeds: int
    noise: bool = False
    same_family: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """A finished job: a score a seed."""

    job: Job
    scores: tuple[Score, ...]


def plan(
    folder: Path, datasets: Sequence[str], methods: Sequence[str], seeds: int, *,
    noise: bool = False, same_family: bool = False, most: int | None = None,
) -> list[Job]:  # fmt: skip
    """Return every job: tables × objectives × methods that can play on them.

    ``most`` tables of an objective at most; the others are history all the same.
    """
    jobs = []
    for dataset in datasets:
        for objective, tables in load(folder, dataset).items():
            for table in evenly(tables, most):
                steps = len(table.history(tables, same_family=same_family))
                for name in methods:
                    if METHODS[name].history == "needed" and steps < FEWEST_STEPS:
                        continue
                    jobs.append(Job(
                        str(folder), dataset, objective, table.name, name,
                        _seeds(name, seeds, noise), noise, same_family,
                    ))  # fmt: skip
    return jobs


def _seeds(name: str, seeds: int, noise: bool) -> int:
    method = METHODS[name]
    if not (method.random or noise):
        return 1  # every seed gives the same
    return min(seeds, SLOW_SEEDS) if method.slow else seeds


def finish(
    jobs: Sequence[Job], kept: Path, workers: int, progress: Callable[[int, int], None]
) -> list[Done]:
    """Return all jobs done; those whose line is in ``kept`` are not done again."""
    known = read(kept)
    keys = {job: key(job) for job in jobs}
    played = {job: known[keys[job]] for job in jobs if keys[job] in known}
    left = [job for job in jobs if job not in played]
    progress(len(played), len(jobs))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.open("a", encoding="utf-8") as lines:
        for job, searches in side_by_side(do, left, workers):
            played[job] = searches
            lines.write(written(keys[job], _about(job), searches))
            lines.flush()
            progress(len(played), len(jobs))
    return [judged(job, played[job]) for job in jobs]


def _about(job: Job) -> dict[str, object]:
    return {name: value for name, value in asdict(job).items() if name != "folder"}


def judged(job: Job, searches: Sequence[Played]) -> Done:
    """Score the searches of a job."""
    table, _ = _facts(job)
    return Done(job, tuple(score(table, one) for one in searches))


def key(job: Job) -> str:
    """What the job's result depends on, as a short name."""
    table, history = _facts(job)
    noise = _noise(job.folder) if job.noise else None
    return key_of(job.method, table, history, noise, job.seeds)


def do(job: Job) -> tuple[Job, tuple[Played, ...]]:
    """Do one job."""
    table, history = _facts(job)
    noise = _noise(job.folder) if job.noise else None
    seeds = range(job.seeds)
    return job, tuple(play(job.method, table, history, seed, noise) for seed in seeds)


def _facts(job: Job) -> tuple[Table, History]:
    tables = _tables(job.folder, job.dataset)[job.objective]
    table = next(one for one in tables if one.name == job.table)
    history = table.known if METHODS[job.method].knows else table.history
    return table, history(tables, same_family=job.same_family)


@lru_cache(maxsize=8)
def _tables(folder: str, dataset: str) -> Mapping[str, Sequence[Table]]:
    return load(Path(folder), dataset)


@lru_cache(maxsize=1)
def _noise(folder: str) -> Noise:
    return Noise.of(Path(folder))

"""The jobs of a backtest: one method on one table, all seeds; done side by side, kept as done.

Every job's result is one line of a file beside the others, so that a backtest that was
interrupted goes on where it was. A line is found again by everything its result depends
on: the data's digest, the method, the seeds, and the version of the search.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, TypeAlias

from optimizer.backtest.datasets import load
from optimizer.backtest.methods import METHODS
from optimizer.backtest.play import play
from optimizer.backtest.score import Score, score
from optimizer.backtest.table import Table

Json: TypeAlias = Any

SLOW_SEEDS: Final = 5
"""Seeds of a method that takes above 50 ms a proposal."""
FEWEST_STEPS: Final = 2
"""Steps of other families that a method which lives on history needs."""


@dataclass(frozen=True, slots=True)
class Job:
    """One method on one table."""

    folder: str
    dataset: str
    objective: str
    table: str
    method: str
    seeds: int

    @property
    def key(self) -> str:
        """What the result depends on, as a short name."""
        return _digest([asdict(self), _data(self.folder, self.dataset), _code()])


@dataclass(frozen=True, slots=True)
class Done:
    """A finished job: a score a seed."""

    job: Job
    scores: tuple[Score, ...]


def plan(folder: Path, datasets: Sequence[str], methods: Sequence[str], seeds: int) -> list[Job]:
    """Return every job: tables × objectives × methods that can play on them."""
    jobs = []
    for dataset in datasets:
        for objective, tables in load(folder, dataset).items():
            for table in tables:
                steps = len(table.history(tables))
                for name in methods:
                    method = METHODS[name]
                    if method.needs_history and steps < FEWEST_STEPS:
                        continue
                    many = min(seeds, SLOW_SEEDS) if method.slow else seeds
                    many = many if method.random else 1
                    jobs.append(Job(str(folder), dataset, objective, table.name, name, many))
    return jobs


def finish(
    jobs: Sequence[Job], kept: Path, workers: int, progress: Callable[[int, int], None]
) -> list[Done]:
    """Return all jobs done; those whose line is in ``kept`` are not done again."""
    known = dict(_kept(kept))
    done = {job.key: Done(job, known[job.key]) for job in jobs if job.key in known}
    left = [job for job in jobs if job.key not in done]
    progress(len(done), len(jobs))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.open("a", encoding="utf-8") as lines:
        for result in _side_by_side(left, workers):
            done[result.job.key] = result
            scores = [asdict(s) for s in result.scores]
            lines.write(json.dumps({"key": result.job.key, "scores": scores}) + "\n")
            lines.flush()
            progress(len(done), len(jobs))
    return [done[job.key] for job in jobs]


def do(job: Job) -> Done:
    """Do one job."""
    tables = _tables(job.folder, job.dataset)[job.objective]
    table = next(one for one in tables if one.name == job.table)
    history = table.history(tables)
    scores = [score(table, play(job.method, table, history, seed)) for seed in range(job.seeds)]
    return Done(job, tuple(scores))


def _side_by_side(jobs: Sequence[Job], workers: int) -> Iterator[Done]:
    if workers <= 1 or len(jobs) < 2:
        yield from map(do, jobs)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=one_thread) as pool:
        for future in as_completed([pool.submit(do, job) for job in jobs]):
            yield future.result()


def one_thread() -> None:
    """Let each process use one core: small matrices only lose by sharing."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


_LOADED: Final[dict[tuple[str, str], Mapping[str, Sequence[Table]]]] = {}


def _tables(folder: str, dataset: str) -> Mapping[str, Sequence[Table]]:
    key = (folder, dataset)
    if key not in _LOADED:
        _LOADED[key] = load(Path(folder), dataset)
    return _LOADED[key]


def _kept(path: Path) -> Iterator[tuple[str, tuple[Score, ...]]]:
    """The lines of a file; one that a crash left half written is done again."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            told = json.loads(line)
        except json.JSONDecodeError:
            continue
        scores = tuple(Score(**{**s, "gaps": tuple(s["gaps"])}) for s in told["scores"])
        yield told["key"], scores


def _digest(value: Json) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:24]


_DIGESTS: Final[dict[tuple[str, str], str]] = {}


def _data(folder: str, dataset: str) -> str:
    key = (folder, dataset)
    if key not in _DIGESTS:
        data = (Path(folder) / dataset / "evals.parquet").read_bytes()
        _DIGESTS[key] = hashlib.sha256(data).hexdigest()
    return _DIGESTS[key]


def _code() -> str:
    """The digest of the code that a score depends on."""
    key = ("", "")
    if key not in _DIGESTS:
        here = Path(__file__).parent
        files = sorted([*here.glob("*.py"), *(here.parent / "search").glob("*.py")])
        _DIGESTS[key] = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()
    return _DIGESTS[key]

"""The jobs of the gate: one method on one table, all seeds; kept as done, beside the searches.

A line is found again by all it depends on: the table, the history, the noise, the seeds,
and the code of the gate and of the search under it.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from optimizer.backtest.datasets import NoData, evenly, load
from optimizer.backtest.noise import Noise
from optimizer.backtest.passive import Passed, passive
from optimizer.backtest.passive_rows import summary
from optimizer.backtest.side_by_side import side_by_side
from optimizer.backtest.table import Table
from optimizer.resemblance import Described
from optimizer.search.history import History

Json: TypeAlias = Any

LARGEST: Final = 1000
"""Settings of a space of which the gate looks at every one; it has no rows of larger ones."""


@dataclass(frozen=True, slots=True)
class GateJob:
    """One method on one table."""

    folder: str
    dataset: str
    objective: str
    table: str
    method: str
    seeds: int


def plan(
    folder: Path, datasets: Sequence[str], methods: Sequence[str], seeds: int,
    most: int | None = None,
) -> list[GateJob]:  # fmt: skip
    """Return every job: finite tables that have any history × methods; see `jobs.plan`."""
    return [
        GateJob(str(folder), dataset, objective, table.name, method, seeds)
        for dataset in datasets
        for objective, tables in load(folder, dataset).items()
        for table in evenly(tables, most)
        if len(table.space) <= LARGEST and len(table.history(tables))
        for method in methods
    ]


def finish(
    jobs: Sequence[GateJob], kept: Path, workers: int, progress: Callable[[int, int], None]
) -> list[dict[str, Json]]:
    """Return the rows of all jobs; those whose line is in ``kept`` are not done again."""
    known = _kept(kept)
    keys = {job: _key(job) for job in jobs}
    done = {job: known[keys[job]] for job in jobs if keys[job] in known}
    progress(len(done), len(jobs))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.open("a", encoding="utf-8") as lines:
        for job, passed in side_by_side(do, [job for job in jobs if job not in done], workers):
            done[job] = passed
            lines.write(
                json.dumps({"key": keys[job], "passed": [asdict(p) for p in passed]}) + "\n"
            )
            lines.flush()
            progress(len(done), len(jobs))
    return _rows(jobs, done)


def ready(jobs: Sequence[GateJob], kept: Path) -> list[GateJob]:
    """Return the jobs whose line is in ``kept``."""
    known = _kept(kept)
    return [job for job in jobs if _key(job) in known]


def do(job: GateJob) -> tuple[GateJob, list[Passed]]:
    """Do one job."""
    table, history, lenders = _facts(job)
    sound = _noise(job.folder)
    return job, passive(job.method, table, history, job.seeds, sound, lenders)


def _rows(
    jobs: Sequence[GateJob], done: Mapping[GateJob, Sequence[Passed]]
) -> list[dict[str, Json]]:  # fmt: skip
    groups: dict[tuple[str, str, str], list[GateJob]] = defaultdict(list)
    for job in jobs:
        groups[(job.dataset, job.objective, job.method)].append(job)
    return [
        {
            "kind": "gate", "dataset": dataset, "objective": objective, "method": method,
            "tasks": len(mine), "seeds": mine[0].seeds,
            **summary([one for job in mine for one in done[job]]),
        }
        for (dataset, objective, method), mine in groups.items()
    ]  # fmt: skip


def _kept(path: Path) -> dict[str, list[Passed]]:
    """The lines of a file; one that a crash left half written is done again."""
    found: dict[str, list[Passed]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            told = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[told["key"]] = [Passed(**one) for one in told["passed"]]
    return found


def _key(job: GateJob) -> str:
    table, history, lenders = _facts(job)
    noise = _noise(job.folder)
    parts = [
        job.method.encode(),
        str(job.seeds).encode(),
        repr(history.families).encode(),
        repr([sorted(one.words) for one in (table.described, *lenders)]).encode(),
        _code(),
    ]
    arrays = [table.space.features, table.log_outcome, table.failed, history.rows]
    if noise is not None:
        arrays += [*noise.machines, *noise.configurations]
    parts += [np.ascontiguousarray(one).tobytes() for one in arrays]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]


@lru_cache(maxsize=1)
def _code() -> bytes:
    here = Path(__file__).parent
    files = [*here.parent.glob("gate/*.py"), *here.parent.glob("search/*.py"), here / "passive.py"]
    files.append(here.parent / "resemblance.py")
    return hashlib.sha256(b"".join(f.read_bytes() for f in sorted(files))).digest()


def _facts(job: GateJob) -> tuple[Table, History, Sequence[Described]]:
    tables = _tables(job.folder, job.dataset)[job.objective]
    table = next(one for one in tables if one.name == job.table)
    return table, table.history(tables), table.lenders(tables)


@lru_cache(maxsize=8)
def _tables(folder: str, dataset: str) -> Mapping[str, Sequence[Table]]:
    return load(Path(folder), dataset)


@lru_cache(maxsize=1)
def _noise(folder: str) -> Noise | None:
    """Measured noise, where the folder has any; without it trials are taken for exact."""
    try:
        return Noise.of(Path(folder))
    except NoData:
        return None

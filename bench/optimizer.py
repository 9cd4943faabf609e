"""The optimizer on public data, beside what everybody could use instead: figures and page.

Runs the whole backtest (`trimtab optimize backtest`, resumable: finished jobs are kept), ours
also with noise and with the same program in history, and evidence at a million attempts; writes
``bench/results/optimizer.json`` and the page ``docs/reference/optimizer-results.md``::

    make bench-optimizer DATA=folder
    python -m bench.optimizer --data folder --finished    # of what is kept already
    python -m bench.optimizer --data folder --quick       # under a minute, writes nothing
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.machine import machine
from bench.optimizer_evidence import measured
from bench.optimizer_targets import OURS, met
from optimizer.backtest import parts, passive_jobs
from optimizer.backtest.datasets import NoData, available
from optimizer.backtest.jobs import Done, Job, finish, key, plan
from optimizer.backtest.kept import read
from optimizer.backtest.methods import METHODS
from optimizer.backtest.passive import GATES
from optimizer.backtest.rows import rows

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "bench" / "results" / "optimizer.json"
KEPT: Final = ROOT / "bench" / "kept" / "optimizer.jsonl"
"""Where finished jobs are kept unless told: no folder that would be taken for data of runs."""

SEEDS: Final = 30
QUICK: Final = ("random", "mean_rank", OURS)
MILLION: Final = 1_000_000


def main(given: Sequence[str] | None = None) -> int:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--data", type=Path, required=True, help="the folder above the data sets")
    asked.add_argument("--sets", default="", help="data sets, with commas; all without")
    asked.add_argument("--kept", type=Path, default=KEPT)
    asked.add_argument("--workers", type=int, default=2)
    asked.add_argument("--finished", action="store_true", help="run nothing: what is kept")
    asked.add_argument("--quick", action="store_true", help="one seed, three methods, no page")
    asked.add_argument("--save", type=Path, default=RESULTS)
    args = asked.parse_args(given)
    try:
        told = report(args)
    except NoData as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(told, indent=1, ensure_ascii=False))
    if not args.quick:
        args.save.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
        subprocess.run([sys.executable, ROOT / "docs" / "reference" / "write.py"], check=True)
    return 0


def report(args: argparse.Namespace) -> dict[str, Any]:
    """Run what was asked for and return the figures."""
    sets = [s for s in args.sets.split(",") if s] or available(args.data)
    if not sets:
        raise NoData(f"{args.data} holds none of the data sets that there are recipes for")
    jobs = planned(args.data, sets, quick=args.quick)
    ready = kept_of(jobs, args.kept) if args.finished else jobs
    progress("jobs", len(ready), len(jobs))
    done = finish(ready, args.kept, args.workers, lambda n, of: progress("jobs done", n, of))
    groups = [[d for d in done if (d.job.noise, d.job.same_family) == way] for way in WAYS]
    groups = [groups[0], *(whole(group, jobs) for group in groups[1:])]
    found = [row for group in groups for row in rows(group)]
    found += beside(args, sets)
    return {
        "command": "make bench-optimizer", "jobs": len(jobs), "unfinished": len(jobs) - len(ready),
        "rows": found, "targets": verdicts(found), "evidence": evidence(args.quick),
        "machine": machine(),
    }  # fmt: skip


def whole(group: Sequence[Done], jobs: Sequence[Job]) -> list[Done]:
    """Leave out the methods that have not played on every table of a data set and objective."""

    def line(job: Job) -> tuple[object, ...]:
        return job.dataset, job.objective, job.method, job.noise, job.same_family

    wanted, there = Counter(map(line, jobs)), Counter(line(one.job) for one in group)
    return [one for one in group if there[line(one.job)] == wanted[line(one.job)]]


WAYS: Final = ((False, False), (True, False), (False, True))
"""With noise or without, with the same program in history or without."""


def planned(data: Path, sets: Sequence[str], *, quick: bool = False) -> list[Job]:
    """Return all jobs: every method without noise, ours and the cheap ones with it too."""
    if quick:
        return plan(data, sets, QUICK, 1)
    hard = [name for name, method in METHODS.items() if not method.libraries]
    return [
        *plan(data, sets, tuple(METHODS), SEEDS),
        *plan(data, sets, hard, SEEDS, noise=True),
        *plan(data, sets, hard, SEEDS, same_family=True),
    ]


def beside(args: argparse.Namespace, sets: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of the gate, batch sizes, retries and an outage; none in a hurry."""
    if args.quick:
        return []
    gate = args.kept.with_name(f"{args.kept.stem}-gate{args.kept.suffix}")
    models = args.kept.with_name(f"{args.kept.stem}-models{args.kept.suffix}")
    jobs = passive_jobs.plan(args.data, sets, tuple(GATES), SEEDS)
    jobs = passive_jobs.ready(jobs, gate) if args.finished else jobs
    told = partial(progress, "gates done")
    return [
        *passive_jobs.finish(jobs, gate, args.workers, told),
        *parts.rows(
            args.data,
            (),
            (),
            seeds=SEEDS,
            kept=models,
            finished=args.finished,
            progress=partial(progress, "models done"),
        ),
    ]


def kept_of(jobs: Sequence[Job], kept: Path) -> list[Job]:
    """Return the jobs that are finished already."""
    known = read(kept)
    return [job for job in jobs if key(job) in known]


def verdicts(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each target with what was measured, as plain values."""
    return [
        {
            "target": one.target.number, "dataset": one.target.dataset,
            "objective": one.target.objective, "metric": one.target.metric,
            "limit": one.target.limit, "at_least": one.target.at_least, "most": one.target.most,
            "value": one.value, "verdict": one.verdict,
        }
        for one in met(found)
    ]  # fmt: skip


def evidence(quick: bool) -> dict[str, Any]:
    """Return what evidence takes for a million attempts; in a hurry for fewer."""
    with tempfile.TemporaryDirectory(prefix="bench-evidence-") as folder:
        return measured(Path(folder) / "ch", 20_000 if quick else MILLION)


def progress(what: str, done: int, of: int) -> None:
    print(f"\r{done} of {of} {what}", end="" if done < of else "\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

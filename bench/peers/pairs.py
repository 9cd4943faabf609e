"""The peers beside ours: the same job in turn, pair by pair, so that both had the same minute.

A peer's program stays up over all pairs, as our engine does; who goes first alternates. A
peer that cannot be started is left out, and it is said why.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench import runtime_books as books
from bench.runtime_tree import cpu_s, tree
from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.engine.local import open_local

HERE: Final = Path(__file__).parent
PEERS: Final = {"restate": "restate", "dbos": "dbos"}
"""The peer → the module that its program needs."""
JOBS: Final = {"fan": 1000, "chain": 200}
Figures = dict[str, Any]
Doing = Callable[[str], Awaitable[tuple[float, float]]]
"""Does a job; the seconds it took by the clock and of processors."""


class Missing(Exception):
    """A peer is not there, or did not start."""


@dataclass(frozen=True)
class Place:
    """Where the peers are installed."""

    python: str
    server: str | None

    @classmethod
    def of(cls, folder: str | None) -> Place:
        if folder is None:
            return cls(sys.executable, shutil.which("restate-server"))
        root = Path(folder)
        inside = sorted(root.glob("node_modules/@restatedev/restate-server-*/bin/restate-server"))
        return cls(str(root / "venv/bin/python"), str(inside[0]) if inside else None)


def peers(folder: Path, repeat: int) -> Figures:
    """Every peer that is there, in alternating pairs with ours; what is missing, and why."""
    place = Place.of(os.environ.get("PEERS_PLACE"))
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        there: dict[str, Peer] = {}
        for name in PEERS:
            try:
                there[name] = stack.enter_context(program(name, folder / name, place))
            except Missing as why:
                missing[name] = str(why)
        found = asyncio.run(_beside(folder, there, repeat)) if there else {}
    over = found.get("restate", {}).get("fan", {}).get("over")
    return {
        "fanout_over_restate": over,
        "peers": {name: found.get(name) for name in PEERS},
        "peers_missing": missing,
    }


async def _beside(folder: Path, there: dict[str, Peer], repeat: int) -> Figures:
    async with open_local(DataFolder(folder / "data"), 2) as engine:
        ours = await _ours(engine, there)
        return {
            name: {job: await pairs(ours, peer.do, job, repeat) for job in JOBS}
            for name, peer in there.items()
        }


async def _ours(engine: Engine, there: dict[str, Peer]) -> Doing:
    paths = {
        "fan": (await engine.register(books.fan(), "bench")).path,
        "chain": (await engine.register(books.chain(JOBS["chain"]), "bench")).path,
    }

    async def do(job: str) -> tuple[float, float]:
        workload = {"count": JOBS[job]} if job == "fan" else {}
        apart = {pid for peer in there.values() for pid in tree(peer.process.pid)}
        mine = [pid for pid in tree() if pid not in apart]
        cpu, began = cpu_s(mine), time.perf_counter()
        row = await engine.wait(await engine.submit(Submit(paths[job], workload, "bench")))
        took = time.perf_counter() - began
        if row.state != "completed":
            raise RuntimeError(f"{job} {row.state}")
        return took, cpu_s(mine) - cpu

    for job in JOBS:
        await do(job)  # warm, as the peer is
    return do


async def pairs(ours: Doing, theirs: Doing, job: str, repeat: int) -> Figures:
    """So many pairs; ``over`` is how many times as fast ours was, at the median."""
    mine, other = [], []
    for turn in range(repeat):
        if turn % 2:
            other.append(await theirs(job))
            mine.append(await ours(job))
        else:
            mine.append(await ours(job))
            other.append(await theirs(job))
    factors = [b[0] / a[0] for a, b in zip(mine, other, strict=True)]
    return {
        "over": round(statistics.median(factors), 3),
        "each": [round(factor, 3) for factor in factors],
        "steps_per_s": _rates(mine, other, JOBS[job]),
        "cpu_ms_per_step": _costs(mine, other, JOBS[job]),
    }


def _rates(mine: list[Any], other: list[Any], steps: int) -> dict[str, int]:
    def rate(took: list[Any]) -> int:
        return round(statistics.median(steps / clock for clock, _ in took))

    return {"ours": rate(mine), "theirs": rate(other)}


def _costs(mine: list[Any], other: list[Any], steps: int) -> dict[str, float]:
    def cost(took: list[Any]) -> float:
        return round(statistics.median(cpu / steps * 1e3 for _, cpu in took), 4)

    return {"ours": cost(mine), "theirs": cost(other)}


# ---- a peer's program -------------------------------------------------------------------


@dataclass(frozen=True)
class Peer:
    """A program that is up, and does jobs."""

    process: subprocess.Popen[str]
    log: Path

    async def do(self, job: str) -> tuple[float, float]:
        """Have a job done. Raises RuntimeError when the program has ended."""
        return await asyncio.to_thread(self._do, job)

    def _do(self, job: str) -> tuple[float, float]:
        assert self.process.stdin is not None
        pids = tree(self.process.pid)
        cpu = cpu_s(pids)
        print(job, JOBS[job], file=self.process.stdin, flush=True)
        if not (said := _said(self.process)):
            raise RuntimeError(f"the peer ended: {_last(self.log)}")
        return float(said), cpu_s(pids) - cpu


@contextmanager
def program(name: str, folder: Path, place: Place) -> Iterator[Peer]:
    """A peer's program in a folder of its own, warm. Raises Missing."""
    _needs(name, place)
    folder.mkdir(parents=True)
    env = {**os.environ, "RESTATE_SERVER": place.server or "", "DO_NOT_TRACK": "1"}
    with (folder / "log").open("wb") as log, subprocess.Popen(
        [place.python, str(HERE / f"peer_{name}.py")], cwd=folder, env=env, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
    ) as process:  # fmt: skip
        try:
            if _said(process) != "ready":
                raise Missing(f"it did not start: {_last(folder / 'log')}")
            yield Peer(process, folder / "log")
        finally:
            _ended(process)


def _needs(name: str, place: Place) -> None:
    if not shutil.which(place.python):
        raise Missing(f"there is no {place.python}: see bench/peers/README.md")
    asked = [place.python, "-c", f"import {PEERS[name]}"]
    if subprocess.run(asked, check=False, capture_output=True).returncode:
        raise Missing(f"{place.python} has no {PEERS[name]}: install bench/peers/requirements.txt")
    if name == "restate" and place.server is None:
        raise Missing("there is no restate-server: see bench/peers/README.md")


def _said(process: subprocess.Popen[str]) -> str:
    """The next line that is meant for us; empty when the program has ended."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("@ "):
            return line.removeprefix("@ ").strip()
    return ""


def _last(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "it said nothing")[:300]


def _ended(process: subprocess.Popen[str]) -> None:
    """Let it end by itself; then not."""
    assert process.stdin is not None
    left = tree(process.pid)
    process.stdin.close()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        for pid in reversed(left):
            if pid in tree(process.pid):
                os.kill(pid, 9)

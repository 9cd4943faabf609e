"""The backtest's other rows: batch sizes, retries and an outage, each model by itself.

A row's ``kind`` says which: the search has rows of kind ``search``. Finished rows are kept in
a file beside that of the search, found again by the data, the seeds and the code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args

from optimizer import resemblance
from optimizer.backtest import curves, outage, retrying, sizing
from optimizer.backtest.datasets import evenly
from runtime.run import budget, retry

Json: TypeAlias = Any
Rows: TypeAlias = list[dict[str, Json]]

DATASETS: Final = (*curves.SOURCES, retrying.DATASET)
METHODS: Final = (*sizing.METHODS, *retrying.METHODS)


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows that are made together, and all that they depend on."""

    name: str
    data: Path
    seeds: int
    make: Callable[[], Rows]

    @property
    def key(self) -> str:
        """A short name of what the rows depend on."""
        told = [self.name, self.seeds, _digest(self.data), _code()]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]


def rows(
    folder: Path, sets: Sequence[str], methods: Sequence[str], *, seeds: int, kept: Path,
    progress: Callable[[int, int], None], finished: bool = False, most: int | None = None,
) -> Rows:  # fmt: skip
    """Return the rows of all parts there is data for; see `sizing`, `retrying` and `outage`.

    With ``finished`` only of those that are kept already: nothing is run. ``most`` curves
    of a data set at most.
    """
    known, found = _kept(kept), []
    parts = list(_parts(folder, sets or DATASETS, methods or METHODS, seeds, most))
    parts = [part for part in parts if part.key in known] if finished else parts
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.open("a", encoding="utf-8") as lines:
        for done, part in enumerate(parts):
            progress(done, len(parts))
            made = known.get(part.key)
            if made is None:
                made = part.make()
                lines.write(json.dumps({"key": part.key, "rows": made}) + "\n")
                lines.flush()
            found += made
    progress(len(parts), len(parts))
    return found


def count(
    folder: Path, sets: Sequence[str], methods: Sequence[str], most: int | None = None
) -> int:
    """Return how many parts there are to be done or found."""
    return len(list(_parts(folder, sets or DATASETS, methods or METHODS, 1, most)))


def _parts(
    folder: Path, sets: Sequence[str], methods: Sequence[str], seeds: int, most: int | None
) -> Iterator[Part]:
    sampled = "" if most is None else f"/{most} curves"
    for name in curves.available(folder):
        path = curves.path(folder, name, curves.SOURCES[name])
        for design in get_args(sizing.Design) if name in sets else ():
            for method in (m for m in sizing.METHODS if m in methods):
                yield Part(
                    f"batch/{name}/{design}/{method}{sampled}", path, seeds,
                    partial(_sized, folder, name, design, method, seeds, most),
                )  # fmt: skip
    if retrying.DATASET not in sets or not retrying.path(folder).exists():
        return
    path = retrying.path(folder)
    for method in (m for m in retrying.METHODS if m in methods):
        yield Part(
            f"retry/{method}", path, seeds,
            partial(_retried, folder, method, seeds),
        )  # fmt: skip
    if retrying.OURS in methods:
        yield Part("outage", path, seeds, lambda: outage.rows(_reruns(folder), seeds))


def _sized(
    folder: Path, dataset: str, design: sizing.Design, method: str, seeds: int, most: int | None
) -> Rows:
    every = _curves(folder, dataset)
    some = evenly(every, most)
    left_out = {} if most is None else {"left_out": len(every) - len(some)}
    return [{
        "kind": "batch", "dataset": dataset, "objective": f"three_{design}", "method": method,
        "seeds": seeds, **sizing.summary(sizing.play(some, design, method, seeds)), **left_out,
    }]  # fmt: skip


def _retried(folder: Path, method: str, seeds: int) -> Rows:
    return retrying.rows(_reruns(folder), [method], seeds)


@lru_cache(maxsize=1)
def _curves(folder: Path, dataset: str) -> list[curves.Curve]:
    return curves.load(folder, dataset)


@lru_cache(maxsize=1)
def _reruns(folder: Path) -> retrying.Reruns:
    return retrying.load(folder)


def _kept(path: Path) -> dict[str, Rows]:
    """The kept rows by key; a line that a crash left half written is made again."""
    found: dict[str, Rows] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            told = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[told["key"]] = told["rows"]
    return found


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _code() -> str:
    """The digest of the models, of what plays them and of the rules of the runtime in it."""
    here = Path(__file__).parent
    files = [*(here.parent / "models").glob("*.py"), *(here / f"{name}.py" for name in _PLAYERS)]
    files += [Path(str(one.__file__)) for one in (budget, resemblance, retry)]
    return hashlib.sha256(b"".join(f.read_bytes() for f in sorted(files))).hexdigest()


_PLAYERS: Final = ("curves", "outage", "retrying", "sizing")

"""What is kept of a backtest: every finished job as one line, so that none is done twice.

A line is found again by everything that its searches depend on: the table and the history
as the method sees them, the noise, the seeds, and the method itself. Of ours that is the
code of `optimizer.search`; of the others their version and their libraries'. So a change of
ours leaves the lines of all others as they are, and a new way of scoring needs no search.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from optimizer.backtest.methods import METHODS, OURS
from optimizer.backtest.noise import Noise
from optimizer.backtest.play import BUDGET, Played
from optimizer.backtest.table import Table
from optimizer.search.history import History

Json: TypeAlias = Any


def key_of(method: str, table: Table, history: History, noise: Noise | None, seeds: int) -> str:
    """Return a short name of everything that the searches depend on."""
    known = METHODS[method]
    parts: list[Json] = [method, seeds, BUDGET, known.version, _seen(table)]
    parts += [version(library) for library in known.libraries]
    if known.history != "unused":
        parts += [_digest(history.rows), list(history.families)]
    if known.knows:
        parts += [_maybe(table.measured), _maybe(table.over)]
        parts += [_maybe(history.failed), _maybe(history.over)]
    if method == OURS:
        parts.append(_search())
        if table.low_level is not None and history.metrics is not None:
            parts.append(_digest(table.low_level, history.metrics))
    if noise is not None:
        parts += [_digest(*noise.machines, *noise.configurations)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def written(key: str, about: dict[str, Json], searches: Sequence[Played]) -> str:
    """Return a finished job as a line; ``about`` is there for whoever reads the file."""
    lines = [_plain(asdict(one)) for one in searches]
    return json.dumps({"key": key, **about, "searches": lines}) + "\n"


def read(path: Path) -> dict[str, tuple[Played, ...]]:
    """Return the searches by key; a line that a crash left half written is done again."""
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            told = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[told["key"]] = tuple(_played(one) for one in told["searches"])
    return found


def _plain(search: dict[str, Any]) -> dict[str, Json]:
    search["seconds"] = round(search["seconds"], 6)
    for name in ("told", "saves", "prices"):
        search[name] = [None if v is None else round(v, 9) for v in search[name]]
    return {name: value for name, value in search.items() if value not in ((), [])}


def _played(line: dict[str, Json]) -> Played:
    names = ("trials", "told", "chosen", "saves", "prices")
    many = {name: tuple(line.get(name, ())) for name in names}
    return Played(stopped=line["stopped"], seconds=line["seconds"], **many)


def _seen(table: Table) -> str:
    return table.name + _digest(table.space.features, table.log_outcome, table.failed)


def _maybe(values: Any) -> str:
    return "" if values is None else _digest(values)


def _digest(*arrays: Any) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


@lru_cache(maxsize=1)
def _search() -> str:
    """The digest of the code that ours depends on."""
    here = Path(__file__).parent.parent / "search"
    return hashlib.sha256(b"".join(f.read_bytes() for f in sorted(here.glob("*.py")))).hexdigest()

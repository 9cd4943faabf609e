"""The code beside the playbooks of the chaos run: small, and exact however often it is tried."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def flaky(run_folder: Path, name: str) -> None:
    """Fail the first time, by a file in the run's folder."""
    mark = Path(run_folder) / f"tried-{name}"
    if not mark.exists():
        mark.touch()
        raise ConnectionError(f"{name} fails the first time")


def add(x: int, y: int, run_folder: Path, name: str) -> int:
    time.sleep(0.02)
    flaky(run_folder, name)
    return x + y


def numbers(n: int) -> list[int]:
    return list(range(n % 17 + 20))


def squares(items: list[int], batch: Any, run_folder: Path) -> list[Any]:
    """So long a result that all of them together are large."""
    time.sleep(0.02)
    if batch.index == 1:
        flaky(run_folder, "squares-1")
    return [[item * item, "x" * 4000] for item in items]


def summed(items: list[int], by: str, batch: Any, run_folder: Path) -> dict[str, Any]:
    if batch.index == 3:
        flaky(run_folder, "summed-3")
    return {"sum": sum(items), "by": by}


def total(parts: list[Any], more: int) -> int:
    return sum(square for part in parts for square, _ in part) + more


def table(n: int) -> Any:
    import pyarrow as pa

    return pa.table({"x": pa.array(range(20_000 + n), pa.int64())})


def column(table: Any, run_folder: Path, batch: Any) -> int:
    import pyarrow.compute as pc

    if batch.index == 2:
        flaky(run_folder, "column-2")
    return int(pc.sum(table["x"]).as_py())


def long_list(parts: list[int], n: int) -> list[Any]:
    return [sum(parts), *(f"row {n} {i}" for i in range(12_000))]


def first_and_length(values: list[Any], run_folder: Path) -> list[int]:
    flaky(run_folder, "read")
    return [values[0], len(values)]


def append(file: str, line: str) -> str:
    """One line, in one write."""
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (line + "\n").encode())
    os.close(fd)
    time.sleep(0.05)
    return line


def slow_at_first(x: int, run_folder: Path) -> int:
    """Long the first time, so that a hedge is begun; the same value whoever gives it."""
    try:
        (Path(run_folder) / "slow").touch(exist_ok=False)
    except FileExistsError:
        return x
    time.sleep(3.0)
    return x


def late(x: int, y: int) -> int:
    """What `add` gives, too late to be wanted."""
    time.sleep(3.0)
    return x + y


def marked(run_folder: Path, mark: str) -> str:
    (Path(run_folder) / mark).touch()
    return mark


def refused(n: int) -> None:
    raise ValueError(f"{n} is refused")

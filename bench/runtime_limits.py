"""The raw limits of the minute: what disk, SQLite and pipes allow before any engine.

A noisy machine moves all of them, so each figure of the runtime stands beside these.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import time
from pathlib import Path
from typing import Any

_EVENT_BYTES = 600
_ROW = "insert into e(stream, seq, type, at, body) values (?,?,?,?,?)"


def limits(folder: Path) -> dict[str, Any]:
    """Measure all of them, in about a second."""
    return {
        "fdatasync_p50_ms": round(fdatasync_p50_ms(folder), 3),
        "sqlite_rows_per_s": round(sqlite_rows_per_s(folder)),
        "pipe_round_trip_us": round(pipe_round_trip_us(), 1),
    }


def fdatasync_p50_ms(folder: Path, times: int = 100) -> float:
    """Append an event's bytes and sync. Overwriting would tell a rosier story."""
    fd = os.open(folder / "sync.probe", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    took = []
    for _ in range(times):
        at = time.perf_counter()
        os.write(fd, b"x" * _EVENT_BYTES)
        os.fdatasync(fd)
        took.append(time.perf_counter() - at)
    os.close(fd)
    return statistics.median(took) * 1e3


def sqlite_rows_per_s(folder: Path, commits: int = 50, group: int = 128) -> float:
    """Rows a second in groups, each one durable transaction, with the journal's two indexes."""
    db = sqlite3.connect(folder / "sqlite.probe", isolation_level=None)
    db.execute("pragma journal_mode = wal")
    db.execute("pragma synchronous = full")
    db.execute("create table e(stream text, seq int, type text, at real, body text)")
    db.execute("create unique index s on e(stream, seq)")
    at = time.perf_counter()
    for n in range(commits):
        db.execute("begin immediate")
        rows = [("run/x", n * group + i, "t", 1.0, "y" * _EVENT_BYTES) for i in range(group)]
        db.executemany(_ROW, rows)
        db.execute("commit")
    took = time.perf_counter() - at
    db.close()
    return commits * group / took


def pipe_round_trip_us(times: int = 2000) -> float:
    """There and back again between two processes, a byte each way."""
    down, up = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(down[1])
        while os.read(down[0], 1):
            os.write(up[1], b".")
        os._exit(0)
    os.close(down[0])
    at = time.perf_counter()
    for _ in range(times):
        os.write(down[1], b".")
        os.read(up[0], 1)
    took = time.perf_counter() - at
    for fd in (down[1], *up):
        os.close(fd)
    os.waitpid(pid, 0)
    return took / times * 1e6

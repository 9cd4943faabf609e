"""The recorder is killed with -9 at each point of a batch; the record equals the journal."""

from __future__ import annotations

import runpy
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.data.folder import DataFolder
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteJournal
from runtime.record.access import tokens
from runtime.record.clickhouse import connect
from runtime.record.history import History
from runtime.record.verify import verify
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    Event,
    RunCompleted,
    RunStarted,
    RunSubmitted,
)

ROOT = Path(__file__).parents[2]
DYING = ROOT / "tests/data/record/dying_recorder.py"
_ALL = list(runpy.run_path(str(DYING))["POINTS"])
MENDING = [point for point in _ALL if "mended" in point]
POINTS = [point for point in _ALL if point not in MENDING]
ATTEMPTS = 20
PATIENT_S = 300.0
"""Longer than a recorder needs on a machine where others have most of it."""


class Place:
    """A data folder whose journal grows by whole runs."""

    def __init__(self, root: Path) -> None:
        self.folder, self.runs = DataFolder(root), 0
        self.folder.prepare()
        tokens(self.folder)
        self.journal = SqliteJournal(self.folder.journal, time.time())
        self.log = root.joinpath("recorder.log").open("ab")

    def grow(self) -> None:
        self.runs += 1
        run = f"{self.runs:032x}"
        events: list[Event] = [RunSubmitted("p/q", "v1", 1, {}, "ann"), RunStarted()]
        for n in range(ATTEMPTS):
            attempt = f"{run}/s/{n}/1"
            events.append(AttemptScheduled(attempt, "s", 1, "", "k", n))
            events.append(AttemptFinished(attempt, "s", 1, "succeeded", len(events), batch=n,
                                          total_s=0.1, run_s=0.1, worker="w"))  # fmt: skip
        self.journal.append([Append(f"run/{run}", 0, time.time(), [*events, RunCompleted()])])

    def record(self, *more: str) -> subprocess.Popen[bytes]:
        script = [str(DYING)] if more else ["-m", "runtime.record.recorder"]
        return subprocess.Popen(
            [sys.executable, *script, str(self.folder.root), *more],
            stdin=subprocess.PIPE, stderr=self.log, cwd=ROOT,
        )  # fmt: skip

    def die(self, point: str) -> None:
        """Record until the point is reached."""
        process = self.record(point)
        assert process.wait(PATIENT_S) == -9, point
        assert process.stdin is not None
        process.stdin.close()

    def equal(self) -> None:
        """Record to the end; counts and checksums by (stream, sequence) must be the journal's."""
        process = self.record()
        try:
            said = verify(self.folder, PATIENT_S)
            assert "filled anew" not in self.folder.root.joinpath("recorder.log").read_text()
            assert said.differences() == []
            assert said.clickhouse_attempts.rows == self.runs * ATTEMPTS
            history = History.open(self.folder)
            trend = history.rows("trend_steps", bucket=86_400 * 365)
            assert sum(row["attempts"] for row in trend) == self.runs * ATTEMPTS
            history.close()
            self._once()
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(PATIENT_S)

    def _once(self) -> None:
        client: Any = connect(self.folder, "write")
        sql = "SELECT count(), uniqExact(stream, stream_seq) FROM {} WHERE writer > 0"
        for table in ("event", "events", "attempt", "attempts"):
            rows, distinct = client.query(sql.format(table)).result_rows[0]
            assert (table, rows) == (table, distinct)
        client.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.journal.close()
    place.log.close()


@pytest.mark.timeout(900)
def test_a_recorder_killed_at_every_point_makes_no_row_twice_and_loses_none(place: Place) -> None:
    for point in POINTS:
        place.grow()
        place.die(point)
    place.equal()


@pytest.mark.timeout(900)
def test_a_recorder_killed_while_it_mends_mends_again(place: Place) -> None:
    firsts = ("in the middle of an insert", "before the cursor moves")
    for first, point in zip(firsts, MENDING, strict=True):
        place.grow()
        place.die(first)
        place.die(point)
    place.equal()

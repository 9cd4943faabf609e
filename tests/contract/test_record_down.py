"""A sink that is down: the other goes on, nothing is lost, it is caught up, and doctor says so."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.data.folder import DataFolder
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteJournal
from runtime.record.access import RecorderAway, await_caught_up, port, tokens
from runtime.record.clickhouse import connect
from runtime.record.lag import Lag, Sink
from runtime.run.events import AttemptFinished, RunCompleted, RunStarted, RunSubmitted

ROOT = Path(__file__).parents[2]


class Place:
    """A data folder with a journal, and a recorder that can be started and killed."""

    def __init__(self, root: Path, **record: str) -> None:
        self.folder = DataFolder(root)
        self.folder.prepare()
        tokens(self.folder)
        if record:
            (root / "settings.json").write_text(json.dumps({"record": record}))
        self.journal = SqliteJournal(self.folder.journal, time.time())
        self.log = root.joinpath("recorder.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runtime.record.recorder", str(self.folder.root)],
            stdin=subprocess.PIPE, stderr=self.log, cwd=ROOT,
        )  # fmt: skip

    def end(self, how: signal.Signals | None = None) -> None:
        if self.process is None:
            return
        if how is not None:
            self.process.send_signal(how)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(240)
        self.process = None

    def grow(self, run: int) -> None:
        events = [RunSubmitted("p/q", "v1", 1, {}, "ann"), RunStarted(),
                  AttemptFinished(f"{run}/s", "s", 1, "succeeded", 0), RunCompleted()]  # fmt: skip
        self.journal.append([Append(f"run/{run:032x}", 0, time.time(), events)])

    def close(self) -> None:
        self.end()
        self.journal.close()
        self.log.close()


def until(true: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 240
    while True:
        try:
            if found := true():
                return found
        except RecorderAway:
            pass  # it is still starting
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.05)


def sink(place: Place, name: str) -> Sink | None:
    return next((s for s in Lag.read(place.folder, 30.0).sinks if s.name == name), None)


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """Something at a URL that speaks ClickHouse's protocol: another folder's recorder."""
    server = Place(tmp_path / "server")
    server.start()
    yield server
    server.close()


def test_a_server_that_is_unreachable_is_caught_up_when_it_is_back(
    tmp_path: Path, server: Place
) -> None:
    # In a database of its own: the server's recorder keeps its own record in the default one.
    admin = connect(server.folder, "write")
    admin.command("CREATE DATABASE elsewhere")
    admin.close()
    at, password = port(server.folder), tokens(server.folder)["write"]
    place = Place(tmp_path / "own", clickhouse=f"http://write:{password}@127.0.0.1:{at}/elsewhere")
    place.start()
    place.grow(1)
    await_caught_up(place.folder, place.journal.heads(), 240)
    server.end(signal.SIGKILL)
    place.grow(2)
    down = until(lambda: (s := sink(place, "clickhouse")) and s.down and s)
    assert (down.behind_events, down.down_since is not None) == (4, True)
    assert "ClickHouse cannot be written since" in down.sentence
    assert "nothing is lost" in down.sentence
    assert "position 4 of writer 1" in down.sentence
    await_caught_up(place.folder, place.journal.heads(), 240, ("qdrant",))
    server.start()
    await_caught_up(place.folder, place.journal.heads(), 240)
    client = connect(place.folder, "write")
    found = client.query("SELECT count(), uniqExact(stream, stream_seq), max(pos) FROM event")
    assert found.result_rows == [(8, 8, 8)]
    client.close()
    up = sink(place, "clickhouse")
    assert up is not None
    assert (up.down, up.down_since, up.sentence) == (
        False,
        None,
        "ClickHouse holds the whole journal",
    )
    place.close()


def test_a_qdrant_that_is_unreachable_holds_up_nothing_else(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        place = Place(tmp_path, qdrant=f"http://127.0.0.1:{taken.getsockname()[1]}")
        place.start()
        place.grow(1)
        await_caught_up(place.folder, place.journal.heads(), 240, ("clickhouse",))
        down = until(lambda: (s := sink(place, "qdrant")) and s.down and s)
        assert "Qdrant cannot be written since" in down.sentence
        assert "from the start" in down.sentence
        assert Lag.read(place.folder, 30.0).down
        place.end()
    (tmp_path / "settings.json").unlink()
    place.start()
    await_caught_up(place.folder, place.journal.heads(), 240)
    assert not Lag.read(place.folder, 30.0).down
    place.close()

"""The tools that read the record, against a live recorder: ``history`` and ``search``."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.conformance import Bench
from runtime.data.folder import DataFolder
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteJournal
from runtime.record.access import await_caught_up
from runtime.record.search import Search
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    ConfigStored,
    Event,
    Fault,
    RunFailed,
    RunStarted,
    RunSubmitted,
)

ROOT = Path(__file__).parents[2]
RUN = f"{7:032x}"
FAULT = Fault("transient", "payments gateway refused the connection", fingerprint="f" * 16)
LIFE: list[Event] = [
    RunSubmitted("shop/pay", "v1", 1, {}, "ann"), RunStarted(),
    AttemptScheduled(f"{RUN}/charge/0/1", "charge", 1, "cfg", "k", 0, 0, 0),
    AttemptFinished(f"{RUN}/charge/0/1", "charge", 1, "failed", 1, fault=FAULT, run_s=0.2),
    RunFailed("charge", FAULT),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataFolder]:
    """A data folder in which one run has failed, and its recorder."""
    folder = DataFolder(tmp_path_factory.mktemp("record"))
    folder.prepare()
    journal = SqliteJournal(folder.journal, time.time())
    config = ConfigStored("cfg", "shop/pay", "charge", {}, [])
    for stream, events in (("config/cfg", [config]), (f"run/{RUN}", LIFE)):
        journal.append([Append(stream, 0, time.time(), tuple(events))])
    folder.logs.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "runtime.record.recorder", str(folder.root)]
    with (folder.logs / "recorder.log").open("ab") as log:
        recorder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=ROOT
        )
        await_caught_up(folder, journal.heads(), 240)
        yield folder
        assert recorder.stdin is not None
        recorder.stdin.close()
        recorder.wait(120)
    journal.close()


class Room:
    """Runs a tool over that folder, as a step of a system run would."""

    def __init__(self, bench: Bench, folder: DataFolder) -> None:
        self.bench, self.there = bench, {"objects": str(folder.objects), "system": True}

    def run(self, tool: dict[str, Any], **options: Any) -> Any:
        return self.bench.run(tool, **self.there, **options)

    def fault(self, tool: dict[str, Any], **options: Any) -> Any:
        return self.bench.fault(tool, **{**self.there, **options})


@pytest.fixture
def room(tmp_path: Path, folder: DataFolder) -> Room:
    return Room(Bench(tmp_path), folder)


SEARCH = {"kind": "search", "query": "the payment service did not let us connect"}


def test_search_finds_what_resembles_a_text_and_leads_to_its_event(room: Room) -> None:
    hits = room.run({**SEARCH, "of": "failure", "limit": 3})
    assert [hit["kind"] for hit in hits] == ["failure"]
    assert "payments gateway" in hits[0]["text"]
    assert (hits[0]["stream"], hits[0]["stream_seq"]) == (f"run/{RUN}", 4)
    assert hits[0]["href"] == f"/api/runs/{RUN}/events?after=3"
    assert hits[0]["why"]


def test_search_answers_as_the_api_does(room: Room, folder: DataFolder) -> None:
    asked = Search.open(folder).search(str(SEARCH["query"]), limit=20)
    found = room.run(SEARCH)
    assert [hit["id"] for hit in found] == [hit.id for hit in asked]
    assert {hit["kind"] for hit in found} == {"failure", "run"}


@pytest.mark.parametrize(
    "filters", [{"playbook": "shop/other"}, {"step": "other"}, {"state": "data"}, {"of": "lesson"}]
)
def test_filters_leave_out_what_does_not_fit(room: Room, filters: dict[str, str]) -> None:
    assert room.run({**SEARCH, **filters}) == []
    fits = {"playbook": "shop/pay", "step": "charge", "state": "transient", "of": "failure"}
    assert len(room.run({**SEARCH, **{name: fits[name] for name in filters}})) >= 1


def test_history_answers_named_statements_alone(room: Room) -> None:
    table = room.run({"kind": "history", "query": "run_attempts"}, args={"run": RUN})
    assert table.num_rows == 1
    fault = room.fault({"kind": "history", "query": "drop table event"})
    assert fault["cls"] == "permanent"
    assert "drop table event" in fault["message"]


@pytest.mark.parametrize("tool", [SEARCH, {"kind": "history", "query": "runs_recent"}])
def test_an_ordinary_run_may_not_read(room: Room, tool: dict[str, str]) -> None:
    fault = room.fault(tool, system=False)
    assert fault["cls"] == "permanent"
    assert "system runs only" in fault["message"]

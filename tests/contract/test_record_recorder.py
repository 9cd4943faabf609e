"""The recorder as others meet it: a process over real engines, real files and real sockets."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.httputil import default_pool_manager

from patience import until
from runtime.conformance import Bench
from runtime.data.folder import DataFolder, read_json, write_json
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteJournal
from runtime.playbook.tools import TOOLS
from runtime.record.access import (
    RecordBehind,
    RecorderAway,
    RecordError,
    RecordSettings,
    ask,
    await_caught_up,
    port,
    status,
    tokens,
)
from runtime.record.clickhouse import connect
from runtime.record.history import History
from runtime.record.recorder import LOCKED
from runtime.record.schema import migrations
from runtime.record.search import Search
from runtime.record.statements import load
from runtime.record.supervise import RecorderProcess
from runtime.record.tables import TABLES
from runtime.record.verify import verify
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    ConfigStored,
    EachCut,
    Event,
    Fault,
    PlaybookRegistered,
    RunCompleted,
    RunStarted,
    RunSubmitted,
)

ROOT = Path(__file__).parents[2]
PATIENT_S = 240.0
"""Longer than a recorder needs on a machine where others have most of it."""
KILLS = int(os.environ.get("TRIMTAB_RECORDER_KILLS", "5"))
SOURCE = """\
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: p/q, description: Fetch each patient's records}
workflow:
  - step: enrich
    each: {in: "{{ workload.ids }}", batch: 1}
    tool: {kind: python, call: "cohort:enrich"}
    next: publish
  - step: publish
    tool: {kind: python, call: "cohort:publish"}
workload: {ids: {type: array, default: [1]}}
"""


class Lived:
    """A data folder with a journal that runs are added to."""

    def __init__(self, root: Path) -> None:
        self.folder = DataFolder(root)
        self.folder.prepare()
        self.journal = SqliteJournal(self.folder.journal, time.time())
        self.runs = 0
        self.put("config/cfg", ConfigStored("cfg", "p/q", "enrich", {"each.batch": 1}, []))
        told = "Fetch each patient's records"
        self.put("playbook/p/q", PlaybookRegistered("p/q", "v1", 1, SOURCE, {}, "ann", told))

    def put(self, stream: str, *events: Event) -> None:
        self.journal.append([Append(stream, self.journal.head(stream), time.time(), events)])

    def run(self, batches: int = 20) -> str:
        """Append a whole run of so many batches, every tenth of them failing first."""
        self.runs += 1
        run = f"{self.runs:032x}"
        items = {"count": batches, "source": []}
        events: list[Event] = [
            RunSubmitted("p/q", "v1", 1, {}, "ann"), RunStarted(),
            EachCut("enrich", 0, "all", 0, batches, 1, 0, 2, "cfg", items),
        ]  # fmt: skip
        for batch in range(batches):
            for number in (1, 2) if batch % 10 == 0 else (1,):
                fails = number == 1 and batch % 10 == 0
                attempt = f"{run}/enrich/{batch}/{number}"
                events.append(
                    AttemptScheduled(attempt, "enrich", number, "cfg", "k", batch, 0, batch)
                )
                fault = Fault("timeout", f"no answer after {batch}.5 s") if fails else None
                events.append(
                    AttemptFinished(
                        attempt, "enrich", number, "failed" if fails else "succeeded", len(events),
                        batch=batch, fault=fault, retry_at=time.time() if fails else None,
                        queue_s=0.1, run_s=0.2, total_s=0.3, worker="w1",
                        cost_usd=None if batch == 1 else 0.01,
                        stdout="" if batch else f"Patient {batch} has no Records\n",
                    )
                )  # fmt: skip
        self.put(f"run/{run}", *events, RunCompleted())
        return run


@contextmanager
def recording(folder: DataFolder) -> Iterator[subprocess.Popen[bytes]]:
    """A recorder of this folder, as a plain child process."""
    folder.logs.mkdir(exist_ok=True)
    with (folder.logs / "recorder.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "runtime.record.recorder", str(folder.root)],
            stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=ROOT,
        )  # fmt: skip
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(PATIENT_S)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """A folder with two runs, recorded by a live recorder."""
    lived = Lived(tmp_path_factory.mktemp("record"))
    for _ in range(2):
        lived.run()
    with recording(lived.folder) as process:
        await_caught_up(lived.folder, lived.journal.heads(), PATIENT_S)
        yield lived
    assert process.returncode == 0
    lived.journal.close()


@pytest.fixture(scope="module")
def writer(lived: Lived) -> Iterator[Any]:
    """A ClickHouse client that may do anything."""
    client = connect(lived.folder, "write")
    yield client
    client.close()


# ---- reading ----------------------------------------------------------------------------


def test_the_record_equals_the_journal(lived: Lived) -> None:
    said = verify(lived.folder)
    assert said.differences() == []
    assert said.journal_attempts.rows >= 44
    assert said.qdrant_points == said.qdrant_expected
    assert said.to_json()["rows"]["clickhouse_events"] == said.journal_events.rows


def test_history_answers_named_statements_as_arrow(lived: Lived) -> None:
    history = History.open(lived.folder)
    table = history.query("run_attempts", run=f"{1:032x}")
    assert isinstance(table, pa.Table)
    assert table.num_rows == 22
    first = table.to_pylist()[0]
    assert (first["step"], first["outcome"], first["retried"], first["batch_size"]) == (
        "enrich",
        "failed",
        1,
        1,
    )
    evidence = history.query("evidence_attempts", playbook="p/q", step="enrich")
    assert not {"text", "error_message"} & set(evidence.schema.names)
    assert history.cursor()[1] > 0
    history.close()


def test_every_statement_runs(lived: Lived) -> None:
    history = History.open(lived.folder)
    known = {
        "playbook": "p/q", "step": "enrich", "run": f"{1:032x}", "proposal": "p-1", "text": "x",
        "experiment": "x-1",
    }  # fmt: skip
    for name, said in load().items():
        needed = {k: known[k] for k in said.parameters if k not in said.defaults}
        assert isinstance(history.query(name, **needed), pa.Table), name
    history.close()


def test_the_trend_adds_up_to_the_attempts(lived: Lived) -> None:
    history = History.open(lived.folder)
    (row,) = [r for r in history.rows("trend_steps", bucket=86_400 * 365) if r["step"] == "enrich"]
    attempts = next(r for r in history.rows("counts") if r["table"] == "attempt")["rows"]
    assert row["attempts"] == attempts
    assert row["p50_s"] == pytest.approx(0.3, abs=1e-3)
    history.close()


def test_what_went_down_with_the_server_is_no_failure_no_cause_and_no_evidence(
    tmp_path: Path,
) -> None:
    lived = Lived(tmp_path)
    name, lost = f"{1:032x}/enrich/-1", Fault("lost", "the server was restarted while this ran")
    lived.put(
        f"run/{1:032x}", RunSubmitted("p/q", "v1", 1, {}, "ann"), RunStarted(),
        AttemptScheduled(f"{name}/1", "enrich", 1, "cfg", "k"),
        AttemptFinished(f"{name}/1", "enrich", 1, "lost", 3, fault=lost, retry_at=1.0),
        AttemptScheduled(f"{name}/2", "enrich", 2, "cfg", "k"),
        AttemptFinished(f"{name}/2", "enrich", 2, "lost", 5, fault=lost, retry_at=1.0, worker="w"),
        AttemptScheduled(f"{name}/3", "enrich", 3, "cfg", "k"),
        AttemptFinished(f"{name}/3", "enrich", 3, "succeeded", 7, cost_usd=0.5, worker="w"),
        RunCompleted(),
    )  # fmt: skip
    with recording(lived.folder):
        await_caught_up(lived.folder, lived.journal.heads(), PATIENT_S)
        history = History.open(lived.folder)
        (trend,) = history.rows("trend_steps", bucket=86_400 * 365)
        (step,) = history.rows("steps_summary")
        (config,) = history.rows("step_configs", playbook="p/q", step="enrich")
        (cause,) = history.rows("failures_by_cause")
        evidence = history.rows("evidence_attempts", playbook="p/q", step="enrich")
        assert (trend["attempts"], trend["failed"]) == (3, 1)
        assert (step["attempts"], step["failed"], config["failed"]) == (3, 1, 1)
        assert cause["failures"] == 1
        assert [row["number"] for row in evidence] == [2, 3]
        history.close()
        assert verify(lived.folder).ok
    lived.journal.close()


def test_a_try_that_another_one_beat_is_no_failure_and_its_cost_counts(tmp_path: Path) -> None:
    lived = Lived(tmp_path)
    name = f"{1:032x}/enrich/-1/1"
    lived.put(
        f"run/{1:032x}", RunSubmitted("p/q", "v1", 1, {}, "ann"), RunStarted(),
        AttemptScheduled(name, "enrich", 1, "cfg", "k"),
        AttemptScheduled(f"{name}.1", "enrich", 1, "cfg", "k", hedges=name),
        AttemptFinished(f"{name}.1", "enrich", 1, "succeeded", 4, cost_usd=0.25, worker="w"),
        AttemptFinished(name, "enrich", 1, "cancelled", 3, cost_usd=0.5, worker="v", moot=True),
        RunCompleted(),
    )  # fmt: skip
    with recording(lived.folder):
        await_caught_up(lived.folder, lived.journal.heads(), PATIENT_S)
        history = History.open(lived.folder)
        (trend,) = history.rows("trend_steps", bucket=86_400 * 365)
        (step,) = history.rows("steps_summary")
        assert (trend["attempts"], trend["failed"], trend["cost_usd"]) == (2, 0, 0.75)
        assert (step["attempts"], step["failed"], step["items"]) == (2, 0, 1)
        history.close()
        assert verify(lived.folder).ok
    lived.journal.close()


def test_evidence_can_be_read_as_of_a_cursor(lived: Lived) -> None:
    history = History.open(lived.folder)
    asked = {"playbook": "p/q", "step": "enrich", "writers": [1], "positions": [10]}
    positions = history.query("evidence_attempts", **asked)["pos"].to_pylist()
    assert positions == [p for p in positions if p <= 10]
    assert positions
    history.close()


def test_cost_per_item_is_that_of_the_items_that_have_a_price(lived: Lived) -> None:
    history = History.open(lived.folder)
    (row,) = history.rows("step_configs", playbook="p/q", step="enrich")
    free, tried = lived.runs, lived.runs * 22
    assert (row["items"], row["priced_items"]) == (lived.runs * 20, lived.runs * 20 - free)
    assert row["cost_per_item"] == pytest.approx(0.01 * (tried - free) / row["priced_items"])
    history.close()


def test_what_an_attempt_printed_is_found(lived: Lived) -> None:
    history = History.open(lived.folder)
    found = history.rows("printed", text="has no records")
    assert {(r["step"], r["batch"], r["printed"]) for r in found} == {
        ("enrich", 0, "Patient 0 has no Records\n")
    }
    assert len(found) == 2 * lived.runs
    assert history.rows("printed", text="nobody printed this") == []
    history.close()


def test_the_example_of_the_docs_answers_on_a_real_record(lived: Lived) -> None:
    page = ROOT.joinpath("docs/reference/record.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "record.md", "exec"), names)
    said = names["why_it_failed"](str(lived.folder.root), f"{1:032x}")
    assert said == ["enrich failed 4 times: no answer after 10.5 s"]


def test_a_parameter_that_is_not_known_is_said(lived: Lived) -> None:
    history = History.open(lived.folder)
    with pytest.raises(RecordError, match="does not know runn"):
        history.query("run_attempts", runn="x")
    history.close()


def test_search_finds_playbook_step_and_failure_and_says_why(lived: Lived) -> None:
    search = Search.open(lived.folder)
    best = search.search("timeout no answer")[0]
    assert (best.kind, best.state, best.count) == ("failure", "timeout", 4)
    assert best.why["words"]["matched"] == ["timeout", "no", "answer"]
    assert search.search("patient records", kind="playbook")[0].playbook == "p/q"
    assert search.search("enrich", kind="step")[0].step == "enrich"
    assert {h.kind for h in search.search("completed", state="completed")} == {"run"}
    assert search.search("zebra in the garden", kind="failure") == []


def test_failures_have_a_cause_a_printed_line_is_found_and_runs_are_alike(lived: Lived) -> None:
    search = Search.open(lived.folder)
    (cause,) = search.causes(playbook="p/q")
    assert (cause.name, cause.count, cause.where) == (
        "timeout: no answer after <n> s",
        4,
        [["p/q", "enrich"]],
    )
    assert (
        search.search("patients without records", kind="log")[0].text
        == "Patient <n> has no Records"
    )
    assert search.facets("timeout no answer")["playbook"]["p/q"] > 1
    run = "1".rjust(32, "0")
    alike = search.similar(run)
    assert alike
    assert not {h.id for h in alike} & {h.id for h in search.search("run completed", kind="run")}
    with pytest.raises(RecordError, match="no filter colour"):
        search.search("timeout", colour="red")


def test_points_are_made_anew_while_the_old_ones_serve(tmp_path: Path) -> None:
    lived = Lived(tmp_path)
    lived.run()
    with recording(lived.folder):
        await_caught_up(lived.folder, lived.journal.heads(), PATIENT_S)
        search = Search.open(lived.folder)
        before = search.ids()
        assert search.reindex() == {"begun": True}
        log = lived.folder.logs / "recorder.log"
        until(lambda: search.ids() == before and "made anew" in log.read_text())
        lived.run()
        await_caught_up(lived.folder, lived.journal.heads(), PATIENT_S)
        assert search.search("timeout no answer", kind="failure")[0].count == 4
        assert verify(lived.folder).differences() == []
    lived.journal.close()


SEARCHES: list[tuple[dict[str, Any], tuple[str, str]]] = [
    ({"query": "timeout no answer", "limit": 1}, ("failure", "/api/runs/")),
    ({"query": "patient records", "of": "playbook", "playbook": "p/q"}, ("playbook", "/api/pl")),
    ({"query": "enrich", "of": "step", "step": "enrich"}, ("step", "/api/playbooks/p/q")),
    ({"query": "completed", "state": "completed"}, ("run", "/api/runs/")),
]


@pytest.mark.parametrize(("keys", "first"), SEARCHES)
def test_the_search_tool_finds_in_a_system_run_with_every_key(
    lived: Lived, tmp_path: Path, keys: dict[str, Any], first: tuple[str, str]
) -> None:
    bench, objects = Bench(tmp_path), str(lived.folder.objects)
    hits = bench.run({"kind": "search", **keys}, system=True, objects=objects)
    assert (hits[0]["kind"], hits[0]["href"].startswith(first[1])) == (first[0], True)
    assert len(hits) <= keys.get("limit", 20)
    fault = bench.fault({"kind": "search", **keys}, objects=objects)
    assert (fault["cls"], "system runs only" in fault["message"]) == ("permanent", True)


def test_the_searches_use_every_key_of_the_tool() -> None:
    assert {key for keys, _ in SEARCHES for key in keys} == set(TOOLS["search"].keys) - {"errors"}


def test_status_shows_cursor_and_lag(lived: Lived) -> None:
    said = status(lived.folder)
    assert (said["behind_events"], said["behind_s"]) == (0, 0.0)
    assert said["sinks"]["clickhouse"]["cursor"] == said["heads"]
    assert said["sinks"]["qdrant"]["error"] is None
    with pytest.raises(RecordBehind, match="behind after"):
        await_caught_up(lived.folder, {1: 10**9}, timeout_s=0.2)


# ---- ClickHouse's protocol --------------------------------------------------------------


def _client(lived: Lived, **how: Any) -> Any:
    return clickhouse_connect.get_client(
        host="127.0.0.1", port=port(lived.folder), username="any",
        autogenerate_session_id=False, pool_mgr=default_pool_manager(), **how,
    )  # fmt: skip


@pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
def test_no_row_of_a_large_insert_is_lost(lived: Lived, writer: Any, compress: Any) -> None:
    client = _client(lived, password=tokens(lived.folder)["write"], compress=compress)
    table = f"numbers_{compress}"
    client.command(f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n")
    client.insert(table, [[n] for n in range(40_000)], column_names=["n"])
    client.insert_arrow(table, pa.table({"n": pa.array(range(40_000), pa.uint64())}))
    assert client.query(f"SELECT count(), uniqExact(n) FROM {table}").result_rows == [
        (80_000, 40_000)
    ]
    client.close()


def test_errors_are_clickhouses_own(writer: Any) -> None:
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as caught:
        writer.query("SELECT * FROM nowhere")
    assert caught.value.code == 60
    with pytest.raises(DatabaseError, match="SYNTAX_ERROR"):
        writer.command("SELEC 1")


def test_without_a_token_nothing_is_answered(lived: Lived) -> None:
    with pytest.raises(DatabaseError, match="AUTHENTICATION_FAILED"):
        _client(lived, password="guess")
    request = urllib.request.Request(f"http://127.0.0.1:{port(lived.folder)}/status")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert caught.value.code == 401
    caught.value.close()


def test_a_reader_cannot_run_sql_of_its_own(lived: Lived) -> None:
    reader = connect(lived.folder, "read")
    for sql in ("SELECT * FROM file('/etc/passwd', 'LineAsString')", "DROP TABLE event"):
        with pytest.raises(DatabaseError, match="ACCESS_DENIED"):
            reader.query(sql)
    with pytest.raises(DatabaseError, match="ACCESS_DENIED"):
        reader.insert("event", [[1]], column_names=["writer"])
    reader.close()


def test_a_token_is_not_readable_by_others(lived: Lived) -> None:
    assert lived.folder.tokens.stat().st_mode & 0o077 == 0


def test_the_tables_are_as_the_rows_say(writer: Any) -> None:
    for table in TABLES:
        sql = "SELECT name FROM system.columns WHERE database = 'default' AND table = {t:String}"
        found = [r[0] for r in writer.query(sql, parameters={"t": table.name}).result_rows]
        assert tuple(found) == table.names
        seen = [r[0] for r in writer.query(sql, parameters={"t": table.name + "s"}).result_rows]
        assert tuple(seen) == table.names


def test_a_schema_step_can_be_taken_again(writer: Any) -> None:
    for _, statements in migrations():
        for statement in statements:
            writer.command(statement)


# ---- dying and living on ----------------------------------------------------------------


def test_a_second_recorder_leaves_with_a_clear_message(lived: Lived) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "runtime.record.recorder", str(lived.folder.root)],
        cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert second.returncode == LOCKED
    pid = read_json(lived.folder.recorder_json)["pid"]
    assert f"already has a recorder (pid {pid})" in second.stderr
    assert verify(lived.folder).ok


def test_no_row_is_lost_or_doubled_when_the_recorder_is_killed(tmp_path: Path) -> None:
    lived, chance = Lived(tmp_path), random.Random(11)
    for _ in range(KILLS):
        for _ in range(8):
            lived.run(150)
        with recording(lived.folder) as process:
            until(
                lambda p=process: (read_json(lived.folder.recorder_json) or {}).get("pid") == p.pid
            )
            time.sleep(chance.uniform(0.1, 1.0))
            lived.run(50)
            process.send_signal(signal.SIGKILL)
    with recording(lived.folder):
        said = verify(lived.folder)
    assert said.differences() == []
    assert said.journal_attempts.rows == KILLS * (8 * 165 + 55)
    lived.journal.close()


def test_what_a_crash_left_half_written_is_mended(tmp_path: Path) -> None:
    lived = Lived(tmp_path)
    lived.run()
    with recording(lived.folder):
        await_caught_up(lived.folder, lived.journal.heads(), PATIENT_S)
        head = lived.journal.heads()[1]
        client = connect(lived.folder, "write")
        client.command(f"DELETE FROM attempt WHERE pos > {head - 20}")
        client.command("TRUNCATE TABLE run")
        client.close()
    with sqlite3.connect(lived.folder.recorder_db) as db:
        place = RecordSettings().places()["clickhouse"]
        db.execute("insert into batch values (?, 1, 1, ?)", (place, head))
    db.close()
    with recording(lived.folder):
        said = verify(lived.folder)
        history = History.open(lived.folder)
        trend = sum(r["attempts"] for r in history.rows("trend_steps"))
        history.close()
    assert said.differences() == []
    assert trend == said.journal_attempts.rows
    assert f"mended 1:1-{head}" in (lived.folder.logs / "recorder.log").read_text()
    lived.journal.close()


@pytest.mark.parametrize("written", ["nothing", "everything"])
def test_a_batch_that_was_begun_is_there_once(tmp_path: Path, written: str) -> None:
    lived = Lived(tmp_path)
    lived.run()
    with recording(lived.folder):
        await_caught_up(lived.folder, lived.journal.heads(), PATIENT_S)
    before = lived.journal.heads()[1]
    lived.run()
    head = lived.journal.heads()[1]
    if written == "everything":
        with recording(lived.folder):
            await_caught_up(lived.folder, lived.journal.heads(), PATIENT_S)
    lived.journal.close()
    later = Lived(tmp_path)  # another writer, which has gone on before the batch is mended
    with sqlite3.connect(lived.folder.recorder_db) as db:
        for place in RecordSettings().places().values():
            db.execute("insert or replace into cursor values (?, 1, ?)", (place, before))
            db.execute("insert into batch values (?, 1, ?, ?)", (place, before + 1, head))
    db.close()
    with recording(lived.folder):
        said = verify(lived.folder)
        history = History.open(lived.folder)
        trend = sum(r["attempts"] for r in history.rows("trend_steps"))
        history.close()
    assert said.differences() == []
    assert trend == said.journal_attempts.rows == 44
    later.journal.close()


@pytest.mark.parametrize("lost", ["clickhouse", "qdrant", "recorder.db"])
def test_whatever_of_the_record_is_lost_is_made_again(tmp_path: Path, lost: str) -> None:
    lived = Lived(tmp_path)
    lived.run()
    with recording(lived.folder):
        await_caught_up(lived.folder, lived.journal.heads(), PATIENT_S)
        before = ask(lived.folder, "/search", {"text": "timeout"})["hits"]
    shutil.rmtree(tmp_path / lost) if lost != "recorder.db" else (tmp_path / lost).unlink()
    with recording(lived.folder):
        said = verify(lived.folder)
        history = History.open(lived.folder)
        trend = sum(r["attempts"] for r in history.rows("trend_steps"))
        history.close()
        assert ask(lived.folder, "/search", {"text": "timeout"})["hits"] == before
    assert said.differences() == []
    assert trend == said.journal_attempts.rows
    lived.journal.close()


def test_rows_that_settings_let_go_are_not_missed(tmp_path: Path) -> None:
    folder, long_ago = DataFolder(tmp_path), time.time() - 10 * 86_400
    folder.prepare()
    before = SqliteJournal(folder.journal, long_ago)
    old = RunSubmitted("p/q", "v1", 1, {}, "ann")
    before.append([Append("run/old", 0, long_ago, (old, RunStarted(), RunCompleted()))])
    before.close()
    write_json(tmp_path / "settings.json", {"record": {"keep_days": 2, "keep_sums_days": 0}})
    lived = Lived(tmp_path)
    lived.run()
    with recording(folder):
        await_caught_up(folder, lived.journal.heads(), PATIENT_S)
        client = connect(folder, "write")
        assert "toIntervalDay(2)" in client.command("SHOW CREATE TABLE event")
        for table in ("event", "transition", "run"):  # as if ClickHouse had let them go by now
            client.command(f"DELETE FROM {table} WHERE stream = 'run/old'")
        client.close()
    with recording(folder):
        said = verify(folder)
        client = connect(folder, "write")
        assert client.command("SELECT count() FROM event WHERE stream = 'run/old'") == 0
        client.close()
    assert said.differences() == []
    assert said.journal_events.rows == said.clickhouse_events.rows > 40
    assert "filled anew" not in (folder.logs / "recorder.log").read_text()
    lived.journal.close()


def test_a_supervised_recorder_comes_back_and_goes_on(tmp_path: Path) -> None:
    lived = Lived(tmp_path)

    async def story() -> None:
        recorder = RecorderProcess(lived.folder)
        await recorder.start()
        history = History.open(lived.folder)
        lived.run()
        await recorder.caught_up(lived.journal.heads(), PATIENT_S)
        first = recorder.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        lived.run()
        recorder.notify()
        rows = await asyncio.to_thread(history.rows, "runs_recent")
        assert rows
        await recorder.caught_up(lived.journal.heads(), PATIENT_S)
        assert (recorder.restarts, recorder.pid != first) == (1, True)
        assert await recorder.lag() == (0, 0.0)
        assert len(await asyncio.to_thread(history.rows, "runs_recent")) == 2
        history.close()
        await recorder.stop()
        assert recorder.pid is None

    asyncio.run(story())
    lived.journal.close()


@pytest.mark.parametrize("fault", [signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT])
def test_a_fault_of_native_code_ends_the_recorder(tmp_path: Path, fault: signal.Signals) -> None:
    folder = DataFolder(tmp_path)
    folder.prepare()
    SqliteJournal(folder.journal, 0.0).close()
    with recording(folder) as process:
        until(lambda: read_json(folder.recorder_json))
        process.send_signal(fault)
        assert process.wait(PATIENT_S) == -fault


def test_a_recorder_that_is_not_there_is_said(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.prepare()
    with pytest.raises(RecorderAway, match="no recorder answers"):
        status(folder, wait_s=0.0)

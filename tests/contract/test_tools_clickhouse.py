"""The sql tool's engine clickhouse, against the recorder's endpoint over the embedded engine.

With ``TRIMTAB_TEST_CLICKHOUSE_URL`` in the environment the same tests run against a server.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pytest

from listening import listening
from runtime.conformance import Bench
from runtime.data.folder import DataFolder
from runtime.errors import DataError, Permanent, ResourceExhausted, Throttled, TimedOut, Transient
from runtime.journal.sqlite import SqliteJournal
from runtime.record.access import port, tokens
from runtime.tools import clickhouse
from runtime.workers.local import LocalPool
from runtime.workers.protocol import Items, Report

ROOT = Path(__file__).parents[2]
GIVEN = os.environ.get("TRIMTAB_TEST_CLICKHOUSE_URL", "")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a ClickHouse answers that may be written to."""
    if GIVEN:
        yield GIVEN
        return
    folder = DataFolder(tmp_path_factory.mktemp("clickhouse"))
    folder.prepare()
    SqliteJournal(folder.journal, 1_800_000_000.0).close()
    folder.logs.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "runtime.record.recorder", str(folder.root)]
    with (folder.logs / "recorder.log").open("ab") as log:
        recorder = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=ROOT
        )
        yield f"clickhouse://write:{tokens(folder)['write']}@127.0.0.1:{port(folder, 60)}"
        assert recorder.stdin is not None
        recorder.stdin.close()
        recorder.wait(120)


Sql = Callable[..., dict[str, Any]]


@pytest.fixture
def sql(address: str) -> Sql:
    def tool(query: str | None = None, **more: Any) -> dict[str, Any]:
        block = {"kind": "sql", "engine": "clickhouse", "connection": address, "query": query}
        return {name: value for name, value in {**block, **more}.items() if value is not None}

    return tool


@pytest.fixture
def room(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def people(room: Bench, sql: Sql) -> Iterator[None]:
    """With a table ``people`` that is gone afterwards."""
    room.run(sql("drop table if exists tool_people"))
    room.run(sql(
        "create table tool_people (id Int64, name String, born Nullable(Date))"
        " engine = MergeTree order by id"
        " settings non_replicated_deduplication_window = 100"
    ))  # fmt: skip
    yield
    room.run(sql("drop table tool_people"))


def test_rows_are_arrow(room: Bench, sql: Sql) -> None:
    table = room.run(sql(
        "select 1 :: Int32 as i, 'x' as s, toDate('2026-01-02') as d, [1, 2] :: Array(Int64) as a,"
        " 0.5 as x, toLowCardinality('y') as c"
    ))  # fmt: skip
    assert isinstance(table, pa.Table)
    assert table.select(["i", "s", "a", "x", "c"]).to_pylist() == [
        {"i": 1, "s": "x", "a": [1, 2], "x": 0.5, "c": "y"}
    ]


def test_values_are_bound_by_the_server_and_never_pasted(room: Bench, sql: Sql) -> None:
    query = (
        "select $a as a, $b + $b as b, '$a' as text, 'it\\'s $a' as quoted, $c as c,"
        " JSONExtractString($d, 'k') as d, length($e) as e, $f as f -- $nobody"
    )
    args = {"a": "x'; drop", "b": 2, "c": None, "d": {"k": "v"}, "e": [1, 2, 3], "f": True}
    (row,) = room.run(sql(query), args=args).to_pylist()
    assert row == {
        "a": "x'; drop", "b": 4, "text": "$a", "quoted": "it's $a", "c": None, "d": "v",
        "e": 3, "f": True,
    }  # fmt: skip
    assert "$x" in room.fault(sql("select $x"))["message"]


def test_a_script_gives_the_rows_of_its_last_statement(
    room: Bench, sql: Sql, people: None
) -> None:
    script = "insert into tool_people values (1, ';', null); select * from tool_people"
    assert room.run(sql(script)).to_pylist() == [{"id": 1, "name": ";", "born": None}]
    assert room.run(sql("insert into tool_people (id) values (2)")) is None


def test_rows_are_inserted_once_however_often_they_are_tried(
    room: Bench, sql: Sql, people: None
) -> None:
    day = datetime.date(2026, 1, 2)
    rows = pa.table({"id": [1, 2], "name": ["a", "b"], "born": pa.array([day, None])})
    into = sql(into="tool_people")
    for _ in range(2):
        args = {"rows": room.objects.put_table(rows)}
        assert room.run(into, args=args) == {"rows": 2}
    count = sql("select count() as n, min(born) as born from tool_people")
    (row,) = room.run(count).to_pylist()
    assert row["n"] == 2
    items = Items([{"id": 3, "name": "c"}], 0, 1, sliced=True)
    assert room.run(into, items=items, key="another") == {"rows": 1}
    assert room.run(count)["n"].to_pylist() == [3]


@pytest.mark.parametrize(
    ("query", "cls", "code"),
    [
        ("selct 1", "permanent", "62"),
        ("select * from nowhere", "permanent", "60"),
        ("select toInt32($text)", "data", "6"),
        ("select intDiv(1, 0)", "data", "153"),
        ("select * from numbers(1000000000) order by rand() settings max_memory_usage = 1000000",
         "resource", "241"),
        ("select sleepEachRow(1) from numbers(60) settings max_execution_time = 1,"
         " max_block_size = 1", "timeout", "159"),
    ],
)  # fmt: skip
def test_each_error_has_a_class(room: Bench, sql: Sql, query: str, cls: str, code: str) -> None:
    fault = room.fault(sql(query), args={"text": "x"})
    assert fault["cls"] == cls
    assert room.fault(sql(query, errors={code: "transient"}), args={"text": "x"})["cls"] == (
        "transient"
    )


def test_a_server_that_is_not_there_is_transient(room: Bench, sql: Sql) -> None:
    gone = sql("select 1", connection="clickhouse://a:password@127.0.0.1:1/x")
    fault = room.fault(gone)
    assert fault["cls"] == "transient"
    assert "password" not in json.dumps(fault)


def test_a_wrong_password_is_permanent(room: Bench, sql: Sql, address: str) -> None:
    parts = urlsplit(address)
    wrong = parts._replace(netloc=f"{parts.username}:no@{parts.hostname}:{parts.port}").geturl()
    assert room.fault(sql("select 1", connection=wrong))["cls"] == "permanent"


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        (159, TimedOut), (202, Throttled), (241, ResourceExhausted), (252, Throttled),
        (53, DataError), (210, Transient), (62, Permanent), (999999, Permanent),
    ],
)  # fmt: skip
def test_codes_are_known_by_number(code: int, cls: type) -> None:
    from clickhouse_connect.driver.exceptions import DatabaseError

    found = clickhouse.mapped(DatabaseError(f"Code: {code}. DB::Exception: told"))
    assert (type(found), found.names) == (cls, (str(code),))


# ---- what a server is asked -----------------------------------------------------------------


class Asked(BaseHTTPRequestHandler):
    """A server that notes what it is asked, and never answers what is to be slow."""

    seen: list[tuple[str, dict[str, str]]]
    over: threading.Event

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.seen.append((body, asked))
        if "slow" in body:
            self.over.wait(120)
        with suppress(BrokenPipeError):  # who asked is gone
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"26.9.1.1\tUTC\n" if "version()" in body else b"")

    def log_message(self, format: str, *args: Any) -> None:
        pass


Noted = list[tuple[str, dict[str, str]]]


@pytest.fixture
def noting() -> Iterator[tuple[str, Noted]]:
    seen: Noted = []
    over = threading.Event()
    handler = type("Handler", (Asked,), {"seen": seen, "over": over})
    with listening(handler) as url:
        yield url, seen
        over.set()


def saying(word: str, seen: Noted) -> tuple[str, dict[str, str]] | None:
    return next((found for found in seen if word in found[0]), None)


async def noted(word: str, seen: Noted) -> tuple[str, dict[str, str]]:
    """The first request that says this, once it came."""
    async with asyncio.timeout(240):
        while (found := saying(word, seen)) is None:
            await asyncio.sleep(0.01)
        return found


def test_a_cancelled_attempt_kills_its_query_by_its_id(
    tmp_path: Path, noting: tuple[str, Noted], sql: Sql
) -> None:
    url, seen = noting

    async def story() -> Report:
        reports: asyncio.Queue[Report] = asyncio.Queue()
        pool = LocalPool(1, DataFolder(tmp_path))
        loop = asyncio.get_running_loop()
        pool.start(loop, lambda worker, report: reports.put_nowait(report))
        tool = sql("optimize table slow", connection=url)
        pool.send(Bench(tmp_path / "bench").call(tool, timeout_s=70.2).task)
        pool.flush()
        await noted("slow", seen)
        pool.kill(1, "cancelled")
        report = await asyncio.wait_for(reports.get(), 240)
        await pool.stop(0)
        return report

    assert asyncio.run(story()).outcome == "cancelled"
    (asked, killed) = saying("slow", seen), saying("kill query", seen)
    assert asked is not None
    assert killed is not None
    assert asked[1]["max_execution_time"] == "71"
    assert killed[1]["param_id"] == asked[1]["query_id"]

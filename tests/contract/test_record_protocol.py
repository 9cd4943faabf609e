"""ClickHouse's HTTP protocol: one set of promises for our endpoint and for a real server.

The server's half runs where ``TRIMTAB_TEST_CLICKHOUSE_URL`` names one, say
``http://default:@127.0.0.1:8123``; it works in a database of its own and drops it.
"""

from __future__ import annotations

import http.client
import os
import secrets
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.httputil import default_pool_manager

from patience import until
from runtime.data.folder import DataFolder
from runtime.journal.sqlite import SqliteJournal
from runtime.record.access import port, tokens
from runtime.record.statements import statement

ROOT = Path(__file__).parents[2]
SERVER = os.environ.get("TRIMTAB_TEST_CLICKHOUSE_URL")
SLOW = "SELECT sum(sleepEachRow(0.01)) FROM numbers(30000) SETTINGS max_block_size = 10"


@dataclass(frozen=True, slots=True)
class House:
    """Somewhere that speaks the protocol."""

    host: str
    port: int
    user: str
    password: str
    database: str

    def client(self, **how: Any) -> Any:
        told = {"username": self.user, "password": self.password, "database": self.database}
        return clickhouse_connect.get_client(
            host=self.host, port=self.port, autogenerate_session_id=False,
            pool_mgr=default_pool_manager(), **(told | how),
        )  # fmt: skip

    def raw(
        self, sql: str, method: str = "POST", **params: str
    ) -> tuple[int, dict[str, str], bytes]:
        asked = urllib.parse.urlencode({"database": self.database, **params})
        line = http.client.HTTPConnection(self.host, self.port, timeout=60)
        headers = {"X-ClickHouse-User": self.user, "X-ClickHouse-Key": self.password}
        line.request(method, f"/?{asked}", sql.encode(), headers)
        answer = line.getresponse()
        said = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        line.close()
        return said


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataFolder]:
    """A data folder with a live recorder."""
    folder = DataFolder(tmp_path_factory.mktemp("protocol"))
    folder.prepare()
    SqliteJournal(folder.journal, 0.0).close()
    tokens(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime.record.recorder", str(folder.root)],
        stdin=subprocess.PIPE, cwd=ROOT, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    yield folder
    assert process.stdin is not None
    process.stdin.close()
    process.wait(240)


@pytest.fixture(
    scope="module",
    params=[
        "endpoint",
        pytest.param(
            "server",
            marks=pytest.mark.skipif(SERVER is None, reason="TRIMTAB_TEST_CLICKHOUSE_URL"),
        ),
    ],
)
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    if request.param == "endpoint":
        folder = request.getfixturevalue("folder")
        yield House("127.0.0.1", port(folder), "write", tokens(folder)["write"], "default")
        return
    url = urllib.parse.urlsplit(SERVER or "")
    name = f"trimtab_{secrets.token_hex(6)}"
    told = House(
        url.hostname or "", url.port or 8123, url.username or "default", url.password or "", name
    )
    client = told.client(database="default")
    client.command(f"CREATE DATABASE {name}")
    yield told
    client.command(f"DROP DATABASE {name}")
    client.close()


@pytest.fixture
def client(house: House) -> Iterator[Any]:
    client = house.client()
    yield client
    client.close()


def running(client: Any, words: str) -> int:
    sql = (
        "SELECT count() FROM system.processes WHERE position(query, {w:String}) > 0"
        " AND position(query, 'system.processes') = 0"
    )
    return int(client.query(sql, parameters={"w": words}).result_rows[0][0])


class TestClickHouseOverHttp:
    """What we need of ClickHouse's protocol, wherever it is spoken."""

    @pytest.mark.parametrize("compress", ["lz4", "zstd", "gzip", False])
    def test_no_row_of_a_large_insert_is_lost(self, house: House, compress: Any) -> None:
        client = house.client(compress=compress)
        table = f"numbers_{compress}"
        client.command(f"CREATE TABLE {table} (n UInt64) ENGINE = MergeTree ORDER BY n")
        client.insert(table, [[n] for n in range(40_000)], column_names=["n"])
        client.insert_arrow(table, pa.table({"n": pa.array(range(40_000), pa.uint64())}))
        found = client.query(f"SELECT count(), uniqExact(n), sum(n) FROM {table}").result_rows
        assert found == [(80_000, 40_000, 2 * sum(range(40_000)))]
        client.close()

    def test_an_insert_with_a_token_is_there_once(self, client: Any) -> None:
        client.command(
            "CREATE TABLE once (n UInt64) ENGINE = MergeTree ORDER BY n"
            " SETTINGS non_replicated_deduplication_window = 10"
        )
        for token in ("a", "a", "b"):
            client.insert("once", [[1]], column_names=["n"],
                          settings={"insert_deduplication_token": token})  # fmt: skip
        assert client.query("SELECT count() FROM once").result_rows == [(2,)]

    def test_parameters_are_values_and_no_sql(self, client: Any) -> None:
        said = "'); DROP TABLE x -- \\"
        found = client.query("SELECT {a:String}, {b:Array(UInt8)}",
                             parameters={"a": said, "b": [1, 2]})  # fmt: skip
        assert found.result_rows == [(said, [1, 2])]

    @pytest.mark.parametrize(
        ("sql", "code", "name"),
        [
            ("SELECT * FROM nowhere", 60, "UNKNOWN_TABLE"),
            ("SELEC 1", 62, "SYNTAX_ERROR"),
            ("SELECT nothing", 47, "UNKNOWN_IDENTIFIER"),
            ("SELECT throwIf(1)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ],
    )
    def test_an_error_has_its_code_in_a_header(
        self, house: House, client: Any, sql: str, code: int, name: str
    ) -> None:
        status, headers, body = house.raw(sql)
        assert headers["x-clickhouse-exception-code"] == str(code)
        assert (status >= 400, body.startswith(f"Code: {code}.".encode())) == (True, True)
        assert name.encode() in body
        with pytest.raises(DatabaseError) as caught:
            client.query(sql)
        assert caught.value.code == code

    def test_what_is_got_cannot_change_anything(self, house: House) -> None:
        status, headers, _ = house.raw("", "GET", query="CREATE TABLE g (n Int8) ENGINE = Memory")
        assert (status >= 400, headers["x-clickhouse-exception-code"]) == (True, "164")
        assert house.raw("", "GET", query="SELECT 1")[2] == b"1\n"

    def test_an_answer_as_arrow_comes_in_batches(self, client: Any) -> None:
        sql = "SELECT number AS n, toString(number) AS s FROM numbers(300000)"
        with client.query_arrow_stream(sql) as stream:
            batches = list(stream)
        table = pa.Table.from_batches(b for b in batches)
        assert (table.num_rows, table.schema.names) == (300_000, ["n", "s"])
        assert sum(table["n"].to_pylist()) == sum(range(300_000))

    @pytest.mark.parametrize("form", ["Arrow", "ArrowStream"])
    def test_an_empty_answer_as_arrow_has_its_columns(self, house: House, form: str) -> None:
        sql = f"SELECT number AS n FROM numbers(0) FORMAT {form}"
        body = house.raw("", "GET", query=sql)[2]
        opened = pa.ipc.open_file(body) if form == "Arrow" else pa.ipc.open_stream(body)
        with opened as stream:
            table = stream.read_all()
        assert (table.num_rows, table.schema.names) == (0, ["n"])

    def test_a_question_may_have_a_time_limit(self, client: Any) -> None:
        with pytest.raises(DatabaseError) as caught:
            client.query(SLOW, settings={"max_execution_time": 1})
        assert caught.value.code == 159

    def test_a_question_is_ended_by_its_name(self, house: House, client: Any) -> None:
        name, said = f"q-{secrets.token_hex(4)}", list[Any]()
        asking = threading.Thread(target=lambda: said.append(house.raw(SLOW, query_id=name)))
        asking.start()
        until(lambda: running(client, "sleepEachRow"))
        client.command(f"KILL QUERY WHERE query_id = '{name}'")
        asking.join(240)
        assert said[0][1]["x-clickhouse-exception-code"] == "394"
        assert said[0][1]["x-clickhouse-query-id"] == name
        assert not running(client, "sleepEachRow")

    def test_two_questions_cannot_have_one_name(self, house: House, client: Any) -> None:
        name = f"q-{secrets.token_hex(4)}"
        asking = threading.Thread(target=lambda: house.raw(SLOW, query_id=name))
        asking.start()
        until(lambda: running(client, "sleepEachRow"))
        assert house.raw("SELECT 1", query_id=name)[1]["x-clickhouse-exception-code"] == "216"
        client.command(f"KILL QUERY WHERE query_id = '{name}' SYNC")
        asking.join(240)

    def test_a_question_ends_when_nobody_waits_for_it(self, house: House, client: Any) -> None:
        asked = urllib.parse.urlencode({
            "query": SLOW, "database": house.database, "cancel_http_readonly_queries_on_client_close": "1",  # noqa: E501
        })  # fmt: skip
        line = http.client.HTTPConnection(house.host, house.port, timeout=60)
        headers = {"X-ClickHouse-User": house.user, "X-ClickHouse-Key": house.password}
        line.request("GET", f"/?{asked}", headers=headers)
        until(lambda: running(client, "sleepEachRow"))
        line.close()
        until(lambda: not running(client, "sleepEachRow"))

    def test_a_stream_that_nobody_reads_on_ends(self, house: House, client: Any) -> None:
        sql = "SELECT number AS unread FROM numbers(3000000000) FORMAT ArrowStream"
        asked = urllib.parse.urlencode({
            "query": sql, "database": house.database, "cancel_http_readonly_queries_on_client_close": "1",  # noqa: E501
        })  # fmt: skip
        line = http.client.HTTPConnection(house.host, house.port, timeout=60)
        headers = {"X-ClickHouse-User": house.user, "X-ClickHouse-Key": house.password}
        line.request("GET", f"/?{asked}", headers=headers)
        answer = line.getresponse()
        assert answer.read(1000)
        assert running(client, "unread")
        answer.close()
        line.close()
        until(lambda: not running(client, "unread"))


# ---- the endpoint alone -----------------------------------------------------------------


@pytest.fixture
def reader(folder: DataFolder) -> House:
    return House("127.0.0.1", port(folder), "read", tokens(folder)["read"], "default")


def test_a_wrong_password_is_refused_as_clickhouse_does(folder: DataFolder) -> None:
    stranger = House("127.0.0.1", port(folder), "write", "guess", "default")
    assert stranger.raw("SELECT 1")[1]["x-clickhouse-exception-code"] == "516"


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1", "SELECT * FROM event", "DROP TABLE event", "SELECT file('/etc/passwd')",
     "KILL QUERY WHERE 1", "SET readonly = 0", "INSERT INTO event FORMAT CSV\n1"],
)  # fmt: skip
def test_a_reader_asks_what_ships_with_us_alone(reader: House, sql: str) -> None:
    assert reader.raw(sql)[1]["x-clickhouse-exception-code"] == "497"


def test_a_reader_reaches_nothing_by_a_parameter(reader: House) -> None:
    said = statement("run_attempts").text
    for evil in ("file('/etc/passwd')", "' UNION ALL SELECT file('/etc/passwd') --", "\\'"):
        status, _, body = reader.raw(said, param_run=evil)
        assert (status, b"root:" in body) == (200, False)
    for strange in ("database", "query"):
        asked = {strange: "x`; SELECT file('/etc/passwd') --"}
        status, _, body = reader.raw(said, param_run="x", **asked)
        assert (status >= 400, b"root:" in body) == (True, False)
    assert reader.raw(said, param_run="x", max_memory_usage="0")[0] == 403


def test_the_writer_reaches_no_file_and_no_address(folder: DataFolder, tmp_path: Path) -> None:
    writer = House("127.0.0.1", port(folder), "write", tokens(folder)["write"], "default")
    out = tmp_path / "out.csv"
    for sql in (
        f"SELECT 1 INTO OUTFILE '{out}'", f"INSERT INTO FUNCTION file('{out}') SELECT 1",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "CREATE TABLE reach (a Int8) ENGINE = File(CSV)",
    ):  # fmt: skip
        assert writer.raw(sql)[1]["x-clickhouse-exception-code"] == "497"
    assert not out.exists()


def test_a_reader_cannot_end_what_the_writer_runs(folder: DataFolder, reader: House) -> None:
    writer = House("127.0.0.1", port(folder), "write", tokens(folder)["write"], "default")
    name, said = f"q-{secrets.token_hex(4)}", list[Any]()
    asking = threading.Thread(target=lambda: said.append(writer.raw(SLOW, query_id=name)))
    asking.start()
    client = writer.client()
    until(lambda: running(client, "sleepEachRow"))
    assert reader.raw(f"KILL QUERY WHERE query_id = '{name}'")[0] == 200
    assert (said, running(client, "sleepEachRow")) == ([], 1)
    client.command(f"KILL QUERY WHERE query_id = '{name}'")
    asking.join(240)
    client.close()


def test_one_question_cannot_take_all_memory(folder: DataFolder) -> None:
    writer = House("127.0.0.1", port(folder), "write", tokens(folder)["write"], "default")
    status, headers, body = writer.raw(
        "SELECT length(groupArray(number)) FROM numbers(1000000000)"
    )
    assert (status >= 400, headers["x-clickhouse-exception-code"]) == (True, "241")
    assert b"MEMORY_LIMIT_EXCEEDED" in body
    assert writer.raw("SELECT 1")[2] == b"1\n"


def test_a_question_that_waits_for_its_turn_can_be_ended_too(folder: DataFolder) -> None:
    writer = House("127.0.0.1", port(folder), "write", tokens(folder)["write"], "default")
    names = [f"q-{secrets.token_hex(4)}" for _ in range(9)]
    said: dict[str, Any] = {}
    asking = [
        threading.Thread(target=lambda n=name: said.update({n: writer.raw(SLOW, query_id=n)}))
        for name in names
    ]
    for one in asking:
        one.start()
    for name in reversed(names):  # the last of them has no thread yet

        def ended(name: str = name) -> bool:
            writer.raw(f"KILL QUERY WHERE query_id = '{name}'")
            return name in said

        until(ended)
    for one in asking:
        one.join(240)
    assert {s[1]["x-clickhouse-exception-code"] for s in said.values()} == {"394"}

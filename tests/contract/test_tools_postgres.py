"""The sql tool's engine postgres, against a server of its own that lives as long as the tests."""

from __future__ import annotations

import asyncio
import datetime
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pyarrow as pa
import pytest

from patience import until
from runtime.conformance import Bench
from runtime.data.folder import DataFolder
from runtime.playbook.parse import PlaybookFaults, parse
from runtime.workers.local import LocalPool
from runtime.workers.protocol import Items, Report

PASSWORD = "p@ss/word%20ünd"
SPEAKS_OF_IT = (PASSWORD, quote(PASSWORD, safe=""), quote(PASSWORD))
PATIENCE_S = 240.0


def program(name: str) -> str | None:
    """A program of PostgreSQL; Debian keeps them off the path."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return shutil.which(name) or next((str(h / name) for h in homes if (h / name).exists()), None)


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL."""

    host: str
    log: Path

    def url(self, password: str = PASSWORD, database: str = "postgres") -> str:
        return f"postgresql://trim:{quote(password, safe='')}@{self.host}/{database}"

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a query, over a connection of the test's own."""
        from adbc_driver_postgresql import dbapi

        with (
            closing(dbapi.connect(self.url(), autocommit=True)) as connection,
            closing(connection.cursor()) as cursor,
        ):
            cursor.execute(sql)
            rows: list[dict[str, Any]] = cursor.fetch_arrow_table().to_pylist()
            return rows


def no_root() -> dict[str, Any]:
    """How to start a program that refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    initdb, postgres = program("initdb"), program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("adbc_driver_postgresql", reason="pip install 'trimtab[postgres]'")
    who = no_root()
    root = Path(tempfile.mkdtemp(prefix="trimtab-pg-", dir="/tmp"))
    (root / "pw").write_text(PASSWORD, encoding="utf-8")
    for path in (root, root / "pw"):
        os.chown(path, who.get("user", -1), who.get("group", -1))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [initdb, "-D", root / "data", "-U", "trim", "-A", "scram-sha-256", "-N",
               f"--pwfile={root / 'pw'}", "--no-locale", "-E", "UTF8"]  # fmt: skip
    subprocess.run(command, check=True, cwd=root, stdout=subprocess.DEVNULL, **who)
    options = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
               "max_connections": "12", "superuser_reserved_connections": "0",
               "port": str(port)}  # fmt: skip
    words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(
            [postgres, "-D", root / "data", *words], cwd=root, stdout=log, stderr=log, **who
        )
    running = Server(f"127.0.0.1:{port}", root / "log")
    try:
        until(lambda: answers(running))
        yield running
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(20)
        shutil.rmtree(root, ignore_errors=True)


def answers(server: Server) -> bool:
    from adbc_driver_postgresql import dbapi

    try:
        return bool(server.ask("select 1 as n"))
    except dbapi.OperationalError:
        return False


@pytest.fixture
def room(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


Sql = Callable[..., dict[str, Any]]


@pytest.fixture
def sql(server: Server) -> Sql:
    def tool(query: str, **more: Any) -> dict[str, Any]:
        block = {"kind": "sql", "engine": "postgres", "connection": server.url(), "query": query}
        return {name: value for name, value in {**block, **more}.items() if value is not None}

    return tool


@pytest.fixture
def made(server: Server) -> Iterator[None]:
    """With a table ``people`` that is gone afterwards."""
    server.ask("create table people (id integer primary key, born date, note text not null)")
    yield
    server.ask("drop table people")


class TestRows:
    def test_they_are_arrow_of_types_that_every_tool_knows(self, room: Bench, sql: Sql) -> None:
        table = room.run(sql(
            "select 1 as i, 2::bigint b, 1.50::numeric n, null::numeric z, 'x'::varchar s,"
            " true f, '2026-01-02'::date d, '2026-01-02 03:04Z'::timestamptz t,"
            " '{\"a\": 1}'::jsonb j, '6f1a2c1e-93b5-5d6e-8f57-7472696d7461'::uuid u,"
            " array[1, 2] a, '\\x00ff'::bytea y, 0.5::float8 x"
        ))  # fmt: skip
        kinds = {field.name: str(field.type) for field in table.schema}
        assert kinds == {
            "i": "int32", "b": "int64", "n": "decimal128(38, 2)", "z": "decimal128(38, 0)",
            "s": "string", "f": "bool", "d": "date32[day]", "t": "timestamp[us, tz=UTC]",
            "j": "string", "u": "string", "a": "list<item: int32>", "y": "binary", "x": "double",
        }  # fmt: skip
        (row,) = table.to_pylist()
        assert (row["n"], row["z"], row["j"]) == (Decimal("1.50"), None, '{"a": 1}')
        assert row["u"] == "6f1a2c1e-93b5-5d6e-8f57-7472696d7461"

    def test_numbers_that_no_decimal_holds_stay_text(self, room: Bench, sql: Sql) -> None:
        query = "select * from (values ('NaN'::numeric), (1e60::numeric)) as v (n)"
        assert room.run(sql(query))["n"].to_pylist() == ["nan", "1" + "0" * 60]

    def test_a_statement_without_rows_gives_null(self, room: Bench, sql: Sql, made: None) -> None:
        assert room.run(sql("insert into people values (1, null, 'x')")) is None
        empty = room.run(sql("select * from people where false"))
        assert (empty.num_rows, empty.column_names) == (0, ["id", "born", "note"])


class TestValues:
    def test_they_are_bound_and_never_pasted(self, room: Bench, sql: Sql) -> None:
        query = (
            "select $a as a, $b::int + $b::int as b, '$a' as text, $$it's $a$$ as quoted,"
            " $c as c, $d::jsonb ->> 'k' as d, cardinality($e::bigint[]) as e -- $nobody"
        )
        args = {"a": "x'; drop table t", "b": 2, "c": None, "d": {"k": "v"}, "e": [1, 2, 3]}
        assert room.run(sql(query), args=args).to_pylist() == [
            {"a": "x'; drop table t", "b": 4, "text": "$a", "quoted": "it's $a", "c": None,
             "d": "v", "e": 3}
        ]  # fmt: skip

    def test_a_name_that_nobody_gave_is_named(self, room: Bench, sql: Sql) -> None:
        assert "$x" in room.fault(sql("select $x"))["message"]


class TestTables:
    def test_the_batch_and_tables_among_the_arguments_can_be_named(
        self, room: Bench, sql: Sql
    ) -> None:
        ref = room.objects.put_table(pa.table({"id": [1, 2, 3], "name": ["a", "b", "c"]}))
        items = Items(ref, 1, 2, sliced=False)
        query = (
            "select sum(items.id)::bigint s, min(people.name) n from items join people using (id)"
        )
        found = room.run(sql(query), items=items, args={"people": ref})
        assert found.to_pylist() == [{"s": 5, "n": "b"}]

    def test_rows_are_loaded_into_a_table_and_take_its_types(
        self, room: Bench, sql: Sql, server: Server, made: None
    ) -> None:
        day = datetime.date(2026, 1, 2)
        rows = pa.table({"note": ["a", "b"], "id": [1, 2], "born": [day, None]})
        into = sql(None, into="people")  # type: ignore[arg-type]
        assert room.run(into, args={"rows": room.objects.put_table(rows)}) == {"rows": 2}
        assert server.ask("select * from people order by id") == [
            {"id": 1, "born": day, "note": "a"}, {"id": 2, "born": None, "note": "b"}
        ]  # fmt: skip
        batch = Items([{"id": 3, "note": "c"}], 0, 1, sliced=True)
        assert room.run({**into, "into": "public.people"}, items=batch) == {"rows": 1}
        assert room.fault(into, items=batch)["cls"] == "data"

    def test_a_script_that_fails_changes_nothing(
        self, room: Bench, sql: Sql, server: Server, made: None
    ) -> None:
        script = "insert into people values (1, null, ';'); select 1 / $zero::int"
        assert room.fault(sql(script), args={"zero": 0})["cls"] == "data"
        assert server.ask("select * from people") == []
        room.run(sql("insert into people values (1, null, ';'); /* ; */ select 1"))
        assert len(server.ask("select * from people")) == 1


class TestErrors:
    @pytest.mark.parametrize(
        ("query", "cls", "state"),
        [
            ("selct 1", "permanent", "42601"),
            ("select * from nowhere", "permanent", "42P01"),
            ("insert into people values (1, null, 'x'), (1, null, 'y')", "data", "23505"),
            ("insert into people values (1, null, null)", "data", "23502"),
            ("select $text::int", "data", "22P02"),
            ("select 1 / 0", "data", "22012"),
            ("set local statement_timeout = 50; select pg_sleep(60)", "timeout", "57014"),
            ("do $$ begin raise serialization_failure; end $$", "transient", "40001"),
            ("do $$ begin raise out_of_memory; end $$", "resource", "53200"),
            ("do $$ begin raise admin_shutdown; end $$", "transient", "57P01"),
        ],
    )
    def test_each_has_a_class(
        self, room: Bench, sql: Sql, made: None, query: str, cls: str, state: str
    ) -> None:
        assert room.fault(sql(query), args={"text": "x"})["cls"] == cls
        refined = sql(query, errors={state: "throttled"})
        assert room.fault(refined, args={"text": "x"})["cls"] == "throttled"

    def test_a_step_s_timeout_holds_on_the_server(self, room: Bench, sql: Sql) -> None:
        fault = room.fault(sql("select pg_sleep(60)"), timeout_s=0.2)
        assert fault["cls"] == "timeout"

    def test_a_server_that_is_not_there_is_transient(self, room: Bench, sql: Sql) -> None:
        gone = sql("select 1", connection="postgresql://trim@127.0.0.1:1/postgres")
        assert room.fault(gone)["cls"] == "transient"

    def test_too_many_connections_are_throttled(
        self, room: Bench, sql: Sql, server: Server
    ) -> None:
        from adbc_driver_postgresql import dbapi

        held: list[Any] = []
        try:
            with pytest.raises(dbapi.OperationalError):
                held.extend(map(dbapi.connect, [server.url()] * 20))
            assert room.fault(sql("select 1"))["cls"] == "throttled"
        finally:
            for connection in held:
                connection.close()

    @pytest.mark.parametrize("wrong", [{"password": "no"}, {"database": "nowhere"}])
    def test_what_it_does_not_let_in_is_permanent(
        self, room: Bench, sql: Sql, server: Server, wrong: dict[str, str]
    ) -> None:
        assert room.fault(sql("select 1", connection=server.url(**wrong)))["cls"] == "permanent"

    def test_a_missing_driver_says_what_to_install(
        self, room: Bench, sql: Sql, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
        fault = room.fault(sql("select 1"))
        assert (fault["cls"], "trimtab[postgres]" in fault["message"]) == ("permanent", True)


STEP = """\
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: t/p}
secrets: [warehouse]
workflow:
  - step: a
    tool: {kind: sql, TOOL}
"""


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        ("engine: postgres, query: select 1", "engine postgres needs connection"),
        ("query: select 1, connection: {secret: warehouse}", "has no use for connection"),
        ("engine: clickhouse, connection: {secret: warehouse}, query: x, database: d",
         "engine clickhouse has no use for database"),
        ("engine: postgres, query: x, connection: 'postgresql://a:b@h/d'", "holds a password"),
        ("engine: postgres, query: x, connection: 'postgresql://h/d?password=b'", "a password"),
        ("engine: postgres, query: x, into: y, connection: {secret: warehouse}",
         "has one of query and file and into"),
        ("engine: mysql, query: x, database: d", "unknown engine 'mysql'"),
    ],
)  # fmt: skip
def test_the_block_is_checked_when_the_playbook_is_read(tool: str, says: str) -> None:
    with pytest.raises(PlaybookFaults) as caught:
        parse(STEP.replace("TOOL", tool), name="p.yaml")
    (fault,) = caught.value.faults
    assert says in fault.message
    assert fault.line == 7
    parse(STEP.replace("TOOL", "engine: postgres, query: x, connection: {secret: warehouse}"))


# ---- in a worker ------------------------------------------------------------------------


class Worker:
    """A pool of one worker, and what it reports."""

    def __init__(self, root: Path) -> None:
        self.bench = Bench(root / "bench")
        self.pool = LocalPool(1, DataFolder(root))
        self.reports: asyncio.Queue[Report] = asyncio.Queue()

    async def __aenter__(self) -> Worker:
        loop = asyncio.get_running_loop()
        self.pool.start(loop, lambda worker, report: self.reports.put_nowait(report))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.pool.stop(0)

    def send(self, tool: dict[str, Any], **options: Any) -> None:
        self.pool.send(self.bench.call(tool, **options).task)
        self.pool.flush()

    async def report(self) -> Report:
        return await asyncio.wait_for(self.reports.get(), PATIENCE_S)


RUNNING = (
    "select pid from pg_stat_activity"
    " where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()"
)


async def comes_true(true: Callable[[], Any]) -> None:
    await asyncio.to_thread(until, true)


class TestInAWorker:
    def test_a_cancelled_attempt_is_cancelled_on_the_server(
        self, tmp_path: Path, sql: Sql, server: Server
    ) -> None:
        async def story() -> Report:
            async with Worker(tmp_path) as worker:
                worker.send(sql("select pg_sleep(600)"))
                await comes_true(lambda: server.ask(RUNNING))
                worker.pool.kill(1, "cancelled")
                report = await worker.report()
                await comes_true(lambda: not server.ask(RUNNING))
                return report

        before = server.log.read_text().count("due to user request")
        report = asyncio.run(story())
        assert (report.outcome, (report.fault or {})["cls"]) == ("cancelled", "cancelled")
        assert server.log.read_text().count("due to user request") == before + 1

    def test_a_worker_that_just_dies_leaves_no_query_behind(
        self, tmp_path: Path, sql: Sql, server: Server
    ) -> None:
        async def story() -> Report:
            async with Worker(tmp_path) as worker:
                worker.send(sql("select pg_sleep(600)"))
                await comes_true(lambda: server.ask(RUNNING))
                os.kill(int(str(worker.pool.workers()[0]["pid"])), signal.SIGKILL)
                report = await worker.report()
                await comes_true(lambda: not server.ask(RUNNING))
                return report

        assert asyncio.run(story()).outcome == "lost"

    def test_the_address_and_its_password_are_never_told(
        self, tmp_path: Path, sql: Sql, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def story() -> list[Report]:
            found = []
            async with Worker(tmp_path) as worker:
                for slot, block in enumerate(blocks, start=1):
                    worker.send(block, slot=slot, secrets=("warehouse", "wrong"), args=args)
                    found.append(await worker.report())
            return found

        monkeypatch.setenv("TRIMTAB_SECRET_WAREHOUSE", server.url())
        monkeypatch.setenv("TRIMTAB_SECRET_WRONG", server.url(database=quote(PASSWORD, safe="")))
        args = {"word": PASSWORD}
        good, bad = {"secret": "warehouse"}, {"secret": "wrong"}
        blocks = [
            sql("select 1 as n", connection=good),
            sql("select 1", connection=bad),
            sql("select cast($word as int)", connection=good),
            sql("select $word::text as word", connection=good),
            sql("select 1", connection=good, engine="clickhouse"),
        ]
        reports = asyncio.run(story())
        said = [msgspec.json.encode(report).decode() for report in reports]
        assert [report.outcome for report in reports] == ["succeeded", *["failed"] * 4]
        assert "•••" in said[1]
        assert "•••" in said[2]
        for text in said:
            assert not [form for form in SPEAKS_OF_IT if form in text]
        kept = [path.read_bytes() for path in tmp_path.rglob("*.arrow")]
        assert not [data for data in kept if PASSWORD.encode() in data]

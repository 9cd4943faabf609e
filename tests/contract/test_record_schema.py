"""The record's schema over a live engine: its way forward, and sums that add up whatever happens.

The engine is the recorder's own endpoint, or the server at TRIMTAB_TEST_CLICKHOUSE_URL.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.httputil import default_pool_manager

from runtime.data.folder import DataFolder
from runtime.journal.wire import encode
from runtime.record import sums
from runtime.record.access import RecordSettings, port, tokens
from runtime.record.clickhouse import ClickHouseSink, arrow
from runtime.record.follow import Batch, Fact, Span
from runtime.record.schema import Schema, StrangeSchema, parse, steps, told
from runtime.record.statements import statement
from runtime.record.tables import TABLES, Table
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    CheckFailed,
    ConfigStored,
    Event,
    ExperimentEnded,
    ExperimentRamped,
    ExperimentStarted,
    Fault,
    ProductPublished,
    Recorded,
    RunCompleted,
    RunStarted,
    RunSubmitted,
    VerdictReached,
)

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
STATES = sorted((GOLDEN / "record").glob("*.sql"))
DAY = 86_400.0
NOON = 1_772_366_400.0
"""2026-03-01, 12:00 UTC."""
Open = Callable[[], Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """How to connect to an engine that nothing else writes to."""
    if url := os.environ.get("TRIMTAB_TEST_CLICKHOUSE_URL"):
        yield {"dsn": url}
        return
    folder = DataFolder(tmp_path_factory.mktemp("engine"))
    folder.prepare()
    recorder = subprocess.Popen(
        [sys.executable, "-m", "runtime.record.recorder", str(folder.root)],
        stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT,
    )  # fmt: skip
    try:
        yield {
            "host": "127.0.0.1", "port": port(folder, 120.0), "username": "write",
            "password": tokens(folder)["write"], "compress": False,
            "pool_mgr": default_pool_manager(),
        }  # fmt: skip
    finally:
        assert recorder.stdin is not None
        recorder.stdin.close()
        recorder.wait(240)


@pytest.fixture
def fresh(server: dict[str, Any]) -> Iterator[Any]:
    """A client of an empty database."""
    with database(server) as client:
        yield client


@contextmanager
def database(server: dict[str, Any]) -> Iterator[Any]:
    how = {**server, "autogenerate_session_id": False, "tz_source": "server"}
    name = f"t_{uuid.uuid4().hex[:12]}"
    root = clickhouse_connect.get_client(**how)
    root.command(f"CREATE DATABASE {name}")
    client = clickhouse_connect.get_client(**how, database=name)
    yield client
    client.close()
    root.command(f"DROP DATABASE {name} SYNC")
    root.close()


@pytest.fixture(scope="module")
def prepared(server: dict[str, Any]) -> Iterator[Any]:
    """A client of a database that has the whole schema."""
    with database(server) as client:
        ClickHouseSink(client).prepare()
        yield client


@pytest.fixture
def ready(prepared: Any) -> Any:
    """The same, without a row."""
    for table in (*(table.name for table in TABLES), *sums.TABLES):
        prepared.command(f"TRUNCATE TABLE {table} SYNC")
    return prepared


class Lived:
    """A journal in memory: a run with failures and a product, and an experiment's life."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.add("config/c1", ConfigStored("c1", "p/q", "s", {"each.batch": 10}, []))
        begun = ExperimentStarted(
            "x-1", "p-1", "p/q", "s", "batch", "blocks", {"each.batch": 10},
            {"candidate": {"each.batch": 20}}, {"candidate": 0.1}, "salt", "b", 50,
        )  # fmt: skip
        self.add("experiment/x-1", begun, ExperimentRamped("x-1", 1, {"candidate": 0.5}))
        for number in (1, 2):
            self.run(f"{number:032x}", NOON + (number - 1) * DAY)
        verdict = VerdictReached("p-1", "x-1", "better", "gain", {"control": 3}, {})
        self.add("experiment/x-1", verdict, ExperimentEnded("x-1", "decided"))

    def run(self, run: str, at: float) -> None:
        stream = f"run/{run}"
        self.add(stream, RunSubmitted("p/q", "v1", 3, {}, "ann"), RunStarted(), at=at)
        for batch in range(20):
            attempt = f"{run}/s/{batch}/1"
            self.add(stream, AttemptScheduled(attempt, "s", 1, "c1", "k", batch, 0, 0, 10), at=at)
            fault = Fault("timeout", f"no answer after {batch} s") if batch % 5 == 0 else None
            self.add(stream, AttemptFinished(
                attempt, "s", 1, "failed" if fault else "succeeded", len(self.of(stream)),
                batch, fault, queue_s=0.5, run_s=1.0 + batch, total_s=1.5 + batch, rows_out=7,
                hardware="local", price_usd_hour=0.05, cost_usd=0.25, worker="w", tokens=batch,
                calls=1, stdout=f"read part {batch}\n" if batch % 4 == 0 else "",
            ), at=at + 300 * batch)  # fmt: skip
        published = ProductPublished(
            "s", "lake/a", 4, "x.parquet", "parquet", 7, 99, "h", {"a": "int64"}
        )
        self.add(stream, published, CheckFailed("s", "lake/b", [{"rows": 0}]), RunCompleted())

    def add(self, stream: str, *events: Event, at: float = NOON) -> None:
        for event in events:
            seq, pos = len(self.of(stream)) + 1, len(self.facts) + 1
            recorded = Recorded(1, pos, stream, seq, at, event)
            self.facts.append(Fact(recorded, event.VERSION, encode(event).decode()))

    def of(self, stream: str) -> list[Recorded]:
        return [f.recorded for f in self.facts if f.recorded.stream == stream]

    def event(self, stream: str, seq: int) -> Recorded | None:
        return next((r for r in self.of(stream) if r.stream_seq == seq), None)

    def read(self, stream: str, after: int = 0) -> Iterator[Recorded]:
        return (r for r in self.of(stream) if r.stream_seq > after)

    @property
    def batch(self) -> Batch:
        return Batch(Span(1, 1, len(self.facts)), tuple(self.facts))


def ask(client: Any, name: str, **values: Any) -> list[dict[str, Any]]:
    """Ask a statement that ships with us."""
    said = statement(name)
    found = client.query(said.text, parameters=said.bind(values))
    return [dict(zip(found.column_names, row, strict=True)) for row in found.result_rows]


def summed(client: Any) -> dict[str, Any]:
    """What every sum says, and what the attempts say."""
    return {
        "days": client.query(
            "SELECT day, sum(attempts), sum(failed), sum(rows_out), sum(cost_usd) FROM step_day"
            " GROUP BY day ORDER BY day"
        ).result_rows,
        "hours": client.query(
            "SELECT hour, sum(attempts), uniqCombined64Merge(14)(runs), sum(run_s) FROM step_hour"
            " GROUP BY hour ORDER BY hour"
        ).result_rows,
        "causes": ask(client, "failures_by_cause"),
        "prices": ask(client, "prices_paid"),
        "costs": ask(client, "cost_steps"),
        "trend": ask(client, "trend_steps"),
    }


# ---- the way forward --------------------------------------------------------------------


def test_the_ddl_as_a_whole_is_as_it_was_promised(fresh: Any) -> None:
    ClickHouseSink(fresh).prepare()
    assert told(fresh) == (GOLDEN / "record.sql").read_text(encoding="utf-8")


@pytest.mark.parametrize("state", STATES, ids=lambda path: path.stem)
def test_a_database_of_any_earlier_state_is_brought_up_to_date(fresh: Any, state: Path) -> None:
    for ddl in state.read_text(encoding="utf-8").split(";\n\n"):
        fresh.command(ddl.strip().rstrip(";"))
    names = [step.name for step in steps() if step.name <= state.name]
    fresh.insert("migration", [[name] for name in names], column_names=["name"])
    lived, there = Lived(), set(fresh.command("SHOW TABLES").splitlines())
    sink = ClickHouseSink(fresh)
    for table in TABLES:
        if rows := _rows(lived).get(table.name, []) if table.name in there else []:
            _insert_as_it_was(fresh, table, rows)
    assert not sink.is_new()
    sink.prepare()
    assert told(fresh) == (GOLDEN / "record.sql").read_text(encoding="utf-8")
    assert set(Schema(fresh).taken().values()) == {step.hash for step in steps()}
    assert sink.holds({1: len(lived.facts)})
    counts = {row["table"]: row["rows"] for row in ask(fresh, "counts")}
    assert counts == {name: len(rows) for name, rows in _rows(lived).items()}
    assert sum(r["attempts"] for r in ask(fresh, "trend_steps", bucket=86_400)) == 40
    printed = ask(fresh, "printed", text="READ PART")
    assert [(r["batch"], r["printed"]) for r in printed[:2]] == [
        (16, "read part 16\n"), (12, "read part 12\n"),
    ]  # fmt: skip


def _insert_as_it_was(client: Any, table: Table, rows: list[Any]) -> None:
    """Insert what an earlier release would have: the columns that the table has."""
    there = {row[0] for row in client.query(f"DESCRIBE TABLE {table.name}").result_rows}
    kept = [n for n, name in enumerate(table.names) if name in there]
    cut = Table(table.name, tuple(table.columns[n] for n in kept))
    client.insert_arrow(table.name, arrow(cut, [tuple(row[n] for n in kept) for row in rows]))


def _rows(lived: Lived) -> dict[str, list[Any]]:
    from runtime.record.derive import derive

    return derive(lived.facts, lived)


def test_every_state_but_the_last_is_kept_as_somebody_may_have_it() -> None:
    told = "run tests/golden/dump_record.py"
    assert [p.name for p in STATES] == [step.name for step in steps()[:-1]], told


def test_other_statements_under_a_known_name_are_refused(fresh: Any) -> None:
    first, *rest = (
        parse(f"000{n}_x.sql", f"CREATE TABLE x{n} (a Int8) ENGINE = Memory") for n in (1, 2)
    )
    Schema(fresh).advance(lambda _: None, (first,))
    changed = replace(first, statements=("CREATE TABLE y (a Int8) ENGINE = Memory",))
    with pytest.raises(StrangeSchema, match=r"0001_x.sql .* other statements"):
        Schema(fresh).advance(lambda _: None, (changed, *rest))
    assert fresh.command("EXISTS TABLE x2") == 0
    Schema(fresh).advance(lambda _: None, (first, *rest))
    assert fresh.command("EXISTS TABLE x2") == 1


def test_a_step_that_was_cut_short_is_taken_again(fresh: Any) -> None:
    sink = ClickHouseSink(fresh)
    sink.prepare()
    sink.write(Lived().batch, Lived())
    before = summed(fresh)
    for step in steps():
        for text in step.statements:
            fresh.command(text)
    assert summed(fresh) == before
    assert told(fresh) == (GOLDEN / "record.sql").read_text(encoding="utf-8")


def test_how_long_rows_are_kept_is_a_setting(fresh: Any) -> None:
    lived = Lived()
    for days in (30, 90, None):
        sink = ClickHouseSink(fresh, RecordSettings(keep_days=days, keep_sums_days=days))
        sink.prepare()
        ddl = fresh.command("SHOW CREATE TABLE attempt")
        assert (f"toIntervalDay({days})" in ddl) == (days is not None)
        assert (
            ("TTL" in ddl) == ("TTL" in fresh.command("SHOW CREATE TABLE step_hour")) == bool(days)
        )
    sink.write(lived.batch, lived)
    assert sink.holds({1: len(lived.facts)})
    fresh.command("DELETE FROM event WHERE pos < 20")
    assert not sink.holds({1: len(lived.facts)})
    assert ClickHouseSink(fresh, RecordSettings(keep_days=10_000)).holds({1: len(lived.facts)})
    assert not ClickHouseSink(fresh, RecordSettings(keep_days=10_000)).holds({1: 9_999})


# ---- sums -------------------------------------------------------------------------------


def test_the_sums_are_those_of_the_attempts(ready: Any) -> None:
    sink, lived = ClickHouseSink(ready), Lived()
    sink.write(lived.batch, lived)
    said = summed(ready)
    assert [row[1:] for row in said["days"]] == [(20, 4, 140, 5.0)] * 2
    assert [row[1:3] for row in said["hours"]] == [(12, 1), (8, 1)] * 2
    (cause,) = said["causes"]
    assert (cause["failures"], cause["runs"], cause["error_class"]) == (8, 2, "timeout")
    assert cause["last_message"] == "no answer after 15 s"
    (price,) = said["prices"]
    assert (price["usd_hour"], price["attempts"], price["cost_usd"]) == (0.05, 40, 10.0)
    for bucket in (60, 3_600, 86_400):
        trend = ask(ready, "trend_steps", bucket=bucket)
        assert sum(row["attempts"] for row in trend) == 40
        assert sum(row["rows_out"] for row in trend) == 280
    (whole,) = ask(ready, "trend_steps", bucket=86_400 * 365)
    assert (whole["p50_s"], whole["queue_p50_s"]) == (pytest.approx(11.0, abs=0.6), 0.5)
    (step,) = ask(ready, "steps_summary")
    assert (step["attempts"], step["runs"], step["share_of_time"]) == (40, 2, 1.0)
    assert {r["error_class"] for r in ask(ready, "trend_failures", bucket=86_400)} == {"timeout"}


def test_a_batch_that_comes_twice_changes_no_sum(ready: Any) -> None:
    sink, lived = ClickHouseSink(ready), Lived()
    sink.write(lived.batch, lived)
    before = summed(ready)
    sink.write(lived.batch, lived)
    sink.mend(lived.batch, lived)
    assert summed(ready) == before
    assert sums.mend(ready) == {}


@pytest.mark.parametrize("table", ["attempt", *sums.TABLES])
def test_what_a_crash_lost_of_a_table_is_made_again(ready: Any, table: str) -> None:
    sink, lived = ClickHouseSink(ready), Lived()
    sink.write(lived.batch, lived)
    before = summed(ready)
    time = {"attempt": "at", "step_hour": "hour", "cause_hour": "hour"}.get(table, "day")
    ready.command(f"DELETE FROM {table} WHERE toDate({time}) = '2026-03-02'")
    assert summed(ready) != before or table == "attempt"
    sink.mend(lived.batch, lived)
    assert summed(ready) == before
    assert ask(ready, "checksum_attempts")[0]["rows"] == 40


def test_sums_that_counted_otherwise_are_made_again_where_all_attempts_are_there(
    ready: Any,
) -> None:
    sink, lived = ClickHouseSink(ready), Lived()
    sink.write(lived.batch, lived)
    before = summed(ready)
    odd = "SELECT * REPLACE (toUInt64(9) AS failed) FROM step_hour_of_attempt"
    for table in ("step_hour", "step_day"):
        ready.command(f"TRUNCATE TABLE {table}")
    ready.command(f"INSERT INTO step_hour {odd} SETTINGS insert_deduplicate = 0")
    assert sums.mend(ready) == {}
    assert summed(ready)["days"] != before["days"]
    sums.again(ready, "step_hour")
    assert summed(ready) == before
    ready.command("DELETE FROM attempt WHERE toDate(at) = '2026-03-02' AND batch > 3")
    sums.again(ready, "step_hour")
    assert summed(ready) == before


WINDOWS = [
    (0, 4_000_000_000), (NOON, NOON + DAY), (NOON - 100, NOON + 1_700), (NOON + 500, NOON + 900),
    (NOON - DAY / 2, NOON + DAY / 2), (NOON - DAY, NOON + DAY + 4_000),
]  # fmt: skip


@pytest.fixture(scope="module")
def lived_in(server: dict[str, Any]) -> Iterator[Any]:
    """A client of a database that holds what `Lived` did; nobody changes it."""
    with database(server) as client:
        sink, lived = ClickHouseSink(client), Lived()
        sink.prepare()
        sink.write(lived.batch, lived)
        yield client


@pytest.mark.parametrize(
    ("by", "windows", "buckets"),
    [
        ("step", WINDOWS, (60, 3_600, 7 * 86_400)),
        *((by, WINDOWS[-1:], (86_400,)) for by in (
            "playbook", "hardware", "configuration", "arm", "version",
        )),
    ],
)  # fmt: skip
def test_measures_from_sums_are_those_of_the_attempts(
    lived_in: Any, by: str, windows: list[tuple[float, float]], buckets: tuple[int, ...]
) -> None:
    for since, until in windows:
        for bucket in buckets:
            said = ask(
                lived_in,
                "trend_measures",
                by=by,
                bucket=bucket,
                since=int(since),
                until=int(until),
            )
            raw = lived_in.query(
                f"SELECT intDiv(toUnixTimestamp(toDateTime(at)), {bucket}) * {bucket} AS b,"
                " count(), countIf(outcome != 'succeeded'), sum(retried),"
                " sumIf(items, outcome = 'succeeded'),"
                " sum(cost_usd), min(run_s), max(run_s) FROM attempts"
                f" WHERE at >= toDateTime({int(since)}) AND at <= toDateTime({int(until)})"
                " GROUP BY b ORDER BY b"
            ).result_rows
            told = [
                (r["bucket"], r["attempts"], r["failed"], r["retried"], r["items"], r["cost_usd"])
                for r in said
            ]
            assert told == [row[:6] for row in raw], (by, since, until, bucket)
            for r, row in zip(said, raw, strict=True):
                assert row[6] <= r["run_p50_s"] <= r["run_p99_s"] <= row[7]


def test_costs_from_sums_are_those_of_the_attempts(lived_in: Any) -> None:
    for since, until in WINDOWS:
        said = ask(lived_in, "cost_steps", since=int(since), until=int(until))
        raw = lived_in.query(
            "SELECT toUnixTimestamp(toStartOfDay(toDateTime(at))) AS d, hardware, price_usd_hour,"
            " count(), countIf(cost_usd IS NOT NULL), sum(cost_usd), sum(total_s - queue_s),"
            " sum(tokens), sum(calls) FROM attempts"
            f" WHERE at >= toDateTime({int(since)}) AND at < toDateTime({int(until)})"
            " GROUP BY d, hardware, price_usd_hour ORDER BY d"
        ).result_rows
        assert [
            (r["day"], r["hardware"], r["price_usd_hour"], r["attempts"], r["priced"],
             r["cost_usd"], r["slot_s"], r["tokens"], r["calls"])
            for r in said
        ] == raw, (since, until)  # fmt: skip


def test_sums_outlive_their_attempts(ready: Any) -> None:
    sink, lived = ClickHouseSink(ready), Lived()
    sink.write(lived.batch, lived)
    before = summed(ready)
    ready.command("TRUNCATE TABLE attempt")
    assert sums.mend(ready, keep_days=1) == {}
    assert summed(ready) == before


# ---- experiments and products -----------------------------------------------------------


def test_experiments_and_products_can_be_asked(ready: Any) -> None:
    sink, lived = ClickHouseSink(ready), Lived()
    sink.write(lived.batch, lived)
    (experiment,) = ask(ready, "experiments_recent")
    assert (experiment["state"], experiment["stage"], experiment["verdict"]) == (
        "ended",
        1,
        "better",
    )
    assert (experiment["playbook"], experiment["shares"]) == ("p/q", '{"candidate":0.5}')
    moves = ask(ready, "experiment_moves", experiment="x-1")
    assert [row["move"] for row in moves] == ["started", "ramped", "ended"]
    published = ask(ready, "products_recent", state="published")
    assert {(row["product"], row["number"], row["rows"]) for row in published} == {
        ("lake/a", 4, 7)
    }
    refused = ask(ready, "products_recent", state="refused")
    assert {(row["product"], row["checks"]) for row in refused} == {("lake/b", '[{"rows":0}]')}

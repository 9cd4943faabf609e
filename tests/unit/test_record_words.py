"""Statements, rights, frames, words and rankings of the record, without any engine."""

from __future__ import annotations

import gzip
import random
import sqlite3
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.record.access import ROLES, RecordError, RecordSettings
from runtime.record.embed import (
    Dense,
    Remembering,
    sparse_document,
    sparse_query,
    words,
)
from runtime.record.endpoint import Refused, check, read
from runtime.record.follow import Span
from runtime.record.frames import BadFrames, decompress
from runtime.record.ledger import Ledger
from runtime.record.qdrant import Found
from runtime.record.ranking import fuse
from runtime.record.reach import reached
from runtime.record.schema import migrations
from runtime.record.statements import (
    UnknownStatement,
    allowed,
    fingerprint,
    load,
    parse,
    statement,
)
from runtime.record.tables import TABLES

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def test_every_statement_says_what_it_is_for() -> None:
    assert {
        "evidence_attempts",
        "evidence_runs",
        "trend_steps",
        "runs_recent",
        "run_attempts",
    } <= set(load())
    for said in load().values():
        assert said.purpose.endswith("."), said.name
        assert set(said.defaults) <= set(said.parameters), said.name


def test_every_statement_table_and_route_is_in_the_docs() -> None:
    page = Path(__file__).parents[2].joinpath("docs/reference/record.md").read_text()
    said = [*load(), *(t.name for t in TABLES), "/status", "/caught-up", "/search", "/points"]
    assert [name for name in said if f"`{name}`" not in page and f" {name}`" not in page] == []


def test_a_statement_names_what_is_missing_and_what_is_strange() -> None:
    with pytest.raises(RecordError, match="it needs run"):
        statement("run_attempts").bind({})
    with pytest.raises(RecordError, match="does not know runn"):
        statement("run_attempts").bind({"runn": "x"})
    with pytest.raises(UnknownStatement, match="run_attempts"):
        statement("drop_everything")


def test_a_statement_file_must_introduce_itself() -> None:
    with pytest.raises(RecordError, match="first line"):
        parse("x", "SELECT 1")


def test_a_reader_may_ask_only_what_ships_with_us() -> None:
    shipped = statement("run_attempts").text
    check(read({}, (shipped + "\n FORMAT Arrow").encode()), "read", allowed())
    for sql in ("SELECT 1", "SELECT * FROM file('/etc/passwd')", shipped + " UNION ALL SELECT 1"):
        with pytest.raises(Refused, match="497"):
            check(read({}, sql.encode()), "read", allowed())
    check(read({}, b"SELECT 1"), "write", allowed())


REACHES = [
    "SELECT * FROM file('/etc/passwd')", "SELECT file('/etc/passwd')",
    "SELECT * FROM `url`('http://x')", 'SELECT * FROM "s3" (\'x\')',
    "-- don't\nSELECT * FROM url('x')", "/* ' */ SELECT * FROM remote('x') -- '",
    "SELECT $$'$$, file('x'), $$'$$", "SELECT 'it''s', file('x')",
    "SELECT 1 INTO /**/ OUTFILE 'x'", "CREATE TABLE x (a Int8) ENGINE=File(CSV)",
    "CREATE TABLE x (a Int8) ENGINE = /* x */ URL('x')", "INSERT INTO t FROM INFILE 'x'",
    "INSERT INTO FUNCTION file('x') SELECT 1", "SELECT * FROM Python(x)",
    "CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(FILE(path 'x' format 'CSV'))",
    "BACKUP TABLE event TO Disk('x', 'y')", "SYSTEM SHUTDOWN",
]  # fmt: skip


@pytest.mark.parametrize("sql", REACHES)
def test_nobody_reaches_outside_through_the_engine(sql: str) -> None:
    for role in ROLES:
        with pytest.raises(Refused, match="497"):
            check(read({}, sql.encode()), role, frozenset({fingerprint(sql)}))


@pytest.mark.parametrize(
    "sql",
    ["SELECT 'file(' -- url('x')", "SELECT 'a\\' file(' ", "SELECT profile(1)",
     "INSERT INTO t (file, url) FORMAT Arrow"],
)  # fmt: skip
def test_a_word_in_a_text_reaches_nothing(sql: str) -> None:
    check(read({}, sql.encode()), "write", frozenset())


def test_what_ships_with_us_reaches_nothing() -> None:
    statements = [text for _, steps in migrations() for text in steps]
    for text in (*statements, *(said.text for said in load().values())):
        assert reached(text) is None, text


def test_a_reader_may_not_bring_settings_or_data() -> None:
    shipped = statement("run_attempts").text
    with pytest.raises(Refused, match="may not set max_memory_usage"):
        check(read({"max_memory_usage": "0"}, shipped.encode()), "read", allowed())
    with pytest.raises(Refused):
        check(read({}, b"INSERT INTO event FORMAT CSV\n1"), "read", allowed())


def test_a_place_keeps_its_name_when_its_password_changes() -> None:
    def place(dsn: str) -> str:
        return RecordSettings(clickhouse=dsn).places()["clickhouse"]

    assert place("https://ann:old@host:8443/db") == place("https://ann:new@host:8443/db")
    assert place("https://ann:old@host:8443/db") != place("https://ann:old@other:8443/db")


FRAMES: dict[str, Callable[[bytes], bytes]] = {
    "lz4": lz4.frame.compress, "zstd": zstd.compress, "gzip": gzip.compress,
    "deflate": zlib.compress,
}  # fmt: skip


@pytest.mark.parametrize("encoding", FRAMES)
@given(blocks=st.lists(st.binary(max_size=200), max_size=6))
def test_every_frame_of_a_body_is_decoded(encoding: str, blocks: list[bytes]) -> None:
    body = b"".join(FRAMES[encoding](block) for block in blocks)
    assert decompress(body, encoding) == b"".join(blocks)


@pytest.mark.parametrize("encoding", FRAMES)
def test_a_body_that_ends_early_is_refused(encoding: str) -> None:
    whole = FRAMES[encoding](random.Random(1).randbytes(1000))
    for missing in (1, 3, 500):
        with pytest.raises(BadFrames, match="ends early"):
            decompress(whole + whole[:-missing], encoding)


@pytest.mark.parametrize("encoding", FRAMES)
def test_a_small_body_cannot_fill_memory(encoding: str) -> None:
    with pytest.raises(BadFrames, match="unfolds to more than"):
        decompress(FRAMES[encoding](bytes(40 << 20)), encoding, 8 << 20)
    with pytest.raises(BadFrames, match="no such frame"):
        decompress(b"nothing of the kind", encoding)


def test_an_encoding_that_is_not_known_is_said() -> None:
    with pytest.raises(BadFrames, match="UNKNOWN_COMPRESSION_METHOD"):
        decompress(b"x", "br")


def test_the_ledger_knows_the_open_batch_and_the_cursor_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "recorder.db"
    ledger, other = Ledger(path, "a"), Ledger(path, "b")
    ledger.begin(Span(1, 1, 5))
    ledger.settle({1: 5})
    ledger.begin(Span(2, 1, 3))
    again = Ledger(path, "a")
    assert (again.cursor(), again.open_batch()) == ({1: 5}, Span(2, 1, 3))
    assert (other.cursor(), other.open_batch()) == ({}, None)
    again.reset()
    assert (again.cursor(), again.open_batch()) == ({}, None)
    for one in (ledger, other, again):
        one.close()
    with pytest.raises(sqlite3.ProgrammingError):
        ledger.cursor()


class Counting:
    """An embedder that says what it was asked."""

    name, dimensions = "counting", 2

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> list[Dense]:
        self.asked += texts
        return [[float(len(t)), 1.0] for t in texts]


def test_a_text_is_embedded_once() -> None:
    counting = Counting()
    remembering = Remembering(counting)
    assert remembering.embed(["a", "bb", "a"]) == [[1.0, 1.0], [2.0, 1.0], [1.0, 1.0]]
    assert remembering.embed(["bb"]) == [[2.0, 1.0]]
    assert counting.asked == ["a", "bb"]


def test_words_are_found_in_names_and_said_once() -> None:
    assert words("fetchRecords: the HTTP-503 error") == [
        "fetch",
        "records",
        "http",
        "503",
        "error",
    ]
    indices, values = sparse_query("timeout timeout")
    assert (len(indices), values) == (1, [1.0])
    assert sparse_document([("timeout x", 1.0)])[0][0] == indices[0]
    assert sparse_document([("", 1.0)])[0] == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [("failed", "fails"), ("retries", "retry"), ("requests", "request"), ("timed", "timing")],
)
def test_a_word_is_found_in_another_form(asked: str, said: str) -> None:
    assert sparse_query(asked)[0] == sparse_document([(said, 1.0)])[0]


def test_what_only_asks_is_not_looked_for() -> None:
    assert words("why did the step fail") == ["step", "fail"]


def _point(name: str, score: float, text: str) -> Found:
    payload = {
        "kind": "run", "text": text, "playbook": "", "step": "", "state": "", "count": 1,
        "first_at": 0.0, "last_at": 0.0, "stream": "run/x", "stream_seq": 1, "place": [1, 1],
        "counted": {"1": 1}, "run": "x",
    }  # fmt: skip
    return Found(name, score, payload)


def test_a_hit_of_both_rankings_comes_first_and_says_why() -> None:
    a, b, c = (_point(n, 0.5, f"timeout of {n}") for n in "abc")
    found = fuse("timeout", [a, b], [c, b])
    assert [h.id for h in found] == ["b", "a", "c"]
    assert found[0].because == "says timeout; close in meaning (0.50)"
    assert (found[1].because, found[2].because) == ("close in meaning (0.50)", "says timeout")
    assert found[0].payload == {"run": "x"}


@pytest.mark.parametrize("days", [-1, 10_001, "9", 1.5, True])
def test_days_to_keep_that_clickhouse_cannot_reckon_with_are_refused(days: Any) -> None:
    with pytest.raises(RecordError, match=r"record.keep_days: .* from 1 to 10000"):
        RecordSettings(keep_days=days)

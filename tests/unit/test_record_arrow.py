"""Rows become Arrow columns, each value as it was, and lag becomes a sentence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runtime.record.clickhouse import arrow
from runtime.record.lag import Lag
from runtime.record.tables import Row, Table

KINDS = {
    "u8": st.integers(0, 255), "u64": st.integers(0, 2**64 - 1), "i64": st.integers(-9, 9),
    "f64": st.floats(allow_nan=False), "f64?": st.none() | st.floats(allow_nan=False),
    "text": st.text(max_size=5), "texts": st.lists(st.text(max_size=3), max_size=3),
    "time": st.floats(0, 4e9),
}  # fmt: skip
TABLE = Table("t", tuple((f"c_{n}", kind) for n, kind in enumerate(KINDS)))  # type: ignore[misc]
ROW = st.tuples(*KINDS.values())
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(st.lists(ROW, min_size=1, max_size=6), st.integers(1, 5))
def test_every_value_stands_in_its_column_as_it_was(rows: list[Row], times: int) -> None:
    rows = rows * times  # and columns that say one thing throughout
    found = [tuple(row.values()) for row in arrow(TABLE, rows).to_pylist()]
    assert [row[:-1] for row in found] == [row[:-1] for row in rows]
    expected = [EPOCH + timedelta(microseconds=round(row[-1] * 1_000_000)) for row in rows]
    assert [row[-1] for row in found] == expected


def _said(**more: Any) -> dict[str, Any]:
    sink = {
        "cursor": {"1": 9, "2": 4}, "ready": True, "behind_events": 0, "behind_s": 0.0,
        "events": 13, "batches": 2, "write_s": 0.1, "error": None, "down_since": None,
    }  # fmt: skip
    return {"pid": 1, "up_s": 2.0, "sinks": {"clickhouse": sink | more, "qdrant": {}}}


def test_how_the_record_is_becomes_a_sentence() -> None:
    assert Lag.of(_said()).sentence == "ClickHouse holds the whole journal"
    late = Lag.of(_said(behind_events=7, behind_s=1.25))
    assert (late.down, late.sentence) == (False, "ClickHouse is 7 events and 1.2 s behind")
    down = Lag.of(_said(behind_events=7, error="OSError: refused\nat x", down_since=0.0))
    assert down.down
    assert down.sentence == (
        "ClickHouse cannot be written since 1970-01-01 00:00:00 UTC: OSError: refused. 7 events "
        "wait in the journal; nothing is lost, and they are written from position 4 of writer 2 "
        "on once it answers"
    )


def test_a_journal_that_has_not_begun_is_no_fault() -> None:
    lag = Lag.of({"pid": 1, "up_s": 0.0, "sinks": {"clickhouse": {}, "qdrant": {}}})
    assert (lag.down, lag.sentence) == (False, "the journal has not begun")

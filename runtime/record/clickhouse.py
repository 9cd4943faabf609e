"""ClickHouse as a sink: rows of a batch go in once, whatever dies in between.

Every insert carries a token made of its batch's span, so a batch that is written again is
known again, in the tables and in what depends on them. ClickHouse notes a token before the
part it stands for is visible, so a kill in that instant could lose the part and keep the
token; `mend` therefore looks at what is there after a crash and adds what is not.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any, Final

from runtime.data.folder import DataFolder
from runtime.record import sums
from runtime.record.access import RecordSettings, Role, port, tokens
from runtime.record.derive import Lookup, derive
from runtime.record.follow import Batch, Span
from runtime.record.refill import refilled
from runtime.record.schema import Schema
from runtime.record.tables import TABLES, TRANSITION, Kind, Row, Rows, Table

_INSERT: Final = {
    "async_insert": 0,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_partitions_per_insert_block": 0,
}
_HANDS: Final = 3


def connect(folder: DataFolder, role: Role, settings: RecordSettings | None = None) -> Any:
    """Return a clickhouse-connect client for this folder's ClickHouse, embedded or not.

    It may be shared by threads. With a server the DSN's user decides what is allowed.
    """
    import clickhouse_connect
    from clickhouse_connect.driver.httputil import default_pool_manager

    settings = settings or RecordSettings.of(folder)
    if settings.clickhouse is not None:
        return clickhouse_connect.get_client(
            dsn=settings.clickhouse, autogenerate_session_id=False, tz_source="server"
        )
    # The pool is named so that no proxy of the environment comes between us and loopback.
    return clickhouse_connect.get_client(
        host="127.0.0.1", port=port(folder), username=role, password=tokens(folder)[role],
        autogenerate_session_id=False, compress=False, tz_source="server", connect_timeout=5,
        pool_mgr=default_pool_manager(),
    )  # fmt: skip


class ClickHouseSink:
    """Writes the rows of batches, exactly once each."""

    def __init__(self, client: Any, settings: RecordSettings | None = None) -> None:
        self._client, self._schema = client, Schema(client)
        self._settings = settings or RecordSettings()
        self._hands = ThreadPoolExecutor(_HANDS, thread_name_prefix="insert")

    def is_new(self) -> bool:
        """Whether a step of the schema was never finished: the first is noted at its end."""
        return not self._schema.begun()

    def prepare(self) -> None:
        """Bring the schema up to date, and with it what follows from the events before it."""
        self._schema.advance(self._fill)
        self._schema.keep(self._settings.keep_days, self._settings.keep_sums_days)

    def _fill(self, tables: Sequence[str]) -> None:
        summed = [name for name in tables if name in sums.TABLES]
        for name in summed:
            sums.again(self._client, name)
        derived = [name for name in tables if name not in summed]
        for name in derived:
            self._client.command(f"TRUNCATE TABLE {name}")
        for rows in refilled(self._client, derived) if derived else ():
            self._insert(rows, f"filled {uuid.uuid4()}")

    def holds(self, cursor: dict[int, int]) -> bool:
        """Whether there is one row an event, up to the cursor and no further.

        What attempts add up to is made again on the way, for the days where it does not.
        """
        days = self._settings.keep_days
        kept = "" if days is None else f" WHERE at > now() - toIntervalDay({days})"
        sql = f"SELECT writer, min(pos), max(pos), count() FROM event{kept} GROUP BY writer"  # noqa: S608
        there = {row[0]: row[1:] for row in self._client.query(sql).result_rows}
        sums.mend(self._client, days)
        return _whole(there, cursor, 1 if days is None else None)

    def clear(self) -> None:
        """Drop the tables, and with them the tokens of what was inserted."""
        for name in ("migration", *sums.VIEWS, *sums.TABLES):
            self._client.command(f"DROP TABLE IF EXISTS {name} SYNC")
        for table in TABLES:
            self._client.command(f"DROP TABLE IF EXISTS {table.name} SYNC")

    def write(self, batch: Batch, lookup: Lookup) -> None:
        """Insert the rows of a batch. Doing it again changes nothing."""
        self._insert(derive(batch.facts, lookup), str(batch.span))

    def mend(self, batch: Batch, lookup: Lookup) -> None:
        """Write a batch that may be there wholly, in part or not at all.

        Nobody else writes while the recorder has its lock, so what is missing after the
        batch was sent again is missing for good and may be added under a token of its own.
        """
        rows = derive(batch.facts, lookup)
        self._insert(rows, str(batch.span))
        missing = {t.name: self._missing(t, rows.get(t.name, []), batch.span) for t in TABLES}
        if any(missing.values()):
            # A token that was never used: that of an earlier mending may have lost its part too.
            self._insert(missing, f"{batch.span} mended {uuid.uuid4()}")
        sums.mend(self._client, self._settings.keep_days)

    def _insert(self, rows: Rows, token: str) -> None:
        """Insert into all tables side by side: each of them waits for the disk on its own."""
        due = [table for table in TABLES if rows.get(table.name)]
        sent = [self._hands.submit(self._send, table, rows[table.name], token) for table in due]
        wait(sent)  # all of them, so that nothing is under way any more when an error is told
        for one in sent:
            one.result()

    def _send(self, table: Table, rows: list[Row], token: str) -> None:
        settings = {**_INSERT, "insert_deduplication_token": f"{table.name} {token}"}
        self._client.insert_arrow(table.name, arrow(table, rows), settings=settings)

    def _missing(self, table: Table, rows: list[Row], span: Span) -> list[Row]:
        if not rows:
            return []
        key = ("pos", "ordinal") if table is TRANSITION else ("pos",)
        sql = (
            f"SELECT DISTINCT {', '.join(key)} FROM {table.name}"  # noqa: S608
            f" WHERE writer = {span.writer} AND pos BETWEEN {span.first} AND {span.last}"
        )
        there = {tuple(row) for row in self._client.query(sql).result_rows}
        places = [table.names.index(name) for name in key]
        return [row for row in rows if tuple(row[n] for n in places) not in there]

    def close(self) -> None:
        """Close the client, once nothing is under way."""
        self._hands.shutdown()
        self._client.close()


def _whole(
    there: dict[int, tuple[int, int, int]], cursor: dict[int, int], first: int | None
) -> bool:
    """Whether each writer's rows end at the cursor without a gap; None: old ones may be gone."""
    if first is not None and there.keys() != cursor.keys():
        return False
    return there.keys() <= cursor.keys() and all(
        high == cursor[writer] and rows == high - low + 1 and first in (None, low)
        for writer, (low, high, rows) in there.items()
    )


def arrow(table: Table, rows: list[Row]) -> Any:
    """Return the rows as an Arrow table with the table's column names, a column at a time."""
    import pyarrow as pa

    columns = zip(*rows, strict=True)
    made = [_column(kind, v) for (_, kind), v in zip(table.columns, columns, strict=True)]
    return pa.table(made, names=list(table.names))


def _column(kind: Kind, values: tuple[Any, ...]) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    n = len(values)
    if n > 1 and values[0] is values[-1] and values.count(values[0]) == n:
        # Half of the columns say one thing throughout a batch.
        return pa.repeat(_column(kind, values[:1])[0], n)
    if kind == "time":
        micros = pc.round(pc.multiply(pa.array(values, pa.float64()), 1e6))
        return micros.cast(pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    return pa.array(values, _types()[kind])


@cache
def _types() -> dict[Kind, Any]:
    import pyarrow as pa

    return {
        "u8": pa.uint8(), "u16": pa.uint16(), "u32": pa.uint32(), "u64": pa.uint64(),
        "i64": pa.int64(), "f64": pa.float64(), "f64?": pa.float64(), "text": pa.string(),
        "texts": pa.list_(pa.string()),
    }  # fmt: skip

"""The ``sql`` tool: a query in DuckDB, SQLite, PostgreSQL or ClickHouse; its rows are Arrow.

Values are bound, never pasted (`runtime.tools.binding`). Tables among the arguments, and the
batch of an ``each`` step under the name ``items``, can be selected from in DuckDB where they
lie; SQLite is bound the batch as JSON (``json_each($items)``). Their files are those of the
run (`runtime.tools.confined`). The servers have files of their own beside this one, which
are loaded when they are named.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, ClassVar, Final

from runtime.data import reference
from runtime.errors import Permanent, Transient
from runtime.tools.binding import bound, query_of, quoted, rows_of
from runtime.tools.confined import confine_duckdb, confine_sqlite, database, explained
from runtime.tools.port import Call, Outcome, encode_json

_BUSY: Final = ("Could not set lock", "database is locked", "Conflicting lock")
_WAIT_S: Final = 5.0
_SERVERS: Final = ("postgres", "clickhouse")


class SqlTool:
    """Runs SQL; the rows of the last statement are the result, or null when it has none."""

    kind: ClassVar[str] = "sql"

    def run(self, call: Call) -> Outcome:
        engine = call.text("engine", "duckdb")
        if engine == "duckdb":
            return Outcome(_duckdb(call))
        if engine == "sqlite":
            return Outcome(_sqlite(call))
        if engine in _SERVERS:
            return Outcome(import_module(f"runtime.tools.{engine}").run(call))
        known = ", ".join(("duckdb", "sqlite", *_SERVERS))
        raise Permanent(f"tool sql: `engine` is one of {known}, not {engine!r}")


# ---- DuckDB -----------------------------------------------------------------------------


def _duckdb(call: Call) -> Any:
    import duckdb

    query = _insert(call) if "into" in call.tool else query_of(call)
    try:
        with duckdb.connect(database(call)) as connection:
            statements = connection.extract_statements(query)
            confine_duckdb(connection, call, statements)
            if "into" in call.tool:
                return _into_duckdb(connection, call, query)
            _show_tables(connection, call)
            return _run_duckdb(connection, call, statements)
    except duckdb.PermissionException as error:
        raise explained(error) from error
    except duckdb.IOException as error:
        if any(word in str(error) for word in _BUSY):
            raise Transient(f"the database is in use: {error}") from error
        raise


def _insert(call: Call) -> str:
    return f"insert into {quoted(call.text('into'))} by name select * from trimtab_rows"  # noqa: S608


def _into_duckdb(connection: Any, call: Call, insert: str) -> dict[str, int]:
    rows = rows_of(call)
    connection.register("trimtab_rows", rows)
    connection.execute(insert)
    return {"rows": rows.num_rows}


def _show_tables(connection: Any, call: Call) -> None:
    """Let the query select from the batch and from tables among the arguments."""
    if call.task.items is not None:
        connection.register("items", call.table())
    for name, value in call.task.args.items():
        if reference.is_table(value):
            connection.register(name, call.args[name])


def _run_duckdb(connection: Any, call: Call, statements: Iterable[Any]) -> Any:
    result = None
    for statement in statements:
        values = bound(statement.named_parameters, call)
        answer = connection.sql(statement, params=values or None)
        rows = None if answer is None else answer.to_arrow_table()
        only_counts = rows is not None and rows.column_names == ["Count"] and _changes(statement)
        result = None if only_counts else rows
    return result


def _changes(statement: Any) -> bool:
    import duckdb

    return duckdb.ExpectedResultType.CHANGED_ROWS in statement.expected_result_type


# ---- SQLite -----------------------------------------------------------------------------


def _sqlite(call: Call) -> Any:
    query = "" if "into" in call.tool else query_of(call)
    connection = sqlite3.connect(database(call), timeout=_WAIT_S, isolation_level=None)
    try:
        confine_sqlite(connection, call)
        connection.execute("begin")
        value = _run_sqlite(connection, call, query) if query else _into_sqlite(connection, call)
        connection.execute("commit")
        return value
    except sqlite3.DatabaseError as error:
        if any(word in str(error) for word in _BUSY):
            raise Transient(f"the database is in use: {error}") from error
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_AUTH:
            raise explained(error) from error
        raise
    finally:
        connection.close()  # what was not committed is rolled back


def _run_sqlite(connection: sqlite3.Connection, call: Call, query: str) -> Any:
    names = _Names(call)
    result = None
    for statement in _statements(query):
        cursor = connection.execute(statement, names)
        result = _to_arrow(cursor) if cursor.description else None
    return result


def _into_sqlite(connection: sqlite3.Connection, call: Call) -> dict[str, int]:
    rows = rows_of(call)
    columns = ", ".join(quoted(name.replace(".", "_")) for name in rows.column_names)
    places = ", ".join("?" * rows.num_columns)
    connection.executemany(
        f"insert into {quoted(call.text('into'))} ({columns}) values ({places})",  # noqa: S608
        zip(*(column.to_pylist() for column in rows.columns), strict=True),
    )
    return {"rows": rows.num_rows}


class _Names(dict[str, Any]):
    """The values SQLite asks for by name, as it can hold them."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call

    def __missing__(self, name: str) -> Any:
        value = bound({name}, self._call)[name]
        self[name] = encode_json(value) if isinstance(value, (dict, list)) else value
        return self[name]


def _statements(query: str) -> Iterator[str]:
    """The query's statements, as SQLite itself tells where one ends."""
    start = 0
    for at, character in enumerate(query):
        if character == ";" and sqlite3.complete_statement(query[start : at + 1]):
            yield query[start : at + 1]
            start = at + 1
    if query[start:].strip():
        yield query[start:]


def _to_arrow(cursor: sqlite3.Cursor) -> Any:
    import pyarrow as pa

    names = [column[0] for column in cursor.description]
    columns: list[Any] = list(zip(*cursor.fetchall(), strict=True)) or [()] * len(names)
    arrays = [_column(list(values)) for values in columns]
    return pa.Table.from_arrays(arrays, names=names)


def _column(values: list[Any]) -> Any:
    """One column; numbers of both kinds become floats, and other mixtures text."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    if len(kinds) > 1:
        return pa.array([None if v is None else str(v) for v in values], pa.string())
    return pa.array(values)

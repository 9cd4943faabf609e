"""The ``sql`` tool: a query in DuckDB or SQLite; its rows are an Arrow table.

Values are bound, never pasted: ``$name`` in a query is an argument of the step (``with``)
or an input of the playbook. Tables among the arguments, and the batch of an ``each`` step
under the name ``items``, can be selected from in DuckDB where they lie; SQLite is bound
the batch as JSON (``json_each($items)``). Files are those of the run
(`runtime.tools.confined`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Final

from runtime.data import reference
from runtime.errors import Permanent, Transient
from runtime.tools.confined import confine_duckdb, confine_sqlite, database, explained
from runtime.tools.port import Call, Outcome, encode_json

_BUSY: Final = ("Could not set lock", "database is locked", "Conflicting lock")
_WAIT_S: Final = 5.0


class SqlTool:
    """Runs SQL; the rows of the last statement are the result, or null when it has none."""

    kind: ClassVar[str] = "sql"

    def run(self, call: Call) -> Outcome:
        engine, query = call.text("engine", "duckdb"), _query(call)
        if engine == "duckdb":
            return Outcome(_duckdb(call, query))
        if engine == "sqlite":
            return Outcome(_sqlite(call, query))
        raise Permanent(f"tool sql: `engine` is duckdb or sqlite, not {engine!r}")


def _query(call: Call) -> str:
    if ("query" in call.tool) == ("file" in call.tool):
        raise Permanent("a sql tool has either `query` or `file`")
    if "query" in call.tool:
        return call.text("query")
    path = Path(call.task.bundle, call.text("file"))
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise Permanent(f"`file` cannot be read: {error}") from error


_OFFERS: Final[dict[str, Callable[[Call], Any]]] = {
    "items": lambda call: call.items(),
    "batch": lambda call: call.batch and asdict(call.batch),
    "key": lambda call: call.task.key,
    "run_folder": lambda call: str(call.run_folder),
}
"""What ``$name`` may be beside arguments and inputs, as in a python tool."""


def _bound(names: Iterable[str], call: Call) -> dict[str, Any]:
    """The values of these names. Arguments stand before inputs, inputs before the rest."""
    known = {**call.task.workload, **call.task.args}
    offers = {name: offer for name, offer in _OFFERS.items() if _is_there(name, call)}
    lacking = sorted(name for name in names if name not in known and name not in offers)
    if lacking:
        raise Permanent(
            f"the query needs {', '.join(f'${n}' for n in lacking)}: known are "
            f"{', '.join([*known, *offers])}, from `with`, the workload and the run"
        )
    return {n: call.open(known[n]) if n in known else offers[n](call) for n in names}


def _is_there(name: str, call: Call) -> bool:
    return call.task.items is not None or name not in ("items", "batch")


# ---- DuckDB -----------------------------------------------------------------------------


def _duckdb(call: Call, query: str) -> Any:
    import duckdb

    try:
        with duckdb.connect(database(call)) as connection:
            statements = connection.extract_statements(query)
            confine_duckdb(connection, call, statements)
            _show_tables(connection, call)
            return _run_duckdb(connection, call, statements)
    except duckdb.PermissionException as error:
        raise explained(error) from error
    except duckdb.IOException as error:
        if any(word in str(error) for word in _BUSY):
            raise Transient(f"the database is in use: {error}") from error
        raise


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
        values = _bound(statement.named_parameters, call)
        answer = connection.sql(statement, params=values or None)
        rows = None if answer is None else answer.to_arrow_table()
        only_counts = rows is not None and rows.column_names == ["Count"] and _changes(statement)
        result = None if only_counts else rows
    return result


def _changes(statement: Any) -> bool:
    import duckdb

    return duckdb.ExpectedResultType.CHANGED_ROWS in statement.expected_result_type


# ---- SQLite -----------------------------------------------------------------------------


def _sqlite(call: Call, query: str) -> Any:
    connection = sqlite3.connect(database(call), timeout=_WAIT_S, isolation_level=None)
    try:
        confine_sqlite(connection, call)
        connection.execute("begin")
        table = _run_sqlite(connection, call, query)
        connection.execute("commit")
        return table
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


class _Names(dict[str, Any]):
    """The values SQLite asks for by name, as it can hold them."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call

    def __missing__(self, name: str) -> Any:
        value = _bound({name}, self._call)[name]
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

"""The sql tool's engine ``postgres``: ADBC, so that rows come and go as Arrow, over COPY.

A script is one transaction. Tables that it names (the batch as ``items``, tables among the
arguments) are loaded into temporary tables of those names first; ``into`` loads rows into a
table of the database. A cancelled attempt cancels its statement on the server; a worker
that just dies is noticed there too, where the server can look (PostgreSQL 14 and newer).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final
from urllib.parse import SplitResult

from runtime.errors import (
    DataError,
    Permanent,
    ResourceExhausted,
    Throttled,
    TimedOut,
    ToolError,
    Transient,
)
from runtime.tools.binding import bound, query_of, quoted, rows_of, server_of, tables
from runtime.tools.elsewhere import cancelling
from runtime.tools.port import Call, encode_json
from runtime.tools.statements import Statement, statements

_CONNECT_S: Final = 10
_SETTINGS: Final = """
select set_config(name, value, false) from (values
    ('application_name', $1), ('statement_timeout', $2), ('client_connection_check_interval', $3)
) as wanted (name, value) join pg_settings using (name)
"""
_BY_STATE: Final[tuple[tuple[str, type[ToolError]], ...]] = (
    ("57014", TimedOut), ("53300", Throttled), ("53", ResourceExhausted),
    ("08", Transient), ("40", Transient), ("55P03", Transient), ("57", Transient),
    ("58", Transient), ("25006", Transient), ("22", DataError), ("23", DataError),
)  # fmt: skip
"""SQLSTATEs by how they begin; the first that fits counts, and all others are permanent."""
_BY_WORDS: Final[tuple[tuple[str, type[ToolError]], ...]] = (
    ("too many clients", Throttled), ("remaining connection slots", Throttled),
    ("is starting up", Transient), ("shutting down", Transient), ("in recovery mode", Transient),
    ("FATAL:", Permanent),
)  # fmt: skip
"""What libpq says when it cannot connect, which has no SQLSTATE; all else is transient."""


def run(call: Call) -> Any:
    """The rows of the last statement as a table, or null when it has none."""
    dbapi = _driver()
    try:
        with (
            closing(_connected(dbapi, call)) as connection,
            closing(connection.cursor()) as cursor,
            cancelling(cursor.adbc_cancel),
        ):
            value = _into(cursor, call) if "into" in call.tool else _script(cursor, call)
            connection.commit()
            return value
    except dbapi.Error as error:
        raise mapped(error, dbapi) from error


def _driver() -> Any:
    try:
        from adbc_driver_postgresql import dbapi
    except ModuleNotFoundError as error:
        raise Permanent(
            "engine postgres needs a driver where the workers run: pip install 'trimtab[postgres]'"
        ) from error
    return dbapi


def _connected(dbapi: Any, call: Call) -> Any:
    address = server_of(call, "postgresql", "postgres")
    connection = dbapi.connect(_patient(address))
    limit = call.task.timeout_s
    name = f"trimtab {call.task.run}/{call.task.step}"
    with closing(connection.cursor()) as cursor:
        cursor.execute(_SETTINGS, (name[:63], str(int((limit or 0) * 1000)), "1s"))
        cursor.fetch_arrow_table()
    connection.commit()
    return connection


def _patient(address: SplitResult) -> str:
    """The address, with a limit to how long connecting may take unless it has one."""
    if "connect_timeout=" in address.query:
        return address.geturl()
    query = "&".join(filter(None, [address.query, f"connect_timeout={_CONNECT_S}"]))
    return address._replace(query=query).geturl()


# ---- rows in and out --------------------------------------------------------------------


def _script(cursor: Any, call: Call) -> Any:
    script = statements(query_of(call))
    words = {word for statement in script for word in statement.words}
    for name, table in tables(call, sorted(words)).items():
        cursor.adbc_ingest(name, table, mode="create", temporary=True)
    result = None
    for statement in script:
        result = _rows(cursor, statement, call)
    return result


def _rows(cursor: Any, statement: Statement, call: Call) -> Any:
    values = bound(statement.names, call)
    numbers = {name: f"${number}" for number, name in enumerate(values, start=1)}
    text = statement.placed(numbers.__getitem__)
    cursor.execute(text, tuple(map(_sayable, values.values())) or None)
    table = cursor.fetch_arrow_table()
    return plain(table) if table.num_columns else None


def _sayable(value: Any) -> Any:
    """A value as a parameter: lists of plain values are arrays, the rest of JSON is text."""
    if isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(part, (dict, list)) for part in value)
    ):
        return encode_json(value)
    return value


def _into(cursor: Any, call: Call) -> dict[str, int]:
    """Load rows into a table: by COPY into a temporary one, whose types its columns then take."""
    rows, target = rows_of(call), call.text("into")
    cursor.adbc_ingest("trimtab_rows", rows, mode="create", temporary=True)
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in rows.column_names)
    cursor.execute(
        f"insert into {quoted(target)} ({columns}) select {columns} from trimtab_rows"  # noqa: S608
    )
    return {"rows": rows.num_rows}


def plain(table: Any) -> Any:
    """A table of types that every tool knows: numeric is decimal, uuid and JSON are text."""
    import pyarrow as pa

    fields, columns = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        column = _plain(column)
        fields.append(pa.field(field.name, column.type))
        columns.append(column)
    return pa.table(columns, schema=pa.schema(fields))


def _plain(column: Any) -> Any:
    import pyarrow as pa

    if not isinstance(column.type, pa.BaseExtensionType):
        return column
    if isinstance(column.type, pa.UuidType):
        return pa.chunked_array([pa.array(map(_text, column.to_pylist()), pa.string())])
    stored = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    is_numeric = getattr(column.type, "type_name", "") == "numeric"
    return _decimal(stored) if is_numeric else stored


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _decimal(texts: Any) -> Any:
    """Numbers written out, as decimals; texts still when they fit none (NaN, too many digits)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    split = pc.list_slice(pc.split_pattern(texts, "."), 1, 2, return_fixed_size_list=False)
    scale = pc.max(pc.utf8_length(pc.list_flatten(split))).as_py() or 0
    try:
        return texts.cast(pa.decimal128(38, scale))
    except (pa.ArrowInvalid, ValueError):
        return texts


# ---- errors -----------------------------------------------------------------------------


def mapped(error: Exception, dbapi: Any) -> ToolError:
    """The error as a class of ours. Its ``names`` are its SQLSTATE and the class of that."""
    state = getattr(error, "sqlstate", None) or ""
    message = str(error).strip()
    found = next(_classes(error, state, message, dbapi))(message)
    found.names = (state, state[:2]) if state else ()
    return found


def _classes(error: Exception, state: str, message: str, dbapi: Any) -> Iterator[type[ToolError]]:
    if state:
        yield from (cls for start, cls in _BY_STATE if state.startswith(start))
    elif isinstance(error, dbapi.OperationalError):
        yield from (cls for words, cls in _BY_WORDS if words in message)
        yield Transient
    yield Permanent

"""The sql tool's engine ``clickhouse``: rows come and go as Arrow, over HTTP.

Values are bound by the server (``{name:Type}``), their types taken from the values. Each
statement of a script runs by itself: ClickHouse has no transactions. ``into`` inserts rows
with the attempt's key as deduplication token, so that a second try adds none twice where the
table keeps tokens. A cancelled attempt kills its query on the server by its id; reads of a
worker that just dies end with its connection, which clickhouse-connect asks servers for.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote
from uuid import uuid4

from runtime.errors import (
    DataError,
    Permanent,
    ResourceExhausted,
    Throttled,
    TimedOut,
    ToolError,
    Transient,
)
from runtime.tools.binding import bound, query_of, rows_of, server_of
from runtime.tools.elsewhere import cancelling
from runtime.tools.port import Call, encode_json
from runtime.tools.statements import Statement, statements

_SCHEMES: Final = ("clickhouse", "clickhouses", "http", "https")
_GIVE_ROWS: Final = frozenset({"select", "with", "show", "describe", "desc", "exists", "explain"})
_CODE: Final = re.compile(r"[Cc]ode:?\s+(\d+)")
_CONNECT_S: Final = 10
_ANSWER_S: Final = 300
_KEPT: Final = 4
_BY_CODE: Final[dict[type[ToolError], frozenset[int]]] = {
    TimedOut: frozenset({159, 160, 209}),
    Throttled: frozenset({202, 252, 201}),
    ResourceExhausted: frozenset({173, 241, 243, 307}),
    Transient: frozenset({3, 32, 95, 164, 198, 203, 210, 225, 236, 242, 279, 285, 319, 341,
                          394, 425, 999}),
    DataError: frozenset({6, 26, 27, 33, 38, 41, 53, 69, 70, 72, 117, 125, 131, 153, 190, 349,
                          407, 469, 691}),
}  # fmt: skip
"""ClickHouse's codes of errors by class; all others are permanent."""
_CLIENTS: Final[OrderedDict[str, Any]] = OrderedDict()
"""Clients of this process by address: their connections serve many attempts."""


def run(call: Call) -> Any:
    """The rows of the last statement as a table, or null when it has none."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        client = _client(server_of(call, *_SCHEMES))
        if "into" in call.tool:
            return _into(client, call)
        result = None
        for statement in statements(query_of(call), backslashes=True):
            result = _rows(client, statement, call)
        return result
    except ClickHouseError as error:
        raise mapped(error) from error


def _rows(client: Any, statement: Statement, call: Call) -> Any:
    values = {name: _sayable(value) for name, value in bound(statement.names, call).items()}
    text = statement.placed(lambda name: f"{{{name}:{type_of(values[name])}}}")
    ask = client.query_arrow if statement.verb in _GIVE_ROWS else client.command
    with _killable(client) as query:
        found = ask(text, parameters=values or None, settings=_settings(call, query))
    return found if statement.verb in _GIVE_ROWS else None


def _into(client: Any, call: Call) -> dict[str, int]:
    rows = rows_of(call)
    database, _, table = call.text("into").rpartition(".")
    once = {"insert_deduplication_token": call.task.key, "async_insert": 0}
    with _killable(client) as query:
        settings = _settings(call, query) | once
        client.insert_arrow(table, rows, database or None, settings=settings)
    return {"rows": rows.num_rows}


def _settings(call: Call, query: str) -> dict[str, Any]:
    limit = call.task.timeout_s
    found = {"query_id": query, "output_format_arrow_low_cardinality_as_dictionary": 0}
    return found | ({"max_execution_time": math.ceil(limit)} if limit else {})


@contextmanager
def _killable(client: Any) -> Iterator[str]:
    """An id for a query, by which it is killed when the attempt is ended while it runs."""
    query = str(uuid4())
    with cancelling(lambda: _kill(client, query)):
        yield query


def _kill(client: Any, query: str) -> None:
    client.command(
        "kill query where query_id = {id:String} async", parameters={"id": query}, settings={}
    )


# ---- values -----------------------------------------------------------------------------


def _sayable(value: Any) -> Any:
    """A value as a parameter: lists of one type are arrays, the rest of JSON is text."""
    if isinstance(value, dict):
        return encode_json(value)
    if isinstance(value, list) and (not value or len({type(part) for part in value}) > 1):
        return encode_json(value)
    return encode_json(value) if isinstance(value, list) and _nests(value) else value


def _nests(value: list[Any]) -> bool:
    return any(isinstance(part, (dict, list)) or part is None for part in value)


def type_of(value: Any) -> str:
    """ClickHouse's type for a bound value."""
    if value is None:
        return "Nullable(String)"
    if isinstance(value, bool):
        return "Bool"
    if isinstance(value, int):
        return "Int64" if -(2**63) <= value < 2**63 else "UInt64" if value < 2**64 else "Int256"
    if isinstance(value, float):
        return "Float64"
    if isinstance(value, list):
        return f"Array({type_of(value[0])})"
    return "String"


# ---- the server -------------------------------------------------------------------------


def _client(address: SplitResult) -> Any:
    """A client of this server; one that was used before is used again."""
    name = address.geturl()
    if name not in _CLIENTS:
        _CLIENTS[name] = _connected(address)
        while len(_CLIENTS) > _KEPT:
            _CLIENTS.popitem(last=False)[1].close()
    _CLIENTS.move_to_end(name)
    return _CLIENTS[name]


def _connected(address: SplitResult) -> Any:
    import clickhouse_connect
    from clickhouse_connect.driver.httputil import default_pool_manager

    secure = address.scheme in ("clickhouses", "https") or _asks_for_tls(address)
    # The pool is named so that no proxy of the environment comes between us and the server.
    return clickhouse_connect.get_client(
        host=address.hostname, port=address.port or (8443 if secure else 8123),
        username=unquote(address.username or "default"), password=unquote(address.password or ""),
        database=unquote(address.path.strip("/")) or None, interface="https" if secure else "http",
        autogenerate_session_id=False, connect_timeout=_CONNECT_S, send_receive_timeout=_ANSWER_S,
        query_retries=0, pool_mgr=default_pool_manager(),
    )  # fmt: skip


def _asks_for_tls(address: SplitResult) -> bool:
    return dict(parse_qsl(address.query)).get("secure", "").lower() in ("1", "true")


def mapped(error: Exception) -> ToolError:
    """The error as a class of ours; ``names`` is ClickHouse's code."""
    from clickhouse_connect.driver.exceptions import OperationalError

    message = str(error).strip()
    code = _CODE.search(message)
    if code is None:
        timed_out = "timed out" in message.lower()
        lost = isinstance(error, OperationalError)
        return TimedOut(message) if timed_out else (Transient if lost else Permanent)(message)
    number = int(code[1])
    cls = next((cls for cls, codes in _BY_CODE.items() if number in codes), Permanent)
    found = cls(message)
    found.names = (str(number),)
    return found

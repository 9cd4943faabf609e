"""ClickHouse's HTTP interface in front of the embedded engine, on loopback.

Any ClickHouse client can speak to it: SQL in the body or in ``query``, parameters as
``param_*``, other URL parameters as settings, inserts as a statement with its bytes after
it, errors with ClickHouse's own code and text. The engine runs arbitrary SQL with the
process's rights (``file()`` included), so every request needs a token: the writer's may
run anything, the reader's only statements that ship with us.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import sys
import time
import uuid
import zlib
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.parser import BytesParser
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from runtime.record.access import Role
from runtime.record.statements import fingerprint

Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]

_TRANSPORT: Final = frozenset({
    "query", "database", "default_format", "session_id", "session_timeout", "session_check",
    "query_id", "compress", "decompress", "user", "password", "role", "quota_key", "buffer_size",
    "wait_end_of_query", "client_protocol_version", "send_progress_in_http_headers",
    "http_headers_progress_interval_ms", "enable_http_compression",
    "http_zlib_compression_level", "cancel_http_readonly_queries_on_client_close",
    "client_can_reconnect",
})  # fmt: skip
_HANDSHAKE: Final = frozenset(
    fingerprint(text)
    for text in (
        "SELECT version(), timezone()",
        "SELECT name, value, readonly FROM system.settings LIMIT 10000",
        "SELECT 1 AS check",
    )
)
"""What clickhouse-connect asks when it connects."""
_READER_SETTINGS: Final = ("output_format_", "date_time_", "cast_string_to_", "max_execution_time")
_INSERT: Final = re.compile(
    r"^\s*(?:/\*.*?\*/\s*|--[^\n]*\n\s*)*INSERT\b", re.IGNORECASE | re.DOTALL
)
_INSERT_HEAD: Final = re.compile(
    rb"^(\s*INSERT\b.{0,65536}?\bFORMAT\s+\w+)[ \t]*\r?\n", re.IGNORECASE | re.DOTALL
)
_FORMAT: Final = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_CODE: Final = re.compile(r"Code:\s*(\d+)")
_NAME: Final = re.compile(r"^[A-Za-z_]\w*$")
_STATUS: Final = {
    36: 400, 41: 400, 43: 400, 47: 404, 53: 400, 60: 404, 62: 400, 81: 404, 457: 400, 497: 403,
    516: 401,
}  # fmt: skip
_ACCESS_DENIED: Final = "Code: 497. DB::Exception: {}. (ACCESS_DENIED)"
_NO_TOKEN: Final = "Code: 516. DB::Exception: the password must be one of the data folder's tokens. (AUTHENTICATION_FAILED)"  # noqa: E501, S105
BODY_LIMIT: Final = 512 << 20


class Refused(Exception):
    """The request is not allowed; the text is what ClickHouse would say."""


@dataclass(slots=True)
class Request:
    """One statement as it came in."""

    sql: str
    data: bytes = b""
    database: str = ""
    default_format: str = "TabSeparated"
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def format(self) -> str:
        """The format that the statement asks for."""
        found = _FORMAT.search(self.sql)
        return found.group(1) if found else self.default_format


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine said."""

    body: bytes
    format: str
    summary: dict[str, str]


class Engine:
    """The embedded ClickHouse of one folder. Nobody else may have it open."""

    def __init__(self, path: Path, memory_bytes: int, threads: int = 8) -> None:
        # chdb is 500 MB of native code: only the recorder loads it, and only here.
        from chdb.state.sqlitelike import Connection

        options = f"max_server_memory_usage={memory_bytes}&mark_cache_size={64 << 20}"
        self._url = f"{path}?{options}&uncompressed_cache_size=0"
        self._connect: Callable[[str], Any] = Connection
        self._root = self._connect(self._url)
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="clickhouse")
        self.timezone = str(self._root.query("select timezone()", "TabSeparatedRaw")).strip()

    def run(self, request: Request) -> Answer:
        """Run one statement on a connection of its own; its settings end with it."""
        begun = time.perf_counter()
        connection = self._connect(self._url)
        try:
            if request.database:
                connection.query(f"USE {_identifier(request.database)}")
            for name, value in request.settings.items():
                connection.query(f"SET {name} = {_literal(value)}")
            if request.data:
                return _insert(connection, request, begun)
            result = connection.query(
                request.sql, request.format, params=request.parameters or None
            )
            body = result.bytes() if len(result) else b""
            return Answer(body, request.format, _summary(result, len(body), begun))
        finally:
            connection.close()

    def close(self) -> None:
        """Wait for what runs, then close the folder."""
        self.pool.shutdown()
        self._root.close()


def _insert(connection: Any, request: Request, begun: float) -> Answer:
    sql = _FORMAT.sub("", request.sql)
    stream = connection.send_insert(sql, request.format)
    try:
        stream.append(request.data)
        done = stream.finish()
    except BaseException:
        stream.cancel()
        raise
    written = {"written_rows": str(done.rows_written), "written_bytes": str(done.bytes_written)}
    return Answer(b"", request.format, _elapsed(begun) | written)


def _elapsed(begun: float) -> dict[str, str]:
    spent = int((time.perf_counter() - begun) * 1e9)
    zeros = ("read_rows", "read_bytes", "written_rows", "written_bytes", "total_rows_to_read",
             "result_rows", "result_bytes")  # fmt: skip
    return dict.fromkeys(zeros, "0") | {"elapsed_ns": str(spent)}


def _summary(result: Any, size: int, begun: float) -> dict[str, str]:
    return _elapsed(begun) | {
        "read_rows": str(result.rows_read()),
        "read_bytes": str(result.bytes_read()),
        "result_bytes": str(size),
    }


def _identifier(name: str) -> str:
    return "`" + name.replace("`", "") + "`"


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def decompress(data: bytes, encoding: str) -> bytes:
    """Return the plain bytes of a request body.

    A client may compress each block as a frame of its own, so every frame is decoded: the
    first one alone would lose rows without an error.
    """
    if encoding == "gzip":
        return gzip.decompress(data)
    if encoding == "deflate":
        return zlib.decompress(data)
    parts = []
    while data:
        frame = _decompressor(encoding)
        parts.append(frame.decompress(data))
        if not frame.eof:
            raise Refused(
                f"Code: 3. DB::Exception: the {encoding} body ends early. (UNEXPECTED_END_OF_FILE)"
            )
        data = frame.unused_data or b""
    return b"".join(parts)


def _decompressor(encoding: str) -> Any:
    if encoding == "lz4":
        import lz4.frame

        return lz4.frame.LZ4FrameDecompressor()
    if encoding == "zstd":
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd

        return zstd.ZstdDecompressor()
    raise Refused(
        f"Code: 34. DB::Exception: content encoding {encoding}. (UNKNOWN_COMPRESSION_METHOD)"
    )


def read(params: dict[str, str], data: bytes) -> Request:
    """Return the request that URL parameters and a plain body make."""
    sql = params.get("query", "")
    if data and not sql:
        head = _INSERT_HEAD.match(data)
        if head:
            sql, data = head.group(1).decode(), data[head.end() :]
    if data and not (sql and _INSERT.match(sql)):
        sql, data = (sql + "\n" if sql else "") + data.decode(), b""
    chosen = {k: v for k, v in params.items() if k not in _TRANSPORT and _NAME.match(k)}
    return Request(
        sql, data, params.get("database", ""), params.get("default_format", "TabSeparated"),
        {k.removeprefix("param_"): v for k, v in chosen.items() if k.startswith("param_")},
        {k: v for k, v in chosen.items() if not k.startswith("param_")},
    )  # fmt: skip


def check(request: Request, role: Role, statements: frozenset[str]) -> None:
    """Let the writer do anything and the reader ask what ships with us.

    Raises:
        Refused: a reader asked something else, or with a setting of its own.
    """
    if role == "write":
        return
    if request.data or fingerprint(request.sql) not in statements | _HANDSHAKE:
        raise Refused(
            _ACCESS_DENIED.format("readers may run only the statements that ship with Trimtab")
        )
    strange = [k for k in request.settings if not k.startswith(_READER_SETTINGS)]
    if strange:
        raise Refused(_ACCESS_DENIED.format(f"readers may not set {', '.join(sorted(strange))}"))


class Endpoint:
    """The ASGI application that answers ClickHouse's protocol."""

    def __init__(self, engine: Engine, statements: frozenset[str]) -> None:
        self._engine, self._statements = engine, statements

    async def __call__(
        self, scope: dict[str, Any], body: bytes, role: Role | None, send: Send
    ) -> None:
        """Answer one request whose body is read and whose token is known."""
        headers = {k.decode().lower(): v.decode() for k, v in scope["headers"]}
        params = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        said = {
            "x-clickhouse-query-id": params.get("query_id") or str(uuid.uuid4()),
            "x-clickhouse-timezone": self._engine.timezone,
            "x-clickhouse-server-display-name": "trimtab recorder",
        }
        try:
            answer = await self._answer(headers, params, body, role)
        except Exception as error:
            # Whatever the engine raises is the client's to see, as ClickHouse would say it.
            await _fail(send, str(error), said)
            return
        said |= {
            "x-clickhouse-format": answer.format,
            "x-clickhouse-summary": json.dumps(answer.summary),
            "content-type": "application/octet-stream",
        }
        await reply(send, 200, answer.body, said)

    async def _answer(
        self, headers: Mapping[str, str], params: dict[str, str], body: bytes, role: Role | None
    ) -> Answer:
        if role is None:
            raise Refused(_NO_TOKEN)
        if encoding := headers.get("content-encoding"):
            body = decompress(body, encoding)
        body = _unfold(headers.get("content-type", ""), params, body)
        params.setdefault("database", headers.get("x-clickhouse-database", ""))
        request = read(params, body)
        check(request, role, self._statements)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._engine.pool, self._engine.run, request)


def _unfold(content_type: str, params: dict[str, str], body: bytes) -> bytes:
    """Move the fields of a form into the parameters; return the body that is left."""
    if content_type.startswith("multipart/form-data"):
        message = BytesParser().parsebytes(
            b"content-type: " + content_type.encode() + b"\r\n\r\n" + body
        )
        for part in message.get_payload():
            name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
            params[str(name)] = part.get_payload(decode=True).decode()  # type: ignore[union-attr]
        return b""
    if content_type.startswith("application/x-www-form-urlencoded") and "query" not in params:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
        if "query" in fields:
            params.update(fields)
            return b""
    return body


async def _fail(send: Send, text: str, headers: dict[str, str]) -> None:
    begin = text.find("Code: ")
    text = text[begin:] if begin >= 0 else text
    found = _CODE.search(text)
    code = int(found.group(1)) if found else 1002
    told = {"x-clickhouse-exception-code": str(code), "content-type": "text/plain; charset=UTF-8"}
    await reply(send, _STATUS.get(code, 500), text.encode(), headers | told)


async def reply(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    """Send one whole HTTP answer."""
    lines = [(k.encode(), v.encode()) for k, v in headers.items()]
    lines.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})

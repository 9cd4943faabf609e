"""ClickHouse's HTTP interface in front of the embedded engine, on loopback.

Any ClickHouse client can speak to it: SQL in the body or in ``query``, parameters as
``param_*``, other URL parameters as settings, inserts as a statement with its bytes after
it, errors with ClickHouse's own code and text. Every request needs a token: the writer's may
run any statement that keeps within the engine's tables, the reader's only those that ship
with us. ``KILL QUERY WHERE query_id = '…'`` ends one that runs, and so does hanging up.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Awaitable, Callable, Generator, Mapping
from concurrent import futures
from concurrent.futures import Future
from email.parser import BytesParser
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

from runtime.record.access import ROLES, Role
from runtime.record.embedded import Answer, Engine, Request
from runtime.record.frames import decompress
from runtime.record.reach import reached
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
_KILL: Final = re.compile(
    r"^\s*KILL\s+QUERY\s+WHERE\s+query_id\s*=\s*'(?P<id>[\w.:-]{1,128})'"
    r"(?:\s+(?:A?SYNC))?(?:\s+FORMAT\s+\w+)?\s*;?\s*$",
    re.IGNORECASE,
)
_CODE: Final = re.compile(r"Code:\s*(\d+)")
_NAME: Final = re.compile(r"^[A-Za-z_]\w*$")
_STATUS: Final = {
    36: 400, 41: 400, 43: 400, 47: 404, 53: 400, 60: 404, 62: 400, 81: 404, 457: 400, 497: 403,
    516: 401,
}  # fmt: skip
_ACCESS_DENIED: Final = "Code: 497. DB::Exception: {}. (ACCESS_DENIED)"
_NO_TOKEN: Final = "Code: 516. DB::Exception: the password must be one of the data folder's tokens. (AUTHENTICATION_FAILED)"  # noqa: E501, S105
_TWICE: Final = "Code: 216. DB::Exception: Query with id = {} is already running. (QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING)"  # noqa: E501
_TOO_MANY: Final = "Code: 202. DB::Exception: Too many simultaneous queries. Maximum: {}. (TOO_MANY_SIMULTANEOUS_QUERIES)"  # noqa: E501
_CANCELLED: Final = "Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)"
_AT_ONCE: Final = 64
_PAUSES_S: Final = (0.02, 0.1, 0.5, 2.0)
BODY_LIMIT: Final = 512 << 20


class Refused(Exception):
    """The request is not allowed; the text is what ClickHouse would say."""


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


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
        params.get("query_id", ""),
    )  # fmt: skip


def check(request: Request, role: Role, statements: frozenset[str]) -> None:
    """Let the writer do anything and the reader ask what ships with us.

    Nobody reaches files, addresses or other databases through the engine.

    Raises:
        Refused: a reader asked something else, or with a setting of its own; or the
            statement names something outside the engine's own tables.
    """
    if outside := reached(request.sql):
        raise Refused(_ACCESS_DENIED.format(f"{outside} reaches outside the record's tables"))
    if role == "write" or _KILL.match(request.sql):
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
        self._running: dict[str, Future[Answer]] = {}

    async def __call__(
        self, scope: dict[str, Any], body: bytes, role: Role | None, receive: Receive, send: Send
    ) -> None:
        """Answer one request whose body is read and whose token is known."""
        headers = {k.decode().lower(): v.decode("latin-1") for k, v in scope["headers"]}
        params = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        params["query_id"] = params.get("query_id") or str(uuid.uuid4())
        said = {
            "x-clickhouse-query-id": params["query_id"],
            "x-clickhouse-timezone": self._engine.timezone,
            "x-clickhouse-server-display-name": "trimtab recorder",
        }
        gone = asyncio.ensure_future(_gone(receive))
        try:
            # In a thread: a large body takes its time to unfold, and others must be answered.
            request = await asyncio.to_thread(
                self._request, headers, params, body, role, scope.get("method", "POST")
            )
            answer = await self._answer(request, gone)
            said |= {
                "x-clickhouse-format": answer.format,
                "x-clickhouse-summary": json.dumps(answer.summary),
                "content-type": "application/octet-stream",
            }
        except ClientGone:
            return
        except Exception as error:
            # Whatever the engine raises is the client's to see, as ClickHouse would say it.
            await _fail(send, str(error), said)
            return
        finally:
            gone.cancel()
        if answer.rest is None:
            await reply(send, 200, answer.body, said)
        else:
            await self._stream(answer, answer.rest, receive, send, said)

    def _request(
        self, headers: Mapping[str, str], params: dict[str, str], body: bytes,
        role: Role | None, method: str,
    ) -> Request:  # fmt: skip
        if role is None:
            raise Refused(_NO_TOKEN)
        if encoding := headers.get("content-encoding"):
            body = decompress(body, encoding, BODY_LIMIT)
        body = _unfold(headers.get("content-type", ""), params, body)
        params.setdefault("database", headers.get("x-clickhouse-database", ""))
        request = read(params, body)
        request.role, request.changes = role, role == "write" and method != "GET"
        check(request, role, self._statements)
        return request

    async def _answer(self, request: Request, gone: asyncio.Future[None]) -> Answer:
        """Run a statement; a client that goes away ends what it asked."""
        if killed := _KILL.match(request.sql):
            return await self._kill(request.role, killed["id"])
        if request.name in self._running:
            raise Refused(_TWICE.format(request.query_id))
        if len(self._running) >= _AT_ONCE:
            raise Refused(_TOO_MANY.format(_AT_ONCE))
        work = self._running[request.name] = self._engine.pool.submit(self._engine.run, request)
        try:
            done = asyncio.wrap_future(work)
            done.add_done_callback(_seen)
            either: set[asyncio.Future[Any]] = {done, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not done.done() and not request.changes:
                await self._end(request.name)
                raise ClientGone(request.name)
            return await done
        except asyncio.CancelledError:
            if not work.cancelled():
                raise
            raise Refused(_CANCELLED) from None
        finally:
            del self._running[request.name]

    async def _end(self, name: str) -> None:
        """End a statement, begun or not, and wait a little until it has ended."""
        work = self._running.get(name)
        if work is None or work.cancel():  # one that waits for a thread never begins
            return
        loop = asyncio.get_running_loop()
        for pause_s in _PAUSES_S:
            # One that has only just begun is not on the engine's list yet.
            await loop.run_in_executor(self._engine.killers, self._engine.kill, name)
            await asyncio.to_thread(futures.wait, [work], pause_s)
            if work.done():
                return

    async def _kill(self, role: Role, query_id: str) -> Answer:
        """End what runs under a name. A reader ends what readers asked, the writer all."""
        for owner in ROLES if role == "write" else (role,):
            await self._end(f"{owner} {query_id}")
        return Answer(b"", "TabSeparated", {})

    async def _stream(
        self, answer: Answer, rest: Generator[bytes], receive: Receive, send: Send,
        said: Mapping[str, str],
    ) -> None:  # fmt: skip
        """Send an answer in pieces, each asked of the engine once the last one has left."""
        loop, piece = asyncio.get_running_loop(), answer.body
        gone = asyncio.ensure_future(_gone(receive))
        lines = [(k.encode(), v.encode()) for k, v in said.items()]
        await send({"type": "http.response.start", "status": 200, "headers": lines})
        try:
            while piece and not gone.done():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                # An error here breaks the answer off: its end is missing, which clients notice.
                piece = await loop.run_in_executor(self._engine.pool, next, rest, b"")
        finally:
            gone.cancel()
            await loop.run_in_executor(self._engine.pool, rest.close)
        await send({"type": "http.response.body", "body": b""})


def _seen(done: asyncio.Future[Any]) -> None:
    """Take note of an error that nobody waits for any more."""
    if not done.cancelled():
        done.exception()


async def _gone(receive: Receive) -> None:
    """Return once the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


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

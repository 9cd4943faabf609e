"""The embedded ClickHouse of one folder: statements in, bytes out, within limits.

Each statement has a connection of its own, so its settings end with it. A limit on memory
and time stands on every one, and a reader's is also read-only to the engine itself: what
checks the statement's text is not the only wall. Every statement bears the name its client
gave it, by which it can be ended from outside while it runs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from runtime.record.access import Role

_FORMAT: Final = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_ROWS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Limits:
    """What one statement may use."""

    memory_bytes: int
    seconds: float


LIMITS: Final[Mapping[Role, Limits]] = {
    "read": Limits(700_000_000, 60.0),
    "write": Limits(1_200_000_000, 900.0),
}


@dataclass(slots=True)
class Request:
    """One statement as it came in."""

    sql: str
    data: bytes = b""
    database: str = ""
    default_format: str = "TabSeparated"
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    query_id: str = ""
    role: Role = "write"
    changes: bool = True
    """Whether it may change anything."""

    @property
    def format(self) -> str:
        """The format that the statement asks for."""
        found = _FORMAT.search(self.sql)
        return found.group(1) if found else self.default_format

    @property
    def name(self) -> str:
        """Whose statement it is, and which: by this it is ended."""
        return f"{self.role} {self.query_id}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine said: a whole body, or the pieces of one that follow."""

    body: bytes
    format: str
    summary: dict[str, str]
    rest: Generator[bytes] | None = None


class Engine:
    """The embedded ClickHouse of one folder. Nobody else may have it open."""

    def __init__(
        self, path: Any, memory_bytes: int, threads: int = 8,
        limits: Mapping[Role, Limits] = LIMITS,
    ) -> None:  # fmt: skip
        # chdb is 500 MB of native code: only the recorder loads it, and only here.
        from chdb.state.sqlitelike import Connection

        options = f"max_server_memory_usage={memory_bytes}&mark_cache_size={64 << 20}"
        self._url = f"{path}?{options}&uncompressed_cache_size=0"
        self._connect: Callable[[str], Any] = Connection
        self._root, self._limits = self._connect(self._url), limits
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="clickhouse")
        self.killers = ThreadPoolExecutor(1, thread_name_prefix="kill")
        self.timezone = str(self._root.query("select timezone()", "TabSeparatedRaw")).strip()

    def run(self, request: Request) -> Answer:
        """Run one statement. An Arrow stream comes in pieces, which must be read or closed."""
        begun = time.perf_counter()
        connection = self._connect(self._url)
        streams = False
        try:
            self._ready(connection, request)
            if request.data:
                return _insert(connection, request, begun)
            if not request.changes and request.format == "ArrowStream":
                answer = _streamed(connection, request, begun)
                streams = True
                return answer
            result = connection.query(
                request.sql, request.format, params=request.parameters or None
            )
            body = result.bytes() if len(result) else b""
            return Answer(body, request.format, _summary(result, len(body), begun))
        finally:
            if not streams:
                connection.close()

    def kill(self, name: str) -> int:
        """End the statements of that name that run; return how many there were."""
        connection = self._connect(self._url)
        try:
            said = connection.query(
                f"KILL QUERY WHERE Settings['log_comment'] = {_literal(name)} ASYNC",
                "TabSeparatedRaw",
            )
            return len(str(said).splitlines()) if len(said) else 0
        finally:
            connection.close()

    def close(self) -> None:
        """Wait for what runs, then close the folder."""
        self.killers.shutdown()
        self.pool.shutdown()
        self._root.close()

    def _ready(self, connection: Any, request: Request) -> None:
        """Give a connection the statement's settings, and last the limits it cannot lift."""
        if request.database:
            connection.query(f"USE {_identifier(request.database)}")
        limits = self._limits[request.role]
        wanted = _seconds(request.settings.get("max_execution_time", ""))
        seconds = min(wanted, limits.seconds) if wanted else limits.seconds
        settings = request.settings | {
            "log_comment": request.name, "max_memory_usage": str(limits.memory_bytes),
            "max_execution_time": f"{seconds:g}", "timeout_overflow_mode": "throw",
            # A row that is there twice has the same run both times: the index leaves out neither.
            "use_skip_indexes_if_final_exact_mode": "0",
        }  # fmt: skip
        if not request.changes:
            # As ClickHouse does for GET; a reader may not even change a setting.
            settings["readonly"] = "1" if request.role == "read" else "2"
        said = ", ".join(f"{name} = {_literal(value)}" for name, value in settings.items())
        connection.query(f"SET {said}")


def without_format(sql: str) -> str:
    """Return a statement without the format it asks for."""
    return _FORMAT.sub("", sql)


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0


def _streamed(connection: Any, request: Request, begun: float) -> Answer:
    """Begin an answer in pieces: an error before the first of them is the statement's own."""
    pieces = _pieces(connection, request)
    first = next(pieces)
    return Answer(first, request.format, _elapsed(begun), pieces)


def _pieces(connection: Any, request: Request) -> Generator[bytes]:
    """Yield an Arrow stream: each block of the engine as one record batch, never as rows."""
    import pyarrow as pa

    sink = _Sink()
    try:
        sql = without_format(request.sql)
        found = connection.send_query(sql, "Arrow", params=request.parameters or None)
        batches = found.record_batch(rows_per_batch=_ROWS)
        ahead = next(iter(batches), None)
        if ahead is None:
            # The engine streams no columns where there are no rows; asked at once it says them.
            whole = connection.query(sql, request.format, params=request.parameters or None)
            yield whole.bytes()
            return
        with pa.ipc.new_stream(sink, batches.schema) as stream:
            while ahead is not None:
                stream.write_batch(ahead)
                yield sink.taken()
                ahead = next(iter(batches), None)
        yield sink.taken()
    finally:
        # Closing ends a statement that still runs.
        connection.close()


class _Sink:
    """A file that keeps what was written until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def flush(self) -> None:
        """Nothing is held elsewhere."""

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _insert(connection: Any, request: Request, begun: float) -> Answer:
    stream = connection.send_insert(without_format(request.sql), request.format)
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
    return "`" + name.replace("\\", "").replace("`", "") + "`"


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"

"""An answer over HTTP as a value: JSON, a text, a table or bytes, or the error it stands for.

The media type decides, unless the tool says ``as``. What is no text in the encoding it
names is kept as bytes, so nothing is lost on the way. Statuses become classes of error: 408
a timeout, 429 and whatever names a Retry-After throttled, 5xx transient, other 4xx permanent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypeAlias

import httpx2
import msgspec

from runtime.errors import Permanent, ResourceExhausted, Throttled, TimedOut, ToolError, Transient
from runtime.tools.faults import clip
from runtime.tools.port import Blob, table_of

Form: TypeAlias = Literal["json", "text", "table", "bytes"]
FORMS: Final[tuple[Form, ...]] = ("json", "text", "table", "bytes")
_TABLES: Final = (
    "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.file",
    "application/vnd.apache.parquet",
)  # fmt: skip


def read(response: httpx2.Response, limit: int) -> bytes:
    """The body, while it has no more than ``limit`` bytes.

    Raises:
        ResourceExhausted: it has more.
    """
    data = bytearray()
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > limit:
            raise ResourceExhausted(f"the answer has more than {limit} bytes")
    return bytes(data)


def headers(response: httpx2.Response) -> dict[str, str]:
    """The headers by their names in lower case; a session is nobody else's business."""
    found = {name.lower(): value for name, value in response.headers.items()}
    found.pop("set-cookie", None)
    return found


def value(response: httpx2.Response, data: bytes, form: str | None) -> Any:
    """The body as the tool wants it."""
    media = _media(response)
    if form == "bytes":
        return Blob(data, media or "application/octet-stream")
    if form == "table" or (form is None and media in _TABLES):
        return _table(data, media)
    if form == "json" or (form is None and _is_json(media)):
        return _json(data)
    try:
        return data.decode(response.charset_encoding or "utf-8")
    except (UnicodeDecodeError, LookupError):
        if form is None:
            return Blob(data, media or "application/octet-stream")
        return data.decode("utf-8", "replace")


def _media(response: httpx2.Response) -> str:
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def _is_json(media: str) -> bool:
    return media == "application/json" or media.endswith("+json")


def _json(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data) if data else None
    except msgspec.DecodeError as error:
        raise Transient(f"the answer should be JSON and is not: {error}") from error


def _table(data: bytes, media: str) -> Any:
    if media not in _TABLES:
        return table_of(_json(data))
    import pyarrow as pa

    try:
        return _readers()[media](data)
    except pa.ArrowInvalid as error:
        raise Transient(f"the answer should be {media} and is not: {error}") from error


def _readers() -> dict[str, Callable[[bytes], Any]]:
    import pyarrow as pa

    def parquet(data: bytes) -> Any:
        import pyarrow.parquet as pq

        return pq.read_table(pa.BufferReader(data))

    stream, file, third = _TABLES
    return {
        stream: lambda data: pa.ipc.open_stream(data).read_all(),
        file: lambda data: pa.ipc.open_file(data).read_all(),
        third: parquet,
    }


# ---- errors -----------------------------------------------------------------------------


def failure(response: httpx2.Response, body: str) -> ToolError:
    """The error that a status stands for. Its ``names`` are what `errors:` may say."""
    status = response.status_code
    told = f"{response.request.method} {response.request.url} answered {status}"
    message = f"{told}: {clip(body.strip(), 500)}" if body.strip() else told
    wait = retry_after(response.headers.get("retry-after"), time.time())
    error: ToolError
    if status == 429 or (status >= 500 and wait is not None):
        error = Throttled(message, wait)
    elif status == 408:
        error = TimedOut(message)
    else:
        error = Transient(message) if status >= 500 else Permanent(message)
    error.names = (str(status), f"{status // 100}xx")
    return error


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds to wait that a Retry-After header asks for; None when it asks for nothing."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass  # then it is a date
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError):
        return None

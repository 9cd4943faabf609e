"""The ``http`` tool: one request, over connections that a worker keeps open.

Statuses become classes of error: 408 a timeout, 429 and whatever names a Retry-After
throttled, 5xx transient, other 4xx permanent. The address is looked up, judged and
connected to in one place, so that neither a redirect nor a clever name server leads to
this machine or its link unless the tool says ``allow_loopback: true``.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Final

import httpcore2
import httpx2
import msgspec

from runtime.errors import Permanent, ResourceExhausted, Throttled, TimedOut, ToolError, Transient
from runtime.tools.faults import clip
from runtime.tools.port import Call, Outcome

_DEFAULT_S: Final = 30.0
_SAFE: Final = ("GET", "HEAD", "OPTIONS", "TRACE")


class HttpTool:
    """Sends a request; the result is {status, headers, body}."""

    kind: ClassVar[str] = "http"

    def __init__(self) -> None:
        self._clients: dict[bool, httpx2.Client] = {}

    def run(self, call: Call) -> Outcome:
        client = self._client(call.tool.get("allow_loopback") is True)
        client.cookies.clear()  # connections are shared between attempts, sessions are not
        method = call.text("method", "GET").upper()
        try:
            with client.stream(
                method,
                call.text("url"),
                params=call.tool.get("params"),
                headers=_headers(call, method),
                content=_content(call, method),
                timeout=call.task.timeout_s or _DEFAULT_S,
            ) as response:
                return _outcome(response, _read(response, call.task.output_bytes))
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
            raise Permanent(f"`url` {call.tool.get('url')!r}: {error}") from error
        except httpx2.ConnectError as error:
            refusal = _refusal(error)
            if refusal is None:
                raise
            raise Permanent(str(refusal)) from error

    def _client(self, allow_loopback: bool) -> httpx2.Client:
        if allow_loopback not in self._clients:
            self._clients[allow_loopback] = _client(allow_loopback)
        return self._clients[allow_loopback]


def _outcome(response: httpx2.Response, body: bytes) -> Outcome:
    status = response.status_code
    if status >= 400:
        raise _failure(response, body.decode("utf-8", "replace"))
    headers = {name.lower(): value for name, value in response.headers.items()}
    headers.pop("set-cookie", None)
    return Outcome({"status": status, "headers": headers, "body": _body(response, body)})


def _failure(response: httpx2.Response, body: str) -> ToolError:
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


def _headers(call: Call, method: str) -> dict[str, str]:
    given = call.tool.get("headers") or {}
    if not isinstance(given, dict):
        raise Permanent("tool http: `headers` must map names to values")
    headers = {str(name): str(value) for name, value in given.items()}
    names = {name.lower() for name in headers}
    if method not in _SAFE and "idempotency-key" not in names:
        headers["Idempotency-Key"] = call.task.key
    if _json(call, method) is not None and "content-type" not in names:
        headers["Content-Type"] = "application/json"
    return headers


def _content(call: Call, method: str) -> bytes | None:
    if "body" in call.tool:
        return call.text("body").encode()
    value = _json(call, method)
    return None if value is None else msgspec.json.encode(call.open(value))


def _json(call: Call, method: str) -> Any:
    if "body" in call.tool:
        return None
    if "json" in call.tool:
        return call.tool["json"]
    return call.items() if call.task.items is not None and method not in _SAFE else None


def _read(response: httpx2.Response, limit: int) -> bytes:
    data = bytearray()
    for chunk in response.iter_bytes():
        data += chunk
        if len(data) > limit:
            raise ResourceExhausted(f"the answer has more than {limit} bytes")
    return bytes(data)


def _body(response: httpx2.Response, data: bytes) -> Any:
    media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media == "application/json" or media.endswith("+json"):
        try:
            return msgspec.json.decode(data) if data else None
        except msgspec.DecodeError as error:
            raise Transient(f"the answer calls itself JSON and is not: {error}") from error
    return data.decode(response.encoding or "utf-8", "replace")


# ---- where a request may go -----------------------------------------------------------------


class Refused(httpcore2.ConnectError):
    """The tool may not reach that address."""


class Guarded(httpcore2.NetworkBackend):
    """Connects to the addresses of a name, none of which may be refused."""

    def __init__(self, allow_loopback: bool) -> None:
        self._allow = allow_loopback
        self._inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        addresses = resolve(host, port)
        for address in addresses:
            if not self._allow and refused(address):
                raise Refused(
                    f"{host} is {address}, on this machine or its link: "
                    "say `allow_loopback: true` on the tool if that is meant"
                )
        return self._first(addresses, port, timeout, local_address, socket_options)

    def _first(self, addresses: list[str], port: int, *rest: Any) -> httpcore2.NetworkStream:
        """A connection to the first address that takes it."""
        last: Exception | None = None
        for address in addresses:
            try:
                return self._inner.connect_tcp(address, port, *rest)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                last = error
        raise last if last is not None else httpcore2.ConnectError("no address")


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise httpcore2.ConnectError(f"{host}: {error}") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def refused(address: str) -> bool:
    """Whether an address is this machine's own, or its link's."""
    ip: Any = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return bool(ip.is_loopback or ip.is_link_local or ip.is_unspecified)


def _client(allow_loopback: bool) -> httpx2.Client:
    """A client without the environment's proxies: what is judged is what is connected to."""
    transport = httpx2.HTTPTransport(trust_env=False)
    transport._pool = httpcore2.ConnectionPool(
        ssl_context=httpx2.create_ssl_context(),
        max_keepalive_connections=20,
        keepalive_expiry=30.0,
        network_backend=Guarded(allow_loopback),
    )
    return httpx2.Client(
        transport=transport, trust_env=False, follow_redirects=True, max_redirects=5
    )


def _refusal(error: BaseException | None) -> Refused | None:
    """The refusal among an exception's causes, if there is one."""
    while error is not None and not isinstance(error, Refused):
        error = error.__cause__ or error.__context__
    return error

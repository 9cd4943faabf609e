"""Where a request may go: an address is looked up, judged and connected to in one place.

So neither a redirect nor a clever name server leads to this machine or its link unless the
tool says ``allow_loopback: true``. The environment's proxies are not used: what is judged
is what is connected to.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

import httpcore2
import httpx2


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


def client(allow_loopback: bool) -> httpx2.Client:
    """A client that keeps connections open and follows nothing by itself."""
    transport = httpx2.HTTPTransport(trust_env=False)
    transport._pool = httpcore2.ConnectionPool(
        ssl_context=httpx2.create_ssl_context(),
        max_keepalive_connections=20,
        keepalive_expiry=30.0,
        network_backend=Guarded(allow_loopback),
    )
    return httpx2.Client(transport=transport, trust_env=False, follow_redirects=False)


def refusal(error: BaseException | None) -> Refused | None:
    """The refusal among an exception's causes, if there is one."""
    while error is not None and not isinstance(error, Refused):
        error = error.__cause__ or error.__context__
    return error

"""Requests on loopback: the socket they come to, their token, their body, a refusal."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Mapping

from runtime.record.endpoint import BODY_LIMIT, Receive, Send, reply


class BodyTooLarge(Exception):
    """The body of a request is longer than is read."""


def token_of(headers: Mapping[str, str]) -> str:
    """Return the token in a request's headers, in any of the ways ClickHouse clients send it."""
    if key := headers.get("x-clickhouse-key"):
        return key
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[2]
        except ValueError:
            return ""
    return ""


async def read_body(receive: Receive) -> bytes:
    """Return a request's whole body.

    Raises:
        BodyTooLarge: it is longer than is read.
    """
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY_LIMIT:
            raise BodyTooLarge(f"a request body may have {BODY_LIMIT} bytes")
    return bytes(body)


async def say_no(send: Send, status: int, text: str) -> None:
    """Refuse in one line of JSON."""
    await reply(
        send, status, json.dumps({"error": text}).encode(), {"content-type": "application/json"}
    )


def listening_at(wanted: int) -> socket.socket:
    """Return a socket on loopback: at the port of last time if it is free, else at any."""
    for number in (wanted, 0):
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", number))
        except OSError:
            listening.close()
            continue
        listening.listen(128)
        return listening
    raise OSError("no free port on 127.0.0.1")

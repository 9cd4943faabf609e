"""A records service: a small HTTP server with the manners of real ones.

A request takes a base time and a time per id, with log-normal noise; now and then one is
three times slower or is answered 503. Only so many are served at once, the rest hear 429
with Retry-After. Past an id limit that no documentation mentions, time grows with the
square of the excess and most answers are 503. The clients of such services have to find
a good batch size and concurrency by trying, which is what this one is for.

``GET /records?ids=1,2,3`` answers ``{"records": [...]}``; ``GET /stats`` its counters.

::

    python records_service.py --port 0 --params 'base=60ms per_id=0.1ms max_ids=250'
"""

from __future__ import annotations

import argparse
import json
import math
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from diabetes import ROWS, measured


@dataclass(frozen=True)
class Manners:
    """How the service behaves; times in seconds.

    >>> Manners.parse("base=1ms per_id=6ms max_ids=120").per_id
    0.006
    """

    base: float = 0.060
    per_id: float = 0.0001
    noise: float = 0.25
    slow_share: float = 0.01
    slow_factor: float = 3.0
    error_share: float = 0.01
    max_ids: int = 250
    over_limit_errors: float = 0.60
    concurrent: int = 6
    retry_after: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Manners:
        """Read ``name=value`` words; what is not named keeps its default.

        Raises:
            ValueError: a word is no known name with a number.
        """
        known = {f.name: f.type for f in fields(cls)}
        values: dict[str, Any] = {}
        for word in text.split():
            name, _, value = word.partition("=")
            if name not in known:
                raise ValueError(f"{word!r}: expected one of {', '.join(known)} with =value")
            values[name] = int(value) if known[name] == "int" else seconds(value)
        return cls(**values)


def seconds(text: str) -> float:
    """Read ``60ms``, ``1s`` or a bare number."""
    for unit, factor in (("ms", 0.001), ("s", 1.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)


@dataclass(frozen=True)
class Fate:
    """What will become of one request."""

    time_s: float
    fails: bool


def fate(manners: Manners, ids: int, rng: random.Random) -> Fate:
    """Draw how long a request for ``ids`` ids takes, and whether it ends with 503."""
    time_s = (manners.base + manners.per_id * ids) * math.exp(rng.gauss(0.0, manners.noise))
    errors = manners.error_share
    if rng.random() < manners.slow_share:
        time_s *= manners.slow_factor
    if ids > manners.max_ids:
        time_s *= (ids / manners.max_ids) ** 2
        errors = manners.over_limit_errors
    return Fate(time_s, rng.random() < errors)


@dataclass
class Counters:
    """What the service has done so far."""

    requests: int = 0
    ids_served: int = 0
    http_429: int = 0
    http_503: int = 0
    max_ids: int = 0


class Service(ThreadingHTTPServer):
    """The server: its manners, its counters and the slots it serves with."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], manners: Manners, rng: random.Random) -> None:
        super().__init__(address, Handler)
        self.manners = manners
        self.counters = Counters()
        self._rng = rng
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(manners.concurrent)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def serve_ids(self, ids: Sequence[int]) -> tuple[int, bytes]:
        """Answer one request for records: a status and a body."""
        with self._lock:
            self.counters.requests += 1
            self.counters.max_ids = max(self.counters.max_ids, len(ids))
            doom = fate(self.manners, len(ids), self._rng)
        if not self._slots.acquire(blocking=False):
            return self._count(429, b'{"error": "too many requests at once"}')
        try:
            time.sleep(doom.time_s)
        finally:
            self._slots.release()
        if doom.fails:
            return self._count(503, b'{"error": "the records are not available right now"}')
        return self._count(200, records(ids), served=len(ids))

    def _count(self, status: int, body: bytes, served: int = 0) -> tuple[int, bytes]:
        with self._lock:
            self.counters.ids_served += served
            self.counters.http_429 += status == 429
            self.counters.http_503 += status == 503
        return status, body


class Handler(BaseHTTPRequestHandler):
    """One connection, kept open over many requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one piece
    server: Service

    def do_GET(self) -> None:
        """Route a request."""
        url = urlsplit(self.path)
        if url.path == "/stats":
            self._answer(200, json.dumps(asdict(self.server.counters)).encode())
        elif url.path == "/records":
            self._records(parse_qs(url.query).get("ids", [""])[0])
        else:
            self._answer(404, b'{"error": "ask /records?ids=1,2 or /stats"}')

    def _records(self, text: str) -> None:
        try:
            ids = [int(word) for word in text.split(",")]
        except ValueError:
            self._answer(400, b'{"error": "ids must be whole numbers, separated by commas"}')
            return
        self._answer(*self.server.serve_ids(ids))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", f"{self.server.manners.retry_after:g}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: the counters tell."""


def records(ids: Sequence[int]) -> bytes:
    """Return the records of these patients as JSON, in the order asked."""
    return b'{"records": [' + b",".join(_record(n, _text(n % ROWS)) for n in ids) + b"]}"


def _record(number: int, text: bytes) -> bytes:
    return b'{"id": %d, %s}' % (number, text)


@cache
def _text(row: int) -> bytes:
    return json.dumps(measured(row))[1:-1].encode()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal, or until standard input ends when tied to a parent."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--params", default="", help="name=value words, such as base=60ms")
    parser.add_argument("--seed", type=int, default=None, help="makes the noise repeatable")
    parser.add_argument("--tied", action="store_true", help="end when standard input ends")
    options = parser.parse_args(arguments)
    rng = random.Random(options.seed)  # noqa: S311 (noise, not secrets)
    try:
        manners = Manners.parse(options.params)
    except ValueError as problem:
        parser.error(str(problem))
    service = Service(("127.0.0.1", options.port), manners, rng)
    signal.signal(signal.SIGTERM, lambda *_: _stop(service))
    signal.signal(signal.SIGINT, lambda *_: _stop(service))
    if options.tied:
        threading.Thread(target=_until_orphaned, args=(service,), daemon=True).start()
    print(service.url, flush=True)  # noqa: T201 (the caller reads the address)
    service.serve_forever(poll_interval=0.1)


def _stop(service: Service) -> None:
    threading.Thread(target=service.shutdown).start()  # it waits for the loop it ends


def _until_orphaned(service: Service) -> None:
    sys.stdin.buffer.read()
    service.shutdown()


if __name__ == "__main__":
    main()

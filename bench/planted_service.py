"""A loopback service with planted manners: so many useful slots, set chances to fail, set tails.

Every answer is a real HTTP answer after a real wait. ``/slots`` serves six at once and lets
others queue; ``/fails`` fails with 503 or 429 by chance, ``/broken`` for ever for the keys
whose number says so; ``/tail`` hangs one time in fifteen; ``/even`` has no memory.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

SLOTS: Final = 6
WORK_S: Final = 0.02
FAILS: Final = 0.5
BROKEN: Final = 4
"""Every fourth key is broken for ever."""
HANGS: Final = 1 / 15
HANG_S: Final = 1.0
EVEN_S: Final = 0.03


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    free = threading.BoundedSemaphore(SLOTS)
    chance = random.Random(5)

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        key = int(parse_qs(asked.query).get("key", ["0"])[0])
        self._answer(_manner(asked.path, key, self.chance, self.free))

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing: every request is in the record."""


def _manner(path: str, key: int, chance: random.Random, free: threading.BoundedSemaphore) -> int:
    match path:
        case "/slots":
            with free:
                time.sleep(WORK_S)
            return 200
        case "/fails":
            time.sleep(WORK_S)
            return 503 if chance.random() < FAILS else 200
        case "/broken":
            time.sleep(WORK_S)
            if key % BROKEN == 0:
                return 503
            return 429 if chance.random() < 0.15 else 200
        case "/tail":
            time.sleep(tail_s(chance))
            return 200
        case "/even":
            time.sleep(even_s(chance))
            return 200
    return 404


def tail_s(chance: random.Random) -> float:
    """Return the seconds of a request that may hang."""
    return chance.gammavariate(20.0, 0.0005) + (HANG_S if chance.random() < HANGS else 0.0)


def even_s(chance: random.Random) -> float:
    """Return the seconds of a request of which a long one is as good as a fresh one."""
    return chance.expovariate(1.0 / EVEN_S)


@contextmanager
def served() -> Iterator[str]:
    """Serve on a free port of this machine; yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

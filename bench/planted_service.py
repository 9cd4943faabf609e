"""A loopback service with planted manners: so many useful slots, set chances to fail, set tails.

Every answer is a real HTTP answer after a real wait. ``/slots`` serves six at once and lets
others queue; ``/fails`` fails with 503 or 429 by chance, ``/broken`` for ever for the keys
whose number says so; ``/back`` fails for a key until some time after it was first asked for;
``/tail`` hangs one time in fifteen, and so does ``/hang``, whose work is longer; ``/even`` has
no memory; ``/steady`` has hardly any luck, and ``/pareto`` a tail that never ends.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Final
from urllib.parse import parse_qs, urlsplit

SLOTS: Final = 6
WORK_S: Final = 0.02
FAILS: Final = 0.5
BROKEN: Final = 4
"""Every fourth key is broken for ever."""
HANGS: Final = 1 / 15
HANG_S: Final = 1.0
LONG: Final = 3.0
"""How much longer the work of ``/hang`` is."""
AWAY: Final = 0.8
"""The share of keys of ``/back`` that are away at first."""
EVEN_S: Final = 0.03
BACK_S: Final = 0.5
STEADY_S: Final = 0.15


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    free = threading.BoundedSemaphore(SLOTS)
    chance = random.Random(5)
    back: ClassVar[dict[str, float]] = {}

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        words = parse_qs(asked.query)
        key = int(words.get("key", ["0"])[0])
        if asked.path == "/back":
            self._answer(self._back(words.get("run", [""])[0] + f"/{key}"))
        else:
            self._answer(_manner(asked.path, key, self.chance, self.free))

    def _back(self, key: str) -> int:
        """Fail for a key of a run until it is back."""
        until = self.back.setdefault(key, time.monotonic() + back_s(self.chance))
        time.sleep(WORK_S)
        return 200 if time.monotonic() > until else 503

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
        case "/hang":
            time.sleep(hang_s(chance))
            return 200
        case "/even":
            time.sleep(even_s(chance))
            return 200
        case "/pareto":
            time.sleep(min(2.0, 0.002 * chance.paretovariate(1.5)))
            return 200
        case "/steady":
            time.sleep(steady_s(chance))
            return 200
    return 404


def tail_s(chance: random.Random) -> float:
    """Return the seconds of a request that may hang."""
    return chance.gammavariate(20.0, 0.0005) + (HANG_S if chance.random() < HANGS else 0.0)


def hang_s(chance: random.Random) -> float:
    """Return the seconds of longer work that may hang."""
    return LONG * tail_s(chance)


def even_s(chance: random.Random) -> float:
    """Return the seconds of a request of which a long one is as good as a fresh one."""
    return chance.expovariate(1.0 / EVEN_S)


def back_s(chance: random.Random) -> float:
    """Return the seconds after which a key is back; some are there at once."""
    return chance.expovariate(1.0 / BACK_S) if chance.random() < AWAY else 0.0


def steady_s(chance: random.Random) -> float:
    """Return the seconds of a request that is never quick and never slow."""
    return STEADY_S * chance.gammavariate(400.0, 1 / 400.0)


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

"""The outbox: bodies on their way to one address, the oldest first, by a thread of its own.

It holds so many and no more: while the receiver is away the oldest is given up for the
newest, and counted. A receiver that is busy or broken (no answer, 429, 5xx) is tried again
with growing pauses, as it asks where it asks; what it refuses (other 4xx) is given up.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import httpx2

_LOG: Final = logging.getLogger("trimtab.telemetry")
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
_TIMEOUT_S: Final = 10.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(slots=True)
class Sent:
    """What became of what was put in; read by other threads."""

    sent: int = 0
    dropped: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class _Body:
    content: bytes
    count: int


class Outbox:
    """Sends bodies to one URL. ``put`` may be called by any thread.

    ``holds`` is how many bodies wait at most. ``token`` is sent as a bearer's.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], *, holds: int, token: str = "",
        first_pause_s: float = FIRST_PAUSE_S, chance: random.Random | None = None,
    ) -> None:  # fmt: skip
        self.counts = Sent()
        self._url, self._holds, self._chance = url, holds, chance or random.SystemRandom()
        self._first_pause_s = first_pause_s
        self._headers = dict(headers) | ({"authorization": f"Bearer {token}"} if token else {})
        self._waiting: deque[_Body] = deque()
        self._changed = threading.Condition()
        self._ends_at: float | None = None
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many bodies wait."""
        return len(self._waiting)

    def put(self, content: bytes, count: int) -> None:
        """Send a body that carries ``count`` things, after what waits already."""
        with self._changed:
            if len(self._waiting) >= self._holds:
                self.counts.dropped += self._waiting.popleft().count
            self._waiting.append(_Body(content, count))
            self._changed.notify_all()

    def room(self, wait_s: float) -> bool:
        """Wait until a body can be put in without another being given up."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._waiting) < self._holds, wait_s)

    def close(self, grace_s: float) -> None:
        """Send what waits within the grace; give up the rest."""
        with self._changed:
            self._ends_at = time.monotonic() + grace_s
            self._changed.notify_all()
        self._thread.join(grace_s + 0.5)
        with self._changed:
            self.counts.dropped += sum(body.count for body in self._waiting)
            self._waiting.clear()

    def _run(self) -> None:
        import httpx2

        host = urllib.parse.urlsplit(self._url).hostname
        with httpx2.Client(timeout=_TIMEOUT_S, trust_env=host not in _LOOPBACK) as client:
            pause_s = self._first_pause_s
            while (body := self._next()) is not None:
                answer = self._post(client, body)
                if answer is not None and answer.status_code < 300:
                    self._done(body, taken=True)
                    pause_s = self._first_pause_s
                elif answer is not None and not _may_pass(answer.status_code):
                    _LOG.warning("%s refused: %d", _shown(self._url), answer.status_code)
                    self._done(body, taken=False)
                else:
                    self._rest(_asked_pause(answer) or pause_s * (0.5 + self._chance.random()))
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _next(self) -> _Body | None:
        """The oldest body; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ends_at is not None)
            over = self._ends_at is not None and time.monotonic() >= self._ends_at
            return self._waiting[0] if self._waiting and not over else None

    def _post(self, client: httpx2.Client, body: _Body) -> httpx2.Response | None:
        left = _TIMEOUT_S
        if self._ends_at is not None:
            left = max(0.1, min(left, self._ends_at - time.monotonic()))
        try:
            answer = client.post(
                self._url, content=body.content, headers=self._headers, timeout=left
            )
        except Exception as fault:  # the thread has to outlive whatever a client may raise
            _LOG.info("%s: %s", _shown(self._url), fault)
            self.counts.failures += 1
            return None
        if answer.status_code >= 300:
            self.counts.failures += 1
        return answer

    def _done(self, body: _Body, *, taken: bool) -> None:
        with self._changed:
            if self._waiting and self._waiting[0] is body:  # else it was given up meanwhile
                self._waiting.popleft()
                self.counts.sent += body.count if taken else 0
                self.counts.dropped += 0 if taken else body.count
            elif taken:
                self.counts.sent += body.count
                self.counts.dropped -= body.count
            self._changed.notify_all()

    def _rest(self, pause_s: float) -> None:
        with self._changed:
            if self._ends_at is None:
                self._changed.wait_for(lambda: self._ends_at is not None, pause_s)
            else:
                self._changed.wait(min(0.1, pause_s))


def _may_pass(status: int) -> bool:
    return status == 429 or status >= 500


def _asked_pause(answer: Any) -> float | None:
    asked = answer.headers.get("retry-after") if answer is not None else None
    with suppress(ValueError):  # a date, which hardly anybody sends
        return min(max(float(asked or 0), 0.0), LONGEST_PAUSE_S) or None
    return None


def _shown(url: str) -> str:
    """A URL as it may be logged."""
    parts = urllib.parse.urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


__all__ = ["Outbox", "Sent"]

"""Open event streams: how many there are, and how they end when the server does.

A stream is a reader that waits for news. Everybody who waits is woken by a commit or by
the server closing, so that a shutdown never waits for a browser.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from runtime.engine.engine import Engine
from runtime.run.events import Recorded

Wanted = Callable[[Recorded], bool]


LOOK_S: Final = 1.0


class TooManyStreams(Exception):
    """No further stream may be opened now."""


class Streams:
    """The streams that are open, each with the event that wakes it."""

    def __init__(self, engine: Engine, limit: int) -> None:
        self._engine, self._limit = engine, limit
        self._waiting: dict[asyncio.Event, Wanted] = {}
        self._unsubscribe = engine.subscribe(self._heard)
        self.closing = False

    @property
    def full(self) -> bool:
        """Whether no further stream may be opened now."""
        return self.closing or len(self._waiting) >= self._limit

    @contextmanager
    def open(self, wanted: Wanted) -> Iterator[asyncio.Event]:
        """Give an event that is set when something wanted was committed, or at the end.

        Raises:
            TooManyStreams: as many as allowed are open.
        """
        if self.full:
            raise TooManyStreams(f"{self._limit} event streams are open")
        news = asyncio.Event()
        self._waiting[news] = wanted
        try:
            yield news
        finally:
            del self._waiting[news]

    def close(self) -> None:
        """Wake every stream for the last time."""
        self.closing = True
        self._unsubscribe()
        for news in self._waiting:
            news.set()

    def _heard(self, batch: Sequence[Recorded]) -> None:
        for news, wanted in self._waiting.items():
            if not news.is_set() and any(wanted(recorded) for recorded in batch):
                news.set()


async def wait(
    news: asyncio.Event, seconds: float, seen: Callable[[], object] | None = None
) -> bool:
    """Wait for news, or until what is ``seen`` is another thing; False when neither came.

    What is ``seen`` is looked at once a second; without it nothing wakes up in between.
    """
    before = seen() if seen is not None else None
    left = seconds
    while left > 0:
        part = left if seen is None else min(left, LOOK_S)
        try:
            await asyncio.wait_for(news.wait(), part)
        except TimeoutError:
            left -= part
            if seen is not None and seen() != before:
                return True
        else:
            news.clear()
            return True
    return False

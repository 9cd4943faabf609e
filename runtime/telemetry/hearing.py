"""Hearing: news of commits, put aside at once and looked at in short turns of the loop.

A commit's listener only appends to a list. What was put aside is handed on a quarter of a
second later, a few hundred events a turn, so that whoever counts them never stands between
a commit and what follows from it. Nothing is scheduled while nothing happens.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from runtime.run.events import Recorded

PAUSE_S: Final = 0.25
TURN: Final = 500
"""Events that are handed on in one turn of the loop; as many as wait, when those are more."""

Take = Callable[[Sequence[Recorded]], None]


class Hearing:
    """Hands the news on later. Use it on the loop's thread."""

    def __init__(self, *takes: Take) -> None:
        self._takes = takes
        self._loop = asyncio.get_running_loop()
        self._aside: deque[Sequence[Recorded]] = deque()
        self._next: asyncio.Handle | None = None

    def heard(self, news: Sequence[Recorded]) -> None:
        """Put news aside."""
        self._aside.append(news)
        if self._next is None:
            self._next = self._loop.call_later(PAUSE_S, self._turn)

    def flush(self) -> None:
        """Hand on all that was put aside."""
        while self._aside:
            self._hand_on()

    def close(self) -> None:
        """Hand on what is there, and be woken no more."""
        if self._next is not None:
            self._next.cancel()
        self.flush()

    def _turn(self) -> None:
        done, wanted = 0, max(TURN, len(self._aside))  # more is put aside in between
        while self._aside and done < wanted:
            done += self._hand_on()
        self._next = self._loop.call_soon(self._turn) if self._aside else None

    def _hand_on(self) -> int:
        news = self._aside.popleft()
        for take in self._takes:
            take(news)
        return len(news)

"""The record as the API reads it: search, trends, and how far behind it is.

History and search speak blocking protocols with the recorder process; each question is
asked from a thread, so that a slow answer keeps nobody else waiting.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from runtime.data.folder import DataFolder
from runtime.record.history import History
from runtime.record.search import Hit, Search


@dataclass(frozen=True, slots=True)
class TrendQuestion:
    """Which trend: buckets of ``bucket_s`` between two times, of a playbook or one step."""

    since: float
    until: float
    bucket_s: int = 3600
    playbook: str = ""
    step: str = ""


class Readings:
    """Asks the record without blocking."""

    def __init__(self, folder: DataFolder) -> None:
        self._history = History.open(folder)
        self._search = Search.open(folder)

    async def query(self, name: str, **params: Any) -> list[dict[str, Any]]:
        """Ask a named statement.

        Raises:
            RecorderAway: no recorder answers.
        """
        return await asyncio.to_thread(self._history.rows, name, **params)

    async def trends(self, asked: TrendQuestion) -> list[dict[str, Any]]:
        """Return p50, p95, p99, cost and failures per bucket, step and configuration."""
        return await self.query(
            "trend_steps", bucket=asked.bucket_s, playbook=asked.playbook, step=asked.step,
            since=max(0, int(asked.since)), until=int(asked.until),
        )  # fmt: skip

    async def search(self, text: str, **filters: Any) -> list[Hit]:
        """Return what fits the words best, the best first."""
        return await asyncio.to_thread(self._search.search, text, **filters)

    async def lag(self) -> dict[str, Any]:
        """Return how far the record is behind the journal, per sink."""
        return await asyncio.to_thread(self._history.lag)

    def close(self) -> None:
        """Close the connections."""
        self._history.close()

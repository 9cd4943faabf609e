"""The record as the API reads it: search, trends, and how far behind it is.

History and search speak blocking protocols with the recorder process; each question is
asked from a thread of its own, so that a slow answer keeps nobody else waiting, and one
that waits for a recorder that is away does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Final, TypeVar

from control_plane.errors import Invalid
from control_plane.measures import Dimension
from runtime.data.folder import DataFolder
from runtime.record.history import History
from runtime.record.search import Cause, Hit, Search

T = TypeVar("T")
AT_ONCE: Final = 8
_PIECE: Final = 1 << 20
LATEST: Final = 4_102_444_800.0
"""The first second of the year 2100: no time of the record is later."""


@dataclass(frozen=True, slots=True)
class TrendQuestion:
    """Which trend: buckets of ``bucket_s`` between two times, of a playbook or one step."""

    since: float
    until: float
    bucket_s: int = 3600
    playbook: str = ""
    step: str = ""


@dataclass(frozen=True, slots=True)
class MeasuresQuestion:
    """Which measures: buckets between two times, by one dimension; ``label`` is a label's name."""

    since: float
    until: float
    bucket_s: int = 3600
    by: Dimension = "step"
    playbook: str = ""
    step: str = ""
    label: str = ""


class Readings:
    """Asks the record without blocking, ``AT_ONCE`` questions at a time."""

    def __init__(self, folder: DataFolder) -> None:
        self._history = History.open(folder)
        self._search = Search.open(folder)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def query(self, name: str, **params: Any) -> list[dict[str, Any]]:
        """Ask a named statement.

        Raises:
            RecorderAway: no recorder answers.
        """
        return await self._ask(lambda: self._history.rows(name, **params))

    async def trends(self, asked: TrendQuestion) -> list[dict[str, Any]]:
        """Return p50, p95, p99, cost and failures per bucket, step and configuration.

        Raises:
            Invalid: it asks for times that are none, or end before they begin.
        """
        _must_be_times(asked.since, asked.until)
        return await self.query(
            "trend_steps", bucket=asked.bucket_s, playbook=asked.playbook, step=asked.step,
            since=int(asked.since), until=int(asked.until),
        )  # fmt: skip

    async def measures(self, asked: MeasuresQuestion) -> list[dict[str, Any]]:
        """Return percentiles of queue, run and total seconds, cost, failures and throughput.

        Raises:
            Invalid: its times are none, or it asks by label and names none.
        """
        _must_be_times(asked.since, asked.until)
        if (asked.by == "label") != bool(asked.label):
            raise Invalid(
                ["by=label needs the label's name in `label`, and nothing else takes it"]
            )
        return await self.query(
            "trend_measures", by=asked.by, label=asked.label, bucket=asked.bucket_s,
            playbook=asked.playbook, step=asked.step, since=int(asked.since),
            until=int(asked.until),
        )  # fmt: skip

    async def costs(self, since: float, until: float, playbook: str = "") -> list[dict[str, Any]]:
        """Return what attempts cost by day, step, hardware and price, and how much is known."""
        _must_be_times(since, until)
        return await self.query(
            "cost_steps", playbook=playbook, since=int(since), until=int(until)
        )  # fmt: skip

    async def search(self, text: str, **filters: Any) -> list[Hit]:
        """Return what fits the words best, the best first."""
        return await self._ask(lambda: self._search.search(text, **filters))

    async def arrow(self, name: str, **params: Any) -> AsyncIterator[bytes]:
        """Ask a named statement and return its answer's bytes, an Arrow stream, as they come.

        Raises:
            Invalid: the time it asks for ends before it begins.
            RecorderAway: no recorder answers.
            RecordError: ClickHouse said no.
        """
        if params["since"] > params["until"]:
            raise Invalid([f"since ({params['since']:g}) is after until ({params['until']:g})"])
        return _pieces(await self._ask(lambda: self._history.stream(name, **params)))

    async def facets(self, text: str, **filters: Any) -> dict[str, dict[str, int]]:
        """Return how many of what is found has each value of each facet."""
        return await self._ask(lambda: self._search.facets(text, **filters))

    async def causes(self, **filters: Any) -> list[Cause]:
        """Return failures grouped by cause, the most frequent first."""
        return await self._ask(lambda: self._search.causes(**filters))

    async def similar(self, run: str, limit: int = 20, **filters: Any) -> list[Hit]:
        """Return what is like a run that ended."""
        return await self._ask(lambda: self._search.similar(run, limit, **filters))

    async def reindex(self) -> dict[str, Any]:
        """Have the search points made anew beside those that serve."""
        return await self._ask(self._search.reindex)

    async def lag(self) -> dict[str, Any]:
        """Return how far the record is behind the journal, per sink."""
        return await self._ask(self._history.lag)

    def close(self) -> None:
        """Close the connections."""
        self._history.close()

    async def _ask(self, question: Callable[[], T]) -> T:
        async with self._turns:
            return await _in_thread(question)


async def _pieces(answer: BinaryIO) -> AsyncIterator[bytes]:
    """Yield an answer piece by piece; nobody who stops listening leaves it open."""
    try:
        while piece := await _in_thread(lambda: answer.read(_PIECE)):
            yield piece
    finally:
        answer.close()


def _must_be_times(since: float, until: float) -> None:
    if not 0 <= since <= until <= LATEST:
        told = f"{since:.0f} to {until:.0f}"
        raise Invalid([f"since and until are seconds since 1970, in this order, not {told}"])


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Run ``work`` in a daemon thread: the process may end while it still waits."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(tell: Callable[[], None]) -> None:
        if not answer.done():
            tell()

    def run() -> None:
        try:
            tell = partial(answer.set_result, work())
        except Exception as error:
            tell = partial(answer.set_exception, error)
        with suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(settle, tell)

    threading.Thread(target=run, name="record", daemon=True).start()
    return answer

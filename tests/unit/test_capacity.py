"""What a server held is told once, whatever comes between."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from control_plane.capacity import Capacity


class Journal:
    """Takes every fact, and then keeps its writer waiting or fails it."""

    def __init__(self, root: Any) -> None:
        self.folder, self.journal = SimpleNamespace(root=root), self
        self.told: list[Any] = []
        self.broken = False
        self.reached = asyncio.Event()

    def length(self, stream: str) -> int:
        return len(self.told)

    async def append(self, appends: Any) -> None:
        if self.broken:
            raise OSError("disk full")
        self.told.extend(appends[0].events)
        self.reached.set()
        if len(self.told) == 1:
            await asyncio.Event().wait()


def test_what_was_cut_off_while_it_was_written_is_not_told_twice(tmp_path: Any) -> None:
    async def play() -> list[Any]:
        at, engine = [1000.0], Journal(tmp_path)
        capacity = Capacity(engine, 2, 15, lambda: at[0])  # type: ignore[arg-type]
        at[0] = 1900.0
        first = asyncio.create_task(capacity.tell())
        await engine.reached.wait()
        first.cancel()
        at[0] = 2000.0
        await capacity.tell()
        return engine.told

    assert [(e.since, e.until) for e in asyncio.run(play())] == [(1000, 1900), (1900, 2000)]


def test_what_could_not_be_written_is_told_the_next_time(tmp_path: Any) -> None:
    async def play() -> list[Any]:
        at, engine = [1000.0], Journal(tmp_path)
        capacity = Capacity(engine, 2, 15, lambda: at[0])  # type: ignore[arg-type]
        at[0], engine.broken = 1900.0, True
        with pytest.raises(OSError, match="disk full"):
            await capacity.tell()
        at[0], engine.broken, engine.told = 2000.0, False, [None]
        await capacity.tell()
        return engine.told[1:]

    assert [(e.since, e.until) for e in asyncio.run(play())] == [(1000, 2000)]

"""How an acceptance test tells its story: an engine opens, things happen, and it closes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine
from runtime.engine.local import open_local

PATIENCE_S = 240.0


def play(folder: DataFolder, story: Callable[[Engine], Awaitable[Any]], slots: int = 3) -> Any:
    """Open an engine, let a story happen and close it."""

    async def whole() -> Any:
        async with open_local(folder, slots=slots) as engine:
            return await asyncio.wait_for(story(engine), PATIENCE_S)

    return asyncio.run(whole())


async def until(holds: Callable[[], object]) -> None:
    """Wait for something to hold."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        await asyncio.sleep(0.01)

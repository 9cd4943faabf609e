"""An event that holds wherever its stream stands is tried a few times, never for ever."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from control_plane.appending import TRIES, append_last
from runtime.engine.engine import Engine
from runtime.journal.port import Append, StreamMoved
from runtime.run.events import KillSet

EVENT = KillSet("*", True, "ada", "")


class Busy:
    """An engine on whose stream somebody else is first, so many times."""

    def __init__(self, times: int) -> None:
        self.times, self.tried = times, list[int]()
        self.journal = SimpleNamespace(length=lambda stream: len(self.tried))

    async def append(self, appends: list[Append]) -> list[Any]:
        self.tried.append(appends[0].expected)
        if len(self.tried) <= self.times:
            raise StreamMoved("kill", appends[0].expected, len(self.tried))
        return []


def append(engine: Busy) -> None:
    asyncio.run(append_last(cast("Engine", engine), "kill", EVENT, lambda: 0.0))


def test_it_is_tried_again_where_the_stream_stands_then() -> None:
    engine = Busy(times=TRIES - 1)
    append(engine)
    assert engine.tried == list(range(TRIES))


def test_it_is_given_up_and_told() -> None:
    engine = Busy(times=TRIES)
    with pytest.raises(StreamMoved):
        append(engine)
    assert len(engine.tried) == TRIES

"""One event appended to a stream that anybody may write to, wherever the stream stands now.

For facts that hold whatever was written just before them, such as a kill switch or a
schedule. A stream that moves each time is given up after `TRIES`, and the caller is told.
"""

from __future__ import annotations

from typing import Final

from control_plane.clock import Clock
from runtime.engine.engine import Engine
from runtime.journal.port import Append, StreamMoved
from runtime.run.events import Event

TRIES: Final = 8


async def append_last(engine: Engine, stream: str, event: Event, clock: Clock) -> None:
    """Append an event at the end of a stream.

    Raises:
        StreamMoved: somebody else was first, `TRIES` times in a row; nothing was written.
    """
    for tries_left in reversed(range(TRIES)):
        expected = engine.journal.length(stream)
        try:
            await engine.append([Append(stream, expected, clock(), (event,))])
        except StreamMoved:
            if not tries_left:
                raise
        else:
            return

"""A server for the length of one command, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from control_plane.serve import Server, open_server
from control_plane.settings import Settings, Sources
from runtime.data.folder import DataFolder

START_S = 60.0
CATCH_UP_S = 120.0
LOOK_S = 1.0
"""So long does a wait for the record take at most to hear that the command was interrupted."""


@dataclass(slots=True)
class _Thread:
    """The server's thread, and what it has to say."""

    folder: DataFolder
    settings: Settings
    sources: Sources
    record: bool
    ready: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    fault: BaseException | None = None
    loop: asyncio.AbstractEventLoop | None = None
    stop: asyncio.Event | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as fault:
            self.fault = fault
        finally:
            self.ready.set()

    async def _serve(self) -> None:
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        server = await open_server(self.folder, self.settings, self.sources, ticking=False)
        try:
            await self._caught_up(server)
            self.url = server.url
            self.ready.set()
            await server.until(self.stop)
        finally:
            await server.close()

    async def _caught_up(self, server: Server) -> None:
        """Wait for the record; look by look, as a thread that waits keeps the process."""
        from runtime.record.access import RecordBehind, RecorderAway

        recorder, heads = server.parts.recorder, server.parts.engine.journal.heads()
        due = time.monotonic() + CATCH_UP_S
        while self.record and recorder is not None and not self._stopped():
            try:
                await recorder.caught_up(heads, LOOK_S)
                break
            except RecorderAway:
                if time.monotonic() > due:
                    raise
            except RecordBehind as behind:
                if time.monotonic() > due:
                    raise RecordBehind(f"{behind}, asked for {CATCH_UP_S:g} s") from behind

    def _stopped(self) -> bool:
        return self.stop is not None and self.stop.is_set()

    def end(self) -> None:
        if self.loop is not None and self.stop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.stop.set)


@contextmanager
def embedded(
    folder: DataFolder, settings: Settings, sources: Sources, *, record: bool
) -> Iterator[str]:
    """Give the address of a server on this folder; it ends with the block.

    Raises:
        FolderInUse: another process owns the folder.
    """
    server = _Thread(folder, settings, sources, record)
    thread = threading.Thread(target=server.run, name="server", daemon=True)
    thread.start()
    try:
        server.ready.wait(START_S + CATCH_UP_S)
        if not server.url:
            raise server.fault or TimeoutError("the server did not start")
        yield server.url
    finally:
        server.end()
        thread.join(START_S)

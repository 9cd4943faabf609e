"""A server for the length of one command, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from control_plane.serve import Server, open_server
from control_plane.settings import Settings, Sources
from runtime.data.folder import DataFolder

START_S = 60.0
CATCH_UP_S = 120.0


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
        recorder = server.parts.recorder
        if self.record and recorder is not None:
            await recorder.caught_up(server.parts.engine.journal.heads(), CATCH_UP_S)

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
    server.ready.wait(START_S + CATCH_UP_S)
    try:
        if not server.url:
            raise server.fault or TimeoutError("the server did not start")
        yield server.url
    finally:
        server.end()
        thread.join(START_S)

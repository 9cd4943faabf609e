"""A run without a server: the same engine, journal and workers, in this process tree.

The data folder has one owner; when a server has it, `open_local` refuses and the caller
submits there instead. The recorder is started beside it when history is to be kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine
from runtime.workers.limits import Limits

if TYPE_CHECKING:
    from runtime.workers.process import TemplateProcess

SLOTS: Final = 8


@asynccontextmanager
async def open_local(
    folder: DataFolder, slots: int = SLOTS, *, attempt: Limits | None = None,
    grace_s: float = 2.0, template: TemplateProcess | None = None,
) -> AsyncIterator[Engine]:  # fmt: skip
    """Open an engine on a data folder, and close it at the end.

    ``attempt`` is what one attempt may take where its step does not say, ``grace_s`` how
    long what runs may go on at the end. ``template`` is one that was started ahead, while
    the rest was still being loaded.

    Raises:
        FolderInUse: a server or another run owns the folder.
    """
    from runtime.workers.local import LocalPool

    folder.prepare()
    pool = LocalPool(slots, folder, template=template)
    services = {"data": str(folder.root)}
    engine = await Engine.open(folder, pool, services=services, attempt=attempt)
    try:
        yield engine
    finally:
        await engine.close(grace_s)

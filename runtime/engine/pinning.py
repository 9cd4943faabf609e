"""Pinning: what a new event is to refer to is made young again before it is written.

An object that no event within retention refers to may be collected at any time. Who brings
an old reference from outside (an input, a signal, the past of another run) pins it first,
and is refused when the object is gone.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from runtime.data.folder import DataFolder
from runtime.data.objects import Objects
from runtime.data.store import Missing
from runtime.engine.errors import Gone


async def pin(folder: DataFolder, value: Any) -> None:
    """Pin all that a value, or a list of events, refers to. Without any it costs one encoding.

    Raises:
        Gone: one of the objects is no longer there.
    """
    data = msgspec.json.encode(value)
    if b'"$ref"' not in data:
        return
    objects = Objects(folder.objects)
    loop = asyncio.get_running_loop()
    try:
        await loop.run_in_executor(None, objects.pin, msgspec.json.decode(data))
    except Missing as error:
        raise Gone(f"a value it refers to is gone: {error}") from error

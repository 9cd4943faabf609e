"""What the server and a worker say to each other: tasks down, reports up, as msgpack.

A worker never touches the journal. It gets one `Task`, runs the tool, writes large
results to the object store and answers with one `Report`. Frames are a 4-byte
little-endian length and then the struct.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runtime.data.product import Publish
from runtime.tools.task import Items, Task

__all__ = ["Items", "Publish", "Report", "Task"]


class Report(msgspec.Struct, frozen=True):
    """How it went. ``fault`` has the fields of `runtime.run.events.Fault`.

    ``result`` is JSON or a reference. ``published`` has the fields of
    ``ProductPublished`` less step; ``checks`` those of a failed contract.
    """

    slot: int
    attempt: str
    outcome: str
    run_s: float = 0.0
    cpu_s: float = 0.0
    rss_peak: int = 0
    rows_in: int = 0
    rows_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    result: Any = None
    fault: dict[str, Any] | None = None
    stdout: str = ""
    spend_usd: float = 0.0
    environment: str = ""
    published: dict[str, Any] | None = None
    checks: list[Any] | None = None

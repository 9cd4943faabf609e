"""What the server and a worker say to each other: tasks down, reports up, as msgpack.

A worker never touches the journal. For each `Task` it runs the tool, writes large results
to the object store and answers with one `Report`, in order. A report is a 4-byte
little-endian length and then the struct. A task's length is followed by one byte, its
*generation*, and before the worker begins it it takes one byte from the pipe of tickets:
none there, or one of another generation, and the task was taken back. Between reports a
worker may tell of progress: a length of `ASIDE` and more, and then a `Progress`.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec

from runtime.data.product import Publish
from runtime.tools.task import Items, Task

__all__ = [
    "ASIDE", "FRAME", "HEADER", "LONGEST_ASIDE", "MOST_TICKETS", "Items", "Progress",
    "Publish", "Report", "Task",
]  # fmt: skip

FRAME: Final = struct.Struct("<IB")
"""Before a task: its length and its generation."""
MOST_TICKETS: Final = 128
"""How many tasks a worker may have at once."""


HEADER: Final = 4
"""Bytes of the length before a report."""
ASIDE: Final = 1 << 31
"""Added to the length of a message that is no report."""
LONGEST_ASIDE: Final = 4096
"""Bytes that a word of progress may have; a longer one is a broken worker's."""


class Progress(msgspec.Struct, frozen=True):
    """How far the running task is: ``done`` of ``total``, and a few words."""

    slot: int
    done: float | None = None
    total: float | None = None
    note: str = ""
    at: float = 0.0
    waits: bool = False
    """It waits for room on the disk, and its time does not run."""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """How it went. ``fault`` has the fields of `runtime.run.events.Fault`.

    ``outcome`` is one of the events' outcomes, or ``stopped`` for a task that was ended
    because it was over a limit.

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
    tokens: int = 0
    calls: int = 0

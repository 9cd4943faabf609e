"""A pool: worker processes with slots, as the engine sees them.

The engine sends a task when a slot is free and hears back exactly once per task. A
worker that dies takes only its own attempt with it: the pool reports ``lost`` for it and
starts another process, slower each time when deaths come in a row. Tasks that are known
to be short may wait behind others in a worker; one that was not begun when its worker
dies, or when one ahead takes long after all, goes to another and nobody hears of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from runtime.workers.protocol import Report, Task

OnReport = Callable[[str, Report], None]
"""Called in the loop's thread with the worker's name and its report. Once per task."""


class Pool(Protocol):
    """Worker processes with slots."""

    name: str
    slots: int

    def start(self, loop: asyncio.AbstractEventLoop, on_report: OnReport) -> None:
        """Start the processes; their sockets are read on ``loop``."""
        ...

    def free(self) -> int:
        """How many tasks may be sent now."""
        ...

    def room(self, expect_s: float) -> bool:
        """Whether a task that should take so long may be sent, if need be behind others."""
        ...

    def send(self, task: Task, expect_s: float | None = None) -> str:
        """Give a task to a worker and return the worker's name. Needs ``free() > 0``.

        With ``expect_s`` it needs ``room(expect_s)``, may wait behind others that are as
        short, and goes with the next `flush`.
        """
        ...

    def flush(self) -> None:
        """Let go what was sent, one message a worker."""
        ...

    def kill(self, slot: int, outcome: str) -> None:
        """End that task's process; its report will carry ``outcome`` (timed_out, cancelled)."""
        ...

    def workers(self) -> list[dict[str, object]]:
        """One line a process: name, pid, state, attempt, since, restarts."""
        ...

    async def stop(self, grace_s: float = 2.0) -> None:
        """Let running tasks end within the grace, then end every process. Reports none after."""
        ...

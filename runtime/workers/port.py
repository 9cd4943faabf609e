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
from typing import Any, Protocol

from runtime.workers.protocol import Progress, Report, Task
from runtime.workers.seat import Verdict

OnReport = Callable[[str, Report], None]
"""Called in the loop's thread with the worker's name and its report. Once per task."""


class Pool(Protocol):
    """Worker processes with slots."""

    name: str
    slots: int

    def start(
        self, loop: asyncio.AbstractEventLoop, on_report: OnReport,
        on_room: Callable[[], None] = ...,
    ) -> None:  # fmt: skip
        """Start the processes; their sockets are read on ``loop``.

        ``on_room`` is called when a worker is there again after deaths or a pause.
        """
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

    def kill(self, slot: int, outcome: Verdict, told: str = "") -> None:
        """End that task's process; its report will carry ``outcome``, and why as ``told``."""
        ...

    def workers(self) -> list[dict[str, object]]:
        """One line a process: name, pid, state, attempt, since, restarts."""
        ...

    def said(self) -> dict[str, Progress]:
        """What running tasks told of their progress last, by attempt."""
        ...

    def health(self) -> dict[str, Any]:
        """Whether the pool works or pauses: name, state, for_s, deaths, pauses, last_death."""
        ...

    async def stop(self, grace_s: float = 2.0) -> None:
        """Let running tasks end within the grace, then end every process. Reports none after."""
        ...

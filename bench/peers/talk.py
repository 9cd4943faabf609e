"""What every peer's program does: start, say that it is ready, and do the jobs it is asked for.

It reads ``fan 1000`` or ``chain 200`` from its input, does that, and prints the seconds it
took. It imports the standard library alone, since it runs in the peers' environment.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable

Job = Callable[[int], Awaitable[int]]
WARM = 10


async def serve(jobs: dict[str, Job]) -> None:
    """Do each job once to warm up, then whatever is asked for until the input ends."""
    for job in jobs.values():
        await job(WARM)
    _say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, size = line.split()
        began = time.perf_counter()
        await jobs[name](int(size))
        _say(repr(time.perf_counter() - began))


def _say(text: str) -> None:
    print("@", text, flush=True)  # the one who asks reads it

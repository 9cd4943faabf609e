"""Signals that end a long command: the first drains, the second ends at once.

Draining means: nothing new is begun, what runs is given the grace (`server.grace_s`),
the journal is flushed. What is cut off then is taken up at the next start and blamed on
nobody. A second signal ends the process where it stands, as `kill -9` would; the journal
is made for that.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM)


def exit_code(number: int) -> int:
    """What a command exits with that a signal has ended: 130 or 143."""
    return 128 + number


def on_signals(drain: Callable[[int], object]) -> None:
    """Call ``drain`` with the first signal's number; end at once with the second.

    To be called in the loop.
    """
    seen: list[int] = []

    def heard(number: int) -> None:
        seen.append(number)
        if len(seen) > 1:
            os._exit(exit_code(number))
        drain(number)

    for number in ENDING:
        asyncio.get_running_loop().add_signal_handler(number, heard, number)

"""Room on the disk: what a worker has to keep waits for it, and is not tried again.

A result that cannot be written because the disk is full is no failure of the step: its
work is done, and done again it would meet the same disk. So the worker keeps the value,
says that it waits, and writes again until there is room. Its timeout waits as well.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Final, TypeVar

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
AGAIN_S: Final = 0.5

T = TypeVar("T")


class Room:
    """Writes when there is room; ``waits`` is called before each pause."""

    def __init__(self, waits: Callable[[str], None], pause_s: float = AGAIN_S) -> None:
        self._waits, self._pause_s = waits, pause_s

    def keep(self, write: Callable[[], T]) -> T:
        """Do what writes to the disk, again and again while that is full."""
        while True:
            try:
                return write()
            except OSError as error:
                if error.errno not in FULL:
                    raise
                self._waits(f"waits for room on the disk: {error.strerror or error}")
            time.sleep(self._pause_s)


def at_once(write: Callable[[], T]) -> T:
    """Do it, and do not wait."""
    return write()

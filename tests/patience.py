"""Waiting in a test: look until something is there, however busy the machine is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any


def until(
    look: Callable[[], Any], what: str = "it did not happen in time", within_s: float = 240.0
) -> Any:
    """Look until there is something, and return it; ``what`` is said when it never came."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.02)
    return found

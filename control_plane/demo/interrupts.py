"""Ctrl-C for the demo: no interrupt is lost on the way from the handler to the end.

A signal handler's exception is raised wherever the main thread happens to be. In a
finalizer, or in one of the callbacks that run around a fork, nobody can catch it: Python
prints it as ignored and goes on, and the person who pressed Ctrl-C waits in vain. So an
interrupt is held back while a process is started, and one that was swallowed comes again.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

AGAIN_S: Final = 0.01
"""Until a swallowed interrupt is raised again: by then the finalizer has returned."""

_held: list[list[int]] = []


def listen() -> None:
    """Raise KeyboardInterrupt on SIGINT and SIGTERM, again when it was swallowed."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have had SIGINT ignored
        signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    sys.unraisablehook = _swallowed


@contextmanager
def held() -> Iterator[None]:
    """Hold interrupts back; at the close, raise what came."""
    came: list[int] = []
    _held.append(came)
    try:
        yield
    finally:
        _held.pop()
        if came:
            raise KeyboardInterrupt


def _interrupt(signum: int, frame: FrameType | None) -> None:
    if not _held:
        raise KeyboardInterrupt
    _held[-1].append(signum)


def _swallowed(unraisable: sys.UnraisableHookArgs) -> None:
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    else:
        sys.__unraisablehook__(unraisable)

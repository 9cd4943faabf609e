"""Work that runs elsewhere for an attempt, and how it is cancelled there.

An attempt that is cancelled or over its time gets SIGTERM, which ends a worker at once,
unless it says what is to be cancelled first::

    with cancelling(lambda: ask_the_server_to_stop(query)):
        run(query)

Then that is called, in a thread of its own since the tool is waiting for an answer, and the
process ends. It has as long as the template waits before SIGKILL (`runtime.kernel.GRACE_S`).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

_ENDED: Final = 128 + signal.SIGTERM
_DONE: Final = b"\0"


@contextmanager
def cancelling(cancel: Callable[[], None]) -> Iterator[None]:
    """While the block runs, to be ended means: call ``cancel``, then end.

    Outside a process's main thread, where no signal arrives, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard, wake = os.pipe()
    os.set_blocking(wake, False)
    watch = threading.Thread(target=_watch, args=(heard, cancel), daemon=True)
    watch.start()
    old_wake = signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    # Only while the watch is told is a signal taken from the process: none is lost between.
    old_handler = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, old_handler)
        signal.set_wakeup_fd(old_wake)
        os.write(wake, _DONE)
        watch.join()  # for ever, when it is ending the process
        os.close(wake)
        os.close(heard)


def _watch(heard: int, cancel: Callable[[], None]) -> None:
    """Wait for the end of the block or of the process, whichever comes first."""
    while True:
        for number in os.read(heard, 64):
            if number == signal.SIGTERM:
                with suppress(Exception):  # the process ends, whatever the server says
                    cancel()
                os._exit(_ENDED)
            if number == _DONE[0]:
                return

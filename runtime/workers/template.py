"""The template: a small process that has imported everything and forks the workers.

It has one thread and no state worth keeping, so a fork of it is safe and takes half a
millisecond. The pool sends it sockets; each becomes a worker. It reaps what ends, ends
with it every process that belonged to it, and tells the pool. When the pool's socket
ends, or the kernel says that the server died, it takes everything down with it.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Final

from runtime import kernel
from runtime.tools import python as _python
from runtime.workers import cage
from runtime.workers.cage import Cage
from runtime.workers.environment import environment
from runtime.workers.loop import Setting, serve
from runtime.workers.orders import DOWN, NO_PROCESS, SPAWN, UP, UP_ENDED, UP_RUNS

IMPORTED: Final = (_python,)
"""What workers would otherwise each import for themselves."""


class Template:
    """Forks workers and buries them."""

    def __init__(self, control: socket.socket, setting: Setting) -> None:
        self._control = control
        self._setting = setting
        self._pids: dict[int, int] = {}
        self._cages: dict[int, Cage] = {}
        self._asked: dict[int, float] = {}
        """Workers that were asked to end → until when they may."""
        self._told_to_end = False
        self._buffer = bytearray()
        self._sockets: list[int] = []
        self._wake, wake = socket.socketpair()
        self._wake.setblocking(False)
        wake.setblocking(False)
        self._wake_end = wake

    def run(self) -> None:
        """Serve the pool until it is gone; then end every worker."""
        signal.signal(signal.SIGCHLD, _noted)
        signal.signal(signal.SIGTERM, self._stop)
        signal.set_wakeup_fd(self._wake_end.fileno(), warn_on_full_buffer=False)
        try:
            with suppress(ConnectionError):  # the pool went in the middle of a word
                self._serve()
        finally:
            for pid in self._pids:
                self._end(pid)
            kernel.end_children()
            for caged in self._cages.values():
                caged.remove()

    def close(self) -> None:
        """Let go of what is the template's own."""
        for mine in (self._control, self._wake, self._wake_end):
            mine.close()
        while self._sockets:
            os.close(self._sockets.pop())

    def _stop(self, sig: int, frame: FrameType | None) -> None:
        """End at the next look: an exception could fall into a fork or the clearing away."""
        self._told_to_end = True

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while not self._told_to_end:
            for fd, _ in poll.poll(self._kill_late()):
                if fd == self._wake.fileno():
                    self._wake.recv(4096)
                    self._reap()
                elif not self._hear():
                    return

    def _hear(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._control, 4096, 16)
        for fd in fds:
            os.set_inheritable(fd, False)
            self._sockets.append(fd)
        self._buffer += data
        while len(self._buffer) >= DOWN.size:
            what, number = DOWN.unpack_from(self._buffer)
            del self._buffer[: DOWN.size]
            if what == SPAWN:
                sock, tickets = self._sockets.pop(0), self._sockets.pop(0)
                self._spawn(number, socket.socket(fileno=sock), tickets)
            else:
                self._kill(number)
        return bool(data)

    def _spawn(self, number: int, sock: socket.socket, tickets: int) -> None:
        own = cage.build(number)
        try:
            pid = os.fork()
        except OSError:  # no process to be had now: the pool tries again, more slowly
            own.remove()
            sock.close()
            os.close(tickets)
            self._control.sendall(UP.pack(UP_ENDED, number, NO_PROCESS))
            return
        if pid == 0:
            self._become_worker(sock, tickets, own)
        sock.close()
        os.close(tickets)
        self._pids[pid], self._cages[pid] = number, own
        self._control.sendall(UP.pack(UP_RUNS, number, pid))

    def _become_worker(self, sock: socket.socket, tickets: int, own: Cage) -> None:
        """Be the worker on this socket until it ends. Never returns."""
        code, said = 1, os.dup(2)
        try:
            parent = os.getppid()
            os.setsid()
            own.enter()
            if not own.holds:
                cage.limit_user()
            kernel.die_with_parent()
            kernel.adopt_orphans()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self.close()
            with suppress(ConnectionError):  # the pool closed while we spoke
                if os.getppid() == parent and not self._told_to_end:
                    serve(sock, tickets, self._setting, own)
            code = 0
        finally:
            if code:
                os.dup2(said, 2)
                sys.stderr = sys.__stderr__
                sys.excepthook(*sys.exc_info())
            os._exit(code)

    def _kill(self, number: int) -> None:
        """End a worker: at once, unless its tool first cancels what runs elsewhere for it."""
        for pid, known in self._pids.items():
            if known == number:
                kernel.ask_to_end(pid)
                self._asked[pid] = time.monotonic() + kernel.GRACE_S

    def _kill_late(self) -> int | None:
        """Kill what was asked to end and does not; when to look again, in milliseconds."""
        now = time.monotonic()
        for pid, due in self._asked.items():
            if due <= now:
                self._end(pid)
        left = [due - now for due in self._asked.values() if due > now]
        return int(min(left) * 1000) + 1 if left else None

    def _end(self, pid: int) -> None:
        """Kill a worker first: one that meets its shut cage would tell of that as a fault."""
        kernel.kill(pid)
        self._cages[pid].kill()
        kernel.kill_group(pid)

    def _reap(self) -> None:
        """Bury every child that ended; with a worker, all that it started."""
        while kernel.has_children():
            pid = _first_dead()
            if pid is None:
                return
            if pid in self._pids:
                kernel.kill_group(pid)  # before the reaping: until then the id is its own
            _, status = os.waitpid(pid, 0)
            if pid in self._pids:
                number, own = self._pids.pop(pid), self._cages.pop(pid)
                own.kill()
                self._asked.pop(pid, None)
                kernel.end_children(keep=self._pids)
                own.remove()
                self._control.sendall(UP.pack(UP_ENDED, number, status))


def _first_dead() -> int | None:
    found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return found.si_pid if found is not None else None


def _noted(sig: int, frame: FrameType | None) -> None:
    """A child ended; the wake-up descriptor carries the news."""


def main(fd: int, parent: int) -> None:
    """Be the template of the pool at the other end of ``fd``."""
    kernel.die_with_parent(signal.SIGTERM)
    kernel.adopt_orphans()
    sys.dont_write_bytecode = True
    os.set_inheritable(fd, False)
    template = Template(socket.socket(fileno=fd), Setting(environment()))
    cage.sweep()
    gc.collect()
    gc.freeze()
    if os.getppid() == parent:
        template.run()

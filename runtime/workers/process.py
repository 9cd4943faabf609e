"""The template as the pool holds it: a process, and a socket to it.

It is our own interpreter, started with the server's environment less what is the
server's own, in a session of its own, and with no descriptor but its socket and the
server's standard output and error.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from typing import Final

from runtime import kernel
from runtime.tools.variables import SECRET_PREFIX, SQL_FOLDERS
from runtime.workers.orders import UP

MARK: Final = "TRIMTAB_POOL"
"""Every process below a template carries this in its environment, whoever adopts it."""
_BOOT: Final = """\
import json, sys
path, fd, parent = json.loads(sys.argv[1])
sys.path[:] = path
from runtime.workers.template import main
main(fd, parent)
"""


class TemplateProcess:
    """The template and what there is to say to it and to hear from it."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair()
        self.mark = secrets.token_hex(16)
        args = json.dumps([sys.path, theirs.fileno(), os.getpid()])
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-c", _BOOT, args],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env={**_environment(), MARK: self.mark},
            start_new_session=True,
        )
        theirs.close()
        self._buffer = bytearray()

    def send(self, data: bytes, *fds: int) -> None:
        try:
            socket.send_fds(self.control, [data], fds)
        except OSError:
            return  # it is dead; the pool hears that from the socket's other direction

    def receive(self) -> list[tuple[bytes, int, int]] | None:
        """The messages that came; None when it is dead."""
        try:
            data = self.control.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            return None
        self._buffer += data
        whole = len(self._buffer) // UP.size * UP.size
        messages = list(UP.iter_unpack(bytes(self._buffer[:whole])))
        del self._buffer[:whole]
        return messages

    def bury(self) -> None:
        """Reap it after it died, and end whatever it and its workers started."""
        self.control.close()
        self._process.kill()
        self._process.wait()
        kernel.end_marked(f"{MARK}={self.mark}")

    async def end(self) -> None:
        """Let it take its workers down and go; kill it when that takes too long."""
        import asyncio

        self.control.close()
        wait = asyncio.get_running_loop().run_in_executor(None, self._process.wait)
        try:
            await asyncio.wait_for(asyncio.shield(wait), 5)
        except TimeoutError:
            self._process.kill()
            await wait


def _environment() -> dict[str, str]:
    """The server's environment without what is the server's own."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRIMTAB_") or name.startswith((SECRET_PREFIX, SQL_FOLDERS))
    }

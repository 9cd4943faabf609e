"""What the pool and its template say to each other, as bytes.

Down: ``s`` number (a socket and the pipe of tickets come along), ``k`` number. Up: ``u``
number, pid (it runs); ``x`` number, wait status (it is gone, and so is all it started).
"""

from __future__ import annotations

import struct
from typing import Final

DOWN: Final = struct.Struct("<cI")
UP: Final = struct.Struct("<cIi")
SPAWN: Final = b"s"
KILL: Final = b"k"
UP_RUNS: Final = b"u"
UP_ENDED: Final = b"x"
NO_PROCESS: Final = 71 << 8
"""The wait status of a worker that could not be made: exit code 71, EX_OSERR."""

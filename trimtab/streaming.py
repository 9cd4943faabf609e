"""Answers that are read as they arrive: server-sent events, and bytes as a file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any


class Body(io.RawIOBase):
    """The pieces of an answer as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        taken = min(len(into), len(self._rest))
        into[:taken], self._rest = self._rest[:taken], self._rest[taken:]
        return taken


def messages(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield the kind and data of each server-sent event."""
    kind, data = "", []
    for line in lines:
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            data.append(line[6:])
        elif not line and data:
            yield kind, "\n".join(data)
            kind, data = "", []

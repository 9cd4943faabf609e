"""Plain words for faults: what people say when they mean an error that says it otherwise.

Whoever looks for a cause rarely knows its exception: they ask for "ran out of disk", the error
says ``OSError: [Errno 28] No space left on device``. So beside its own words a fault is found
by a `gloss`: a few plain sentences for each well-known kind of error, of Python, the shell,
HTTP and SQL. The first sentence names the kind where causes are grouped.

>>> name_of("ConnectError: [Errno 111] Connection refused")
'connection refused'
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

_TABLE: Final = Path(__file__).with_name("wording.txt")
"""Two lines a kind: its name and the pattern of its errors, then its plain words."""


def _read() -> list[tuple[str, re.Pattern[str], str]]:
    lines = _TABLE.read_text("utf-8").strip().splitlines()
    read = []
    for head, said in zip(lines[::2], lines[1::2], strict=True):
        name, _, pattern = head.partition(" | ")
        read.append((name, re.compile(pattern, re.IGNORECASE), said.removeprefix(": ")))
    return read


_KINDS: Final = tuple(_read())
MOST: Final = 2
"""An error is of so many kinds at most: the first that fit."""


@lru_cache(maxsize=20_000)
def gloss(text: str) -> str:
    """Return plain words for the error that a text tells of; empty for one nobody knows."""
    found = [f"{name}: {said}" for name, pattern, said in _KINDS if pattern.search(text)]
    return ". ".join(found[:MOST])


@lru_cache(maxsize=20_000)
def name_of(text: str) -> str:
    """Return the name of the kind of error that a text tells of; empty for an unknown one."""
    return next((name for name, pattern, _ in _KINDS if pattern.search(text)), "")

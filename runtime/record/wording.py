"""Plain words for faults: what people say when they mean an error that says it otherwise.

Whoever looks for a cause rarely knows its exception: they ask for "ran out of disk", the error
says ``OSError: [Errno 28] No space left on device``. So for each well-known kind of error, of
Python, the shell, HTTP, SQL and what stands around them, ``wording.txt`` holds how to know it,
what it means in plain words (its `gloss`), and how people complain of it. By the gloss a fault is
found; by the complaints a question is read (`runtime.record.reading`).

>>> name_of("ConnectError: [Errno 111] Connection refused")
'connection refused'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

_TABLE: Final = Path(__file__).with_name("wording.txt")
MOST: Final = 2
"""An error is of so many kinds at most: the first that fit."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of error: ``errors`` are examples of what its pattern knows."""

    name: str
    pattern: re.Pattern[str]
    gloss: str
    complaints: tuple[str, ...]
    errors: tuple[str, ...]


@cache
def catalogue() -> tuple[Kind, ...]:
    """Return all kinds, in the order in which they are tried."""
    return tuple(_kind(block) for block in _TABLE.read_text("utf-8").strip().split("\n\n"))


def _kind(block: str) -> Kind:
    head, *lines = block.splitlines()
    name, _, pattern = head.partition(" | ")
    said: dict[str, list[str]] = {": ": [], "- ": [], "= ": []}
    for line in lines:
        said[line[:2]].append(line[2:])
    (gloss,), complaints, errors = said.values()
    return Kind(
        name, re.compile(pattern, re.IGNORECASE), f"{name}: {gloss}", tuple(complaints),
        tuple(errors),
    )  # fmt: skip


@lru_cache(maxsize=20_000)
def kinds_of(text: str) -> tuple[str, ...]:
    """Return the names of the kinds of error that a text tells of; empty when nobody knows it."""
    found: list[str] = []
    for kind in catalogue():
        if kind.pattern.search(text):
            found.append(kind.name)
            if len(found) == MOST:
                break
    return tuple(found)


@lru_cache(maxsize=20_000)
def gloss(text: str) -> str:
    """Return plain words for the error that a text tells of; empty for one nobody knows."""
    return ". ".join(_glosses()[name] for name in kinds_of(text))


def name_of(text: str) -> str:
    """Return the name of the kind of error that a text tells of; empty for an unknown one."""
    return next(iter(kinds_of(text)), "")


@cache
def _glosses() -> dict[str, str]:
    return {kind.name: kind.gloss for kind in catalogue()}

"""What one attempt may take, where its step does not say otherwise."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

SHARE: Final = 0.75
"""How much of the machine's memory one attempt may hold at most, unless it is set."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of an attempt: memory and processes, its worker's own included, and the result's size."""

    memory_bytes: int | None = None
    output_bytes: int = 1 << 30
    processes: int = 256


def share_of_memory() -> int:
    """The bytes that one attempt may hold on this machine."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(SHARE * whole)

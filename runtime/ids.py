"""Identities: made here, from a time and chance that are handed in.

A run id is 32 hex characters that sort by time of birth: 12 of milliseconds since the
epoch, 20 of chance. Attempt ids say what they are a try of.
"""

from __future__ import annotations

from typing import Final

STEP_BATCH: Final = -1
"""The batch of an attempt whose step is not an ``each``."""


def new_id(at: float, chance: int) -> str:
    """Return a new run id; ``at`` is seconds since the epoch, ``chance`` 80 random bits.

    >>> new_id(1.5, 255)
    '0000000005dc000000000000000000ff'
    """
    return f"{int(at * 1000):012x}{chance:020x}"


def idempotency_key(run: str, step: str, batch: int) -> str:
    """Return the key that all tries of one piece of work share.

    >>> idempotency_key("0a", "load", STEP_BATCH)
    '0a/load/-1'
    """
    return f"{run}/{step}/{batch}"


def run_stream(run: str) -> str:
    """Return the name of a run's stream."""
    return f"run/{run}"

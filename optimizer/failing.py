"""Which value of a knob fails clearly more often than the stable one, in words."""

from __future__ import annotations

from typing import Final

from optimizer.evidence import Value
from optimizer.models import failures

SURE: Final = 0.95
"""How likely it must be that a value fails more often before it is said to."""


def fails_more(value: Value, base: Value, margin: float) -> str:
    """Say how often a value's first tries fail, where that is clearly more than the base's."""
    fails = failures.worse(value.retried, value.batches, base.retried, base.batches, margin)
    if fails < SURE:
        return ""
    share = value.retried / value.batches
    return f"{share:.0%} of its batches failed at first ({value.batches} seen)"

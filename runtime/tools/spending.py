"""Spending: what an attempt cost beside its slot, told by the code that paid it.

::

    from trimtab import spend

    answer = client.complete(prompt)
    spend(usd=0.002, tokens=answer.usage.total_tokens, calls=1)

It adds up over an attempt, is in its ``attempt.finished``, and its dollars in its cost.
Outside a worker it does nothing.
"""

from __future__ import annotations

import math
from typing import Protocol


class Teller(Protocol):
    """Takes what was spent."""

    def __call__(self, usd: float = 0.0, *, tokens: int = 0, calls: int = 0) -> None: ...


_tell: Teller | None = None


def spend(usd: float = 0.0, *, tokens: int = 0, calls: int = 0) -> None:
    """Add to what this attempt spent: dollars, tokens of a model, calls of a service.

    Raises:
        ValueError: one of them is below nothing, or no number.
    """
    if not (math.isfinite(usd) and usd >= 0 and tokens >= 0 and calls >= 0):
        raise ValueError(f"nothing is earned here: spend({usd}, tokens={tokens}, calls={calls})")
    if _tell is not None:
        _tell(usd, tokens=tokens, calls=calls)


def told_to(tell: Teller | None) -> None:
    """Have spending told to this from now on; None for nobody."""
    global _tell
    _tell = tell

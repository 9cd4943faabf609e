"""A retry budget: what share of a step's first tries may be followed by further ones.

When everything fails, each try that is made again adds to the load that keeps it failing
(Google, "Site Reliability Engineering", 2016, chapters 21 and 22; Finagle's RetryBudget;
gRPC's retry throttling). So each first try that ends earns a part of a token, a retry
costs one, and without one it is not made. A bucket begins empty, and what it may hold is
paid for by earning less: the share is kept over any `WINDOW` first tries, a full bucket
included.

>>> budget = Budget()
>>> [budget.ended(0.5, first=True, wants=True) for _ in range(3)]
[False, False, True]
>>> budget.told(0.5)
'the budget of 50% is spent; 3 first tries, 1 retry lately'
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

WINDOW: Final = 1000
"""First tries in a row over which no more than the share is tried again."""
HELD: Final = 0.1
"""How much of what a window allows may be saved up and spent at once."""
_SLACK: Final = 1e-9
"""Ten tenths are a token, whatever the sum of their floats."""
_NOTE: Final = "(no retry: "


def earned(share: float) -> float:
    """Return the part of a token that a first try earns.

    >>> earned(0.5)
    0.45
    """
    return share * (1.0 - HELD)


def burst(share: float) -> float:
    """Return how many tokens may be held; one, for a share so small that it is a longer window's.

    >>> burst(0.5), burst(0.001)
    (50.0, 1.0)
    """
    return max(share * HELD * WINDOW, 1.0)


def with_note(message: str, why: str) -> str:
    """Return what a fault says, with why it is not tried again.

    >>> with_note("no luck", "the budget is spent")
    'no luck (no retry: the budget is spent)'
    """
    return f"{message} {_NOTE}{why})".lstrip()


def without_note(message: str) -> str:
    """Return what the fault said before.

    >>> without_note("no luck (no retry: the budget is spent)")
    'no luck'
    """
    return message.partition(_NOTE)[0].rstrip() if _NOTE in message else message


@dataclass(slots=True)
class Budget:
    """The tokens of one step, with what was tried lately: in one to two windows."""

    tokens: float = 0.0
    now: list[int] = field(default_factory=lambda: [0, 0])
    before: tuple[int, int] = (0, 0)

    def ended(self, share: float, *, first: bool, wants: bool) -> bool:
        """Take in a try that ended; whether it may be tried again, if it ``wants`` to be."""
        self.tokens = min(self.tokens + (earned(share) if first else 0.0), burst(share))
        if first:
            self._count()
        if not wants or self.tokens < 1.0 - _SLACK:
            return False
        self.tokens -= 1.0
        self.now[1] += 1
        return True

    def told(self, share: float) -> str:
        """Say why there is no retry."""
        first, again = (now + before for now, before in zip(self.now, self.before, strict=True))
        tries = "try" if first == 1 else "tries"
        retries = "retry" if again == 1 else "retries"
        spent = f"the budget of {share * 100:.10g}% is spent"
        return f"{spent}; {first} first {tries}, {again} {retries} lately"

    def _count(self) -> None:
        if self.now[0] == WINDOW:
            self.before, self.now = (self.now[0], self.now[1]), [0, 0]
        self.now[0] += 1

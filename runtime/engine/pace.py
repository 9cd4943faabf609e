"""Pace: how long the tries of a step take, as measured, and whether that is short.

Short tries may wait behind one another in a worker, so that one message carries many. A
step is taken to be long until two of its tries have shown otherwise, and whenever one
was lost or ran out of time; a single slow one is remembered for a while.

>>> pace = Pace()
>>> pace.expect_s, pace.took(0.001), pace.took(0.001), pace.expect_s
(None, None, None, 0.001)
>>> pace.took(0.02), pace.expect_s, pace.failed_hard(), pace.known
(None, None, None, 0)
"""

from __future__ import annotations

from typing import Final

SHORT_S: Final = 0.003
"""Tries that take longer than this are never put behind others."""
_LEAST_S: Final = 0.00005
"""What any try costs a worker, however little it does."""
_ENOUGH: Final = 2
_FORGET: Final = 0.9


class Pace:
    """The measured time of one step's tries; slow ones weigh at once, quick ones slowly."""

    __slots__ = ("expect_s", "known", "run_s")

    def __init__(self) -> None:
        self.known, self.run_s = 0, 0.0
        self.expect_s: float | None = None
        """How long the next should take, when that is short; else None."""

    def took(self, run_s: float) -> None:
        """A try ran for so long."""
        self.known += 1
        slower = run_s >= self.run_s
        self.run_s = run_s if slower else self.run_s * _FORGET + run_s * (1 - _FORGET)
        short = self.known >= _ENOUGH and self.run_s <= SHORT_S
        self.expect_s = max(self.run_s, _LEAST_S) if short else None

    def failed_hard(self) -> None:
        """A try was lost or ended from outside: nothing is known of the next."""
        self.known, self.run_s, self.expect_s = 0, 0.0, None

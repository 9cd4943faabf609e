"""Pace: how long the tries of a step take, as measured, and whether that is short.

Short tries may wait behind one another in a worker, so that one message carries many. A
step is taken to be long until two of its tries have shown otherwise, and whenever one
was lost or ran out of time. A very slow one is remembered for a while; one that was only
held up by a busy machine is not.

>>> pace = Pace()
>>> pace.expect_s, pace.took(0.001), pace.took(0.001), pace.expect_s
(None, None, None, 0.001)
>>> pace.took(0.1), pace.expect_s, pace.failed_hard(), pace.known
(None, None, None, 0)
"""

from __future__ import annotations

from typing import Final

SHORT_S: Final = 0.003
"""Tries that take longer than this are never put behind others."""
_LEAST_S: Final = 0.00005
"""What any try costs a worker, however little it does."""
_ENOUGH: Final = 2
_WEIGHT: Final = 0.2
"""How much the newest counts."""


class Pace:
    """The measured time of one step's tries, the newer the more it counts."""

    __slots__ = ("expect_s", "known", "run_s")

    def __init__(self) -> None:
        self.known, self.run_s = 0, 0.0
        self.expect_s: float | None = None
        """How long the next should take, when that is short; else None."""

    def took(self, run_s: float) -> None:
        """A try ran for so long."""
        self.known += 1
        self.run_s += (run_s - self.run_s) * (_WEIGHT if self.known > 1 else 1.0)
        short = self.known >= _ENOUGH and self.run_s <= SHORT_S
        self.expect_s = max(self.run_s, _LEAST_S) if short else None

    def failed_hard(self) -> None:
        """A try was lost or ended from outside: nothing is known of the next."""
        self.known, self.run_s, self.expect_s = 0, 0.0, None

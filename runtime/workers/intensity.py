"""Restart intensity: how fast a pool's processes die, and when that is a reason to wait.

A process that dies is replaced at once, and a seat whose processes die in a row waits
longer each time. When deaths come from all over the pool with no success between them,
something is wrong with the pool and not with one seat: no room for a process, a library
that is broken, a machine without memory. Then the whole pool pauses, longer each time,
until one success says that it is well. A step that kills its workers is another matter
(`runtime.engine.poison`): of its deaths only a few count here, so it stops no pool.

>>> pool = Intensity(most=3)
>>> [pool.died(0.1 * n, "", "no memory") for n in range(4)]
[0.0, 0.0, 1.0, 0.0]
>>> [pool.died(n, "a step", "exit code 1") for n in range(9)] == [0.0] * 9
True
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

WITHIN_S: Final = 30.0
SAME: Final = 3
"""So many deaths under one piece of work count, and no more: the rest are that work's."""
AGAIN: Final = SAME + 1
"""So many deaths after a pause lead to the next one."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0


class Intensity:
    """The deaths of a pool's processes since its last success."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._deaths: deque[tuple[float, str]] = deque()
        self.pauses = 0
        self.told = ""
        """How the last of them died, in words."""

    @property
    def unwell(self) -> bool:
        """Whether anything died since the last success."""
        return bool(self._deaths) or self.pauses > 0

    @property
    def deaths(self) -> int:
        """How many deaths count now."""
        per_work = Counter(work for _, work in self._deaths)
        return sum(n if not work else min(n, SAME) for work, n in per_work.items())

    def died(self, at: float, work: str, told: str) -> float:
        """Note a death; returns for how many seconds the pool is to pause, 0 for not at all.

        ``work`` names what the process was at, so that one step's deaths are known as its.
        """
        self.told = told
        self._deaths.append((at, work))
        while self._deaths[0][0] < at - WITHIN_S:
            self._deaths.popleft()
        if self.deaths < (AGAIN if self.pauses else self._most):
            return 0.0
        self._deaths.clear()
        self.pauses += 1
        return min(FIRST_PAUSE_S * 2.0 ** min(self.pauses - 1, 30), LONGEST_PAUSE_S)

    def well(self) -> None:
        """A task was done: what died before is forgiven."""
        self._deaths.clear()
        self.pauses, self.told = 0, ""

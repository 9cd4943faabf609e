"""Again: how long the tries take that come after a long one.

Giving a try up pays only where the next one is as lucky as any. Where it ends the worker, the
next may begin on a cold one and take longer, the more so the more often workers end; that
shows under a short timeout alone. So a value is judged by the second tries that were made
under the timeout nearest to it: history's, or those of a trial of this knob. Beyond the
timeout of a trial nobody saw its tries end; there they are taken to go on as history's do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.finding import Asked
from optimizer.tries import Tries

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

PAIRS: Final = 5
"""Second tries after a long one, from which on they speak."""
CUT: Final = 1.0 - 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Tries in pairs, one after the other."""

    first: Array
    then: Array

    def after(self, long_s: float) -> Array:
        """Return the seconds of tries whose forerunner took that long."""
        return np.asarray(self.then[self.first >= long_s * CUT])


@dataclass(frozen=True, slots=True)
class Seen:
    """How often tries are long, how often those after a long one are, and of how many.

    ``timeout`` is that of the trial which showed it, None for history.
    """

    usual: float
    again: float
    pairs: int
    timeout: float | None = None

    @property
    def clearly(self) -> bool:
        """Whether second tries are long more often than chance would make them."""
        noise = math.sqrt(self.usual * (1.0 - self.usual) / max(self.pairs, 1))
        return self.pairs >= PAIRS and self.again - self.usual > 2.0 * noise

    @property
    def stays(self) -> bool | None:
        """Whether work that was long once is long far more often; None of too few."""
        if self.pairs < PAIRS:
            return None
        noise = math.sqrt(self.usual * (1.0 - self.usual) / self.pairs + 0.01)
        return bool(self.again - self.usual > 2.0 * noise)


@dataclass(frozen=True, slots=True, eq=False)
class Again:
    """Second tries of history, and of trials, each under a timeout of its own."""

    seconds: Array
    history: Pairs
    trials: tuple[tuple[float, Pairs], ...]
    stable: float

    @classmethod
    def of(cls, asked: Asked, tries: Tries) -> Again:
        """Return what history and the trials of the knob asked about have seen."""
        whole = tries.where((tries.error != "cancelled") & ~tries.beside)
        longest = float(whole.seconds.max()) if len(whole) else 1.0
        stable = asked.stable if isinstance(asked.stable, int | float) else longest
        return cls(whole.seconds, _pairs(tries), tuple(_tried(asked, tries)), float(stable))

    def at(self, long_s: float) -> Seen:
        """Return what was seen of tries that follow one of ``long_s`` or longer."""
        usual = float((self.seconds >= long_s).mean())
        own = _apart(self.stable, long_s)
        nearer = [one for one in self.trials if _apart(one[0], long_s) < own]
        for timeout, pairs in sorted(nearer, key=lambda one: _apart(one[0], long_s)):
            if (seen := self._in_a_trial(timeout, pairs, long_s, usual)) is not None:
                return seen
        after = self.history.after(long_s)
        again = float((after >= long_s).mean()) if len(after) else usual
        return Seen(usual, again, len(after))

    def _in_a_trial(
        self, timeout: float, pairs: Pairs, long_s: float, usual: float
    ) -> Seen | None:
        until = min(long_s, timeout)
        after = pairs.after(until)
        if len(after) < PAIRS:
            return None
        again = float((after >= until * CUT).mean())
        going = self.history.after(until)
        beyond = int((going >= until).sum())
        if long_s > until and beyond:
            again *= float((going >= long_s).sum()) / beyond
        return Seen(usual, again, len(after), timeout)


def _apart(one: float, other: float) -> float:
    return abs(math.log(one / other)) if one > 0.0 < other else math.inf


def _pairs(tries: Tries) -> Pairs:
    whole = tries.where((tries.error != "cancelled") & ~tries.beside)
    same = np.flatnonzero(np.diff(whole.unit) == 0)
    return Pairs(whole.seconds[same], whole.seconds[same + 1])


def _tried(asked: Asked, tries: Tries) -> Iterator[tuple[float, Pairs]]:
    """Yield each value that trials of this knob had, with its pairs in the current regime."""
    if tries.tried is None:
        return
    mine = tries.tried.where(np.isin(tries.tried.run, np.unique(asked.history.run)))
    for told in asked.scope.get("last") or ():
        for arm, value in _arms(told, asked.knob):
            yield value, _pairs(mine.where(mine.trial == arm))


def _arms(told: Mapping[str, Json], knob: str) -> Iterator[tuple[str, float]]:
    """Yield the arms of an earlier proposal that had another value of the knob, and the value."""
    experiment = "x-" + str(told.get("proposal", "")).removeprefix("p-")
    for line in told.get("diff") or ():
        if line["knob"] != knob:
            continue
        values = line.get("values")
        named = (
            [("candidate", line.get("to"))] if values is None
            else [(f"candidate.{n}", value) for n, value in enumerate(values, 1)]
        )  # fmt: skip
        yield from ((f"{experiment}/{a}", v) for a, v in named if isinstance(v, int | float))

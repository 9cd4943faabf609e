"""The study of ``timeout``: when it pays to give a try up and begin again.

Only where a try that has taken long will take longer still than a fresh one, by luck and
not by its work. A try given up is tried again as the step's retry says; work whose tries
are all given up fails, and that is counted. Where tries that followed a long one were long
too, the work is slow and not unlucky, and nothing is proposed.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import asdict
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.again import Again
from optimizer.cutting import Luck, best, few, settled
from optimizer.finding import Asked
from optimizer.guard import Limits, Reason
from optimizer.knobs import change_said
from optimizer.proposal import Candidate
from optimizer.tries import Tries

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

MOST_LOST: Final = 0.001
"""Share of work that may fail for good because its tries were given up."""


def study(
    asked: Asked, tries: Tries, limits: Limits, suppressed: Collection[str],
    rng: np.random.Generator,
) -> Candidate | Reason:  # fmt: skip
    """Return what history says of another timeout, or why it says nothing."""
    attempts = int(asked.values.get("retry.attempts", 1))
    if attempts < 2 or "timeout" not in asked.values.get("retry.on", ()):
        return asked.no("not_worthwhile", "a try that is given up would not be tried again")
    luck = Luck.of(tries, attempts, rng)
    if luck is None:
        return asked.no("too_little_history", few(len(tries)))
    low, high = asked.ends
    drawn, again = luck.seconds(luck.curve), Again.of(asked, tries)
    now = _lost(drawn, again, asked.stable)
    values = [
        v
        for v in luck.values()
        if low <= v <= high and _lost(drawn, again, v) <= max(MOST_LOST, now)
    ]
    shorter = [v for v in luck.values() if low <= v < (asked.stable or math.inf)]
    cut = f"under a shorter one over {MOST_LOST:.1%} of the work would have all its tries cut"
    all_cut = bool(shorter) and not any(v in values for v in shorter)
    if all_cut and not any(v != asked.stable for v in values):
        return asked.no("not_worthwhile", cut)
    unlucky = _unlucky(again, values)
    if unlucky is None:
        text = "work whose first try was long took long again: it is slow, not unlucky"
        return asked.no("not_worthwhile", text)

    def explain(value: float) -> tuple[str, dict[str, Json]]:
        lost = [now, _lost(drawn, again, value)]
        move = change_said({"knob": "timeout", "from": asked.stable, "to": value})
        text = f"{move}: {luck.curve.still(value):.1%} of tries are cut"
        return text, {"fail_for_good": lost, "second_tries": asdict(again.at(value))}

    answer = best(asked, luck, spent, unlucky, limits, suppressed, explain)
    if all_cut and isinstance(answer, Reason):
        return asked.no(answer.reason, f"{cut}; a longer one: {answer.text}")
    return answer


def spent(seconds: Array, timeout: float | None) -> Array:
    """Return the slot seconds of units whose tries are given up after ``timeout``."""
    if timeout is None:
        return settled(seconds)
    within = seconds <= timeout
    first = np.where(within.any(axis=1), within.argmax(axis=1), seconds.shape[1] - 1)
    last = np.minimum(seconds[np.arange(len(seconds)), first], timeout)
    return np.asarray(first * timeout + last)


def _lost(seconds: Array, again: Again, timeout: float | None) -> float:
    """The share of work all of whose tries are given up.

    Second tries may be long more often than first ones, where giving up ended the worker.
    """
    if timeout is None:
        return 0.0
    alike = float((seconds > timeout).all(axis=1).mean())
    first, seen = float((seconds[:, 0] > timeout).mean()), again.at(timeout)
    return first * seen.again ** (seconds.shape[1] - 1) if seen.clearly else alike


def _unlucky(again: Again, values: list[float]) -> list[float] | None:
    """Return the values beyond which work was unlucky and not slow; None where there is none.

    A second try may be somewhat longer than a first, on a worker that has just begun: then
    values beyond that are left, as far as second tries say so.
    """
    slow = {v: again.at(v).stays for v in values}
    if not any(slow.values()):
        return values
    return [v for v in values if slow[v] is False] or None

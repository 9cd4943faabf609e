"""The rows of the gate: what it proposes from history alone, and what stays after trials.

* **harm, catastrophes**: the share of proposals that are truly more than 5% worse; that fail
  or take more than twice as much. ``after_`` is the same of what stayed after the trials.
  These stand in for the loop's own, which are longer and are judged by `optimizer.verify`.
* **coverage**: the share of steps with 10% or more to be had that get a proposal.
* **capture**: what is truly saved as a share of what the best setting would save; median.
* **ece**: how far stated chances of a 5% saving are from what came true, in ten bins, of
  proposals; ``ece_all`` also of what was stated where no proposal came of it.
* **interval**: how often the stated 90% interval holds the true saving.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from optimizer.backtest.passive import CATASTROPHE, Passed
from optimizer.gate.outlook import HARM, SAVING

Json: TypeAlias = Any

BINS = 10
AVAILABLE = 0.1


def summary(lines: Sequence[Passed]) -> dict[str, float | int | None]:
    """Return the figures of many seeds, shares in percent; None where nothing was counted."""
    proposed = [one for one in lines if one.proposed]
    worthwhile = [one for one in lines if one.available >= AVAILABLE]
    kept = [one for one in lines if one.kept]
    stated = [one for one in lines if one.stated]
    return {
        "coverage": _percent(one.proposed for one in worthwhile),
        "asked": _percent(one.asked for one in worthwhile),
        "proposals": len(proposed),
        "harm": _percent(one.ratio > HARM for one in proposed),
        "catastrophes": sum(one.failed or one.ratio > CATASTROPHE for one in proposed),
        "capture": _capture([(one.ratio, one.available) for one in proposed]),
        "ece": _ece([one for one in proposed if one.stated]),
        "ece_all": _ece(stated),
        "interval": _percent(_held(one) for one in proposed if one.stated),
        "interval_all": _percent(_held(one) for one in stated),
        "after_kept": _percent(one.kept for one in worthwhile),
        "after_harm": _percent(one.after > HARM for one in kept),
        "after_catastrophes": sum(one.after_failed or one.after > CATASTROPHE for one in kept),
        "after_capture": _capture([(one.after, one.available) for one in kept]),
        "after_capture_all": _capture([(one.after, one.available) for one in worthwhile]),
        "arms": float(np.mean([one.arms for one in lines])),
        "ms": float(np.mean([one.ms for one in lines])),
    }


def _percent(holds: Iterable[bool]) -> float | None:
    each = [bool(one) for one in holds]
    return 100.0 * sum(each) / len(each) if each else None


def _capture(pairs: Sequence[tuple[float, float]]) -> float | None:
    """The median share of the available saving; where hardly any is, none is counted."""
    shares = [-np.expm1(ratio) / available for ratio, available in pairs if available > 0.02]
    return 100.0 * float(np.median(shares)) if shares else None


def _ece(lines: Sequence[Passed]) -> float | None:
    if not lines:
        return None
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for one in lines:
        bins[min(int(one.chance * BINS), BINS - 1)].append((one.chance, one.ratio <= SAVING))
    apart = (abs(sum(p for p, _ in b) - sum(came for _, came in b)) for b in bins.values())
    return sum(apart) / len(lines)


def _held(one: Passed) -> bool:
    return bool(one.low <= -np.expm1(one.ratio) <= one.high)

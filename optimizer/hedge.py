"""The study of ``hedge``: when a second try beside a long one pays.

A second try costs a slot; it pays where the first would have taken longer still than a
fresh one (Dean & Barroso, "The Tail at Scale", CACM 2013). Judged by slot seconds of both
tries, which a trial measures; how much sooner work is done stands beside it. No more than
a tenth of the work may have a second try.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.cutting import Luck, best, few, settled
from optimizer.finding import Asked
from optimizer.guard import Limits, Reason
from optimizer.knobs import change_said
from optimizer.proposal import Candidate
from optimizer.tries import Tries

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

MOST_BESIDE: Final = 0.10
"""Share of the work that may have a second try: a budget, as for retries."""


def study(
    asked: Asked, tries: Tries, limits: Limits, suppressed: Collection[str],
    rng: np.random.Generator,
) -> Candidate | Reason:  # fmt: skip
    """Return what history says of hedging after another time, or why it says nothing."""
    luck = Luck.of(tries, 2, rng)
    if luck is None:
        return asked.no("too_little_history", few(len(tries)))
    low, high = asked.ends
    drawn = luck.seconds(luck.curve)
    values = [
        v
        for v in luck.values()
        if low <= v <= high and float((drawn[:, 0] > v).mean()) <= MOST_BESIDE
    ]

    def explain(value: float) -> tuple[str, dict[str, Json]]:
        beside = float((drawn[:, 0] > value).mean())
        both = {"now": done_after(drawn, asked.stable), "then": done_after(drawn, value)}
        told = {
            name: {str(q): float(np.quantile(s, q)) for q in (0.5, 0.95, 0.99)}
            for name, s in both.items()
        }
        move = change_said({"knob": "hedge", "from": asked.stable, "to": value})
        text = (
            f"{move}: {beside:.1%} of the work has a second try, "
            f"99% is done in {told['then']['0.99']:.3g} s instead of {told['now']['0.99']:.3g} s"
        )
        return text, {"done_s_by_share": told, "second_tries": beside}

    return best(asked, luck, spent, values, limits, suppressed, explain)


def done_after(seconds: Array, after: float | None) -> Array:
    """Return when units are done whose second try begins ``after`` seconds into the first."""
    if after is None:
        return settled(seconds)
    return np.asarray(np.minimum(seconds[:, 0], np.minimum(seconds[:, 0], after) + seconds[:, 1]))


def spent(seconds: Array, after: float | None) -> Array:
    """Return the slot seconds of both tries; the one that is beaten is ended at once."""
    done = done_after(seconds, after)
    return done if after is None else np.asarray(done + np.maximum(done - after, 0.0))

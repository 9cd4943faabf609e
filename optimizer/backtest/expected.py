"""What ours expected of a trial, beside what came of it.

The stopping rule goes by what a trial is expected to save and to cost. Whether that is right
on average shows when searches are played on past where they would have stopped: too much
expected, and a search stops too late; too little, and it stops too early. What is expected of
a trial is of a run under the setting in use before it, and so is what came.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.backtest.play import Played
from optimizer.backtest.table import Table
from optimizer.search.posterior import DEAREST

Array: TypeAlias = NDArray[Any]

LAST: Final = 10
"""The last trial that is looked at; the first has nothing in use before it."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One trial: what it was expected to save and to cost, and what it saved and cost."""

    saves: float
    saved: float
    price: float
    paid: float


def expected(table: Table, played: Played, used: Array) -> Iterator[Expected]:
    """Yield the trials of which something was expected; ``used`` are the gaps in use."""
    for trial in range(1, min(LAST, len(played.saves))):
        saves, price = played.saves[trial], played.prices[trial]
        if saves is None or price is None:
            continue
        before = 1.0 + float(used[trial - 1])
        paid = (1.0 + float(table.gap[played.trials[trial]])) / before
        saved = 1.0 - (1.0 + float(used[trial])) / before
        yield Expected(saves, saved, price, min(paid, DEAREST))


def borne_out(trials: Sequence[Expected]) -> dict[str, float]:
    """Return the means over trials; nothing where nothing was expected."""
    if not trials:
        return {}
    return {
        "saves": 100.0 * float(np.mean([one.saves for one in trials])),
        "saved": 100.0 * float(np.mean([one.saved for one in trials])),
        "price": float(np.mean([one.price for one in trials])),
        "paid": float(np.mean([one.paid for one in trials])),
    }

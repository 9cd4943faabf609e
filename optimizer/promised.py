"""Which choices would likely break a latency that a step is meant to keep: ``slo: {p95: …}``.

What the step takes now says how far it is from its limit; how other steps' seconds went from
this choice to another says what moving would do to it. It is the search's belief of a limited
quantity (`optimizer.search.keeping`), told one trial: the stable choice. Where no other step
knows both, nothing is refused: a trial may ask, and its guards watch the latency.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.elsewhere import Elsewhere, space_of
from optimizer.finding import Asked
from optimizer.models.sizing import SLACK
from optimizer.search.history import History
from optimizer.search.keeping import Keeping
from optimizer.search.kernels import Kernels

Array: TypeAlias = NDArray[Any]

TAIL: Final = 0.95
LIKELY: Final = 0.5
"""A choice is left alone that more likely than not breaks the limit."""
_FEWEST: Final = 2
"""So many other steps must know the stable choice and another."""


def too_slow(asked: Asked, choices: Sequence[str], seen: Elsewhere) -> dict[str, str]:
    """Return which of the choices would likely break the limit, in words; the first is stable."""
    limit_s = (asked.scope.get("slo") or {}).get("p95_s")
    mine = _as_it_runs(asked)
    if limit_s is None or not len(mine):
        return {}
    over = math.log(float(np.quantile(mine, TAIL)) / (float(limit_s) * (1.0 + SLACK)))
    history = seen.history("time", choices, without=(asked.scope["playbook"], asked.scope["step"]))
    both = history.of_steps(np.isfinite(history.rows[:, 0]))
    if len(both) < _FEWEST:
        return {}
    moved = both.rows - both.rows[:, :1] + over
    space = space_of(choices)
    known = History(both.rows, both.families, over=moved)
    chances = 1.0 - Keeping(space, known, Kernels.of(space)).chance([0], [over])
    known_by = np.isfinite(moved).sum(axis=0)
    return {
        choice: f"over 5% of its attempts would take longer than {float(limit_s):g} s on "
        f"{choice}, by what {steps} other steps took ({chance:.0%} likely)"
        for choice, chance, steps in zip(choices[1:], chances[1:], known_by[1:], strict=True)
        if steps >= _FEWEST and chance > LIKELY
    }


def _as_it_runs(asked: Asked) -> Array:
    """The seconds of what was done by the stable choice; what a trial tried is not how it runs."""
    all_ = asked.history
    ran = np.isin(all_.runs_on, ("", str(asked.stable))) & np.isin(all_.arm, ("", "control"))
    return np.asarray(all_.seconds[ran & (all_.seconds > 0.0)])

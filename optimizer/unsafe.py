"""Batch sizes that would likely break what the step is held to: its SLO, timeout or memory.

How long a size that was not tried takes is what the fan of shapes says (`models.shapes`),
with the curves that other steps have had; 95% of attempts are slower than that by as much as
those of the stable size are. Memory is a line through the peaks by size, or in proportion
where one size alone is known. Such sizes are neither proposed nor asked about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from optimizer.evidence import Batches
from optimizer.knobs import said
from optimizer.models import service_time
from optimizer.models.lending import Lending
from optimizer.models.levels import Level
from optimizer.models.roughness import Curve
from optimizer.models.shapes import Fan, fit
from optimizer.models.sizing import SLACK
from optimizer.tries import Tries

Json: TypeAlias = Any

FULL: Final = 0.9
"""Share of a step's memory that an attempt may be expected to need."""
TAIL: Final = 0.95
CAP: Final = 0.03
"""No price is put on risk here, as `models.sizing` does, and so less of it is allowed."""
LIKELY: Final = 0.5
"""A timeout that is too short for a size shows in its trial: it is left out if likely so."""
LEAST, LEAST_SIZES = 8, 3
"""Batches of a size, and sizes, from which on a step's curve may be borrowed."""


def fan_of(whole: Batches, levels: Mapping[int, Level], stable: int, lending: Lending) -> Fan:
    """Return what is believed of the seconds of all sizes, from those that were measured."""
    mine = whole.where(whole.size == stable)
    base = float(mine.seconds.mean())
    sizes = [stable, *levels]
    seconds = [base, *(base * n / stable * math.exp(level.log) for n, level in levels.items())]
    first = float(np.log(mine.seconds).std()) / math.sqrt(len(mine))
    errors = [first, *(level.se for level in levels.values())]
    return fit(sizes, seconds, errors, lending.curves, pulls=lending.pulls())


def curve_of(history: Batches) -> Curve | None:
    """Return the seconds by size of a step, as other steps may borrow them; None of few sizes."""
    whole = history.where(history.whole)
    sizes, counts = np.unique(whole.size, return_counts=True)
    known = sizes[counts >= LEAST]
    if len(known) < LEAST_SIZES:
        return None
    seconds = [float(whole.seconds[whole.size == n].mean()) for n in known]
    return [float(n) for n in known], seconds


def too_slow(
    scope: Mapping[str, Json], whole: Batches, fan: Fan, stable: int, sizes: Iterable[int]
) -> dict[int, str]:
    """Return the sizes that likely break the step's ``slo: {p95: …}``, with how likely."""
    limit_s = (scope.get("slo") or {}).get("p95_s")
    asked = sorted(n for n in sizes if n > stable)
    if limit_s is None or not asked:
        return {}
    mine = whole.seconds[whole.size == stable]
    tail = float(np.log(np.quantile(mine, TAIL) / mine.mean()))
    chances = fan.chance_above(asked, float(limit_s) * (1.0 + SLACK) / math.exp(tail))
    return {
        n: f"over 5% of its attempts would take longer than {limit_s:g} s ({chance:.0%} likely)"
        for n, chance in zip(asked, chances, strict=True)
        if chance > CAP
    }


def cut_off(
    scope: Mapping[str, Json], whole: Batches, tries: Tries | None, fan: Fan, stable: int,
    sizes: Iterable[int],
) -> dict[int, str]:  # fmt: skip
    """Return the sizes whose tries would likely be cut off by the step's own timeout.

    How long the slow ones are is taken from tries that came to their end: one that hangs does so
    in a batch of any size.
    """
    values = {**scope.get("defaults", {}), **(scope.get("stable") or {})}
    limit_s, asked = values.get("timeout"), sorted(n for n in sizes if n > stable)
    if tries is None or not isinstance(limit_s, int | float) or not asked:
        return {}
    ended = tries.seconds[tries.whole & (tries.error == "") & (tries.size == stable)]
    if len(ended) < LEAST:
        return {}
    tail = float(np.quantile(ended, TAIL) / whole.seconds[whole.size == stable].mean())
    chances = fan.chance_above(asked, float(limit_s) / tail)
    return {
        n: f"over 5% of its tries would be cut off by the timeout of {said('timeout', limit_s)} "
        f"({chance:.0%} likely)"
        for n, chance in zip(asked, chances, strict=True)
        if chance > LIKELY
    }


def too_large(
    scope: Mapping[str, Json], tries: Tries | None, stable: int, sizes: Iterable[int]
) -> dict[int, str]:
    """Return the sizes whose attempts would likely need more than the step's memory."""
    limit = scope.get("memory_bytes")
    if limit is None or tries is None:
        return {}
    peaks = _peaks(tries)
    if stable not in peaks:
        return {}
    if len(peaks) > 1:
        known = list(peaks)
        line = service_time.fit(known, [peaks[n] for n in known], [1.0] * len(known))
        needed = {n: line.seconds(n) for n in sizes}
    else:
        needed = {n: peaks[stable] * n / stable for n in sizes}
    return {
        n: f"an attempt would need about {peak / 1e6:,.0f} of {limit / 1e6:,.0f} MB"
        for n, peak in needed.items()
        if n > stable and peak > FULL * float(limit)
    }


def _peaks(tries: Tries) -> dict[int, float]:
    """The memory that 99% of attempts of each size stay below."""
    told = tries.where((tries.memory > 0) & (tries.size > 0))
    return {
        int(n): float(np.quantile(told.memory[told.size == n], 0.99)) for n in np.unique(told.size)
    }

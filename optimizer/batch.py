"""The study of ``each.batch``: what an item costs in batches of other sizes.

An item's outcome is the slot time (or cost) of all tries of its batch, divided by the
batch's items. Sizes are compared by their mean log outcome within runs. A coming trial
compares blocks of equally many items, in which small batches average out; the prediction
and its interval are made for that measurement, not for a single batch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.borrowing import Borrowed, ranked, resembling
from optimizer.constraints import together
from optimizer.distinct import distinct
from optimizer.effect import REACH, Effect
from optimizer.evidence import Batches, Value, by_value
from optimizer.failing import no_good
from optimizer.guard import Limits, Reason
from optimizer.knobs import Range, knob_class
from optimizer.models import failures, service_time
from optimizer.models.lending import NOBODY, Lending
from optimizer.models.levels import Level, between_runs, within_runs
from optimizer.models.shapes import Fan
from optimizer.objective import Objective, choose
from optimizer.scope import step_named
from optimizer.study import Study
from optimizer.tries import Tries
from optimizer.unsafe import cut_off, fan_of, too_large, too_slow
from optimizer.words import counted

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

LADDER: Final = (2.0, 4.0, 8.0)
"""Sizes asked about, as multiples of the stable one: a curve needs a wide base."""
DOWN: Final = (0.25, 0.5)
BLOCKS_A_RUN: Final = 20
"""A size must leave a run at least this many blocks, or a trial learns too slowly."""
RISKY: Final = 0.10
"""Above this share of failing first tries, smaller batches are asked about too."""
DRAWS: Final = 2000
TOLD: Final = 10
"""So many of the steps whose curves are borrowed are named."""


def study(
    scope: Mapping[str, Json], knob: Range, stable: int, history: Batches, limits: Limits,
    rng: random.Random, tries: Tries | None = None, lending: Lending = NOBODY,
) -> Study | Reason:  # fmt: skip
    """Return what history says about batch sizes, or why it says nothing at all.

    ``lending`` are the curves that other steps have had, and how they resemble this one.
    """
    name = f"{step_named(scope)} {knob.name}"
    whole = history.where(history.whole).about("size")
    values = by_value(whole, "size")
    base = values.get(stable)
    if base is None or base.batches < limits.least_batches:
        seen = base.batches if base else 0
        told = counted(seen, "batch", "batches", f" of {stable}")
        text = f"{told}; {limits.least_batches} are needed"
        return Reason(name, "too_little_history", text)
    objective = choose("batch", scope.get("objective", "cost"), history.quality.cost_coverage)
    y = np.log(_outcome(whole, objective) / whole.items)
    if not np.isfinite(y[whole.size == stable]).any():
        text = f"no batch of {stable} has a cost: what is missing is not nought"
        return Reason(name, "cost_coverage", text)
    levels = _levels(whole, y, stable)
    harmful = no_good(values, levels, stable, limits.failure_margin, _dearer)
    enough = {
        v: level
        for v, level in levels.items()
        if level.method == "between runs" or level.n >= limits.least_units
    }
    pools = _Pools.of(whole, y, np.random.default_rng(rng.getrandbits(64)))
    effects = {v: _effect(v, level, stable, pools, limits) for v, level in enough.items()}
    ladder = _ladder(knob, stable, base, history.run_items())
    good = {v: level for v, level in enough.items() if v not in harmful}
    fan = fan_of(whole, good, stable, lending)
    asked = {*effects, *ladder}
    harmful |= too_large(scope, tries, stable, asked)
    harmful |= together(scope, knob.name, asked, history.run_items())
    harmful |= cut_off(scope, whole, tries, fan, stable, asked)
    harmful |= too_slow(scope, whole, fan, stable, asked)
    curve, risk = _curves(values, good, stable)
    known = fan if good or lending.lenders else None
    return Study(
        scope, knob, knob_class(knob.name), objective, stable, history, values, levels, effects,
        harmful, ladder, lambda v: _expected(known, risk, stable, v),
        _trial(whole, stable, pools), {**_describe(curve, risk), **_borrowed(lending)},
        _guessed_with(lending),
    )  # fmt: skip


def _outcome(whole: Batches, objective: Objective) -> Array:
    """Cost per batch where it is the objective and known; else slot seconds."""
    if objective == "cost":
        return np.where(np.isfinite(whole.cost) & (whole.cost > 0), whole.cost, np.nan)
    return whole.seconds


def _levels(whole: Batches, y: Array, stable: int) -> dict[int, Level]:
    known = np.isfinite(y)
    run, size, y = whole.run[known], whole.size[known], y[known]
    levels = within_runs(run, size, y, stable)
    names, codes = distinct(whole.run)
    sums = np.bincount(codes, weights=whole.items)
    totals = dict(zip(names.tolist(), sums.tolist(), strict=True))
    first = np.full(len(names), np.inf)
    np.minimum.at(first, codes, whole.start)
    began = dict(zip(names.tolist(), first.tolist(), strict=True))
    return {**between_runs(run, size, y, totals, stable, began), **levels}


def _dearer(level: Level) -> str:
    if level.log - REACH * level.se <= 0.0:
        return ""
    return f"{math.expm1(level.log):+.0%} per item ({level.n} batches seen)"


@dataclass(frozen=True, slots=True)
class _Pools:
    """Log outcomes by size, each less its run's mean of that size, to draw blocks from."""

    logs: Mapping[int, Array]
    rng: np.random.Generator

    @classmethod
    def of(cls, whole: Batches, y: Array, rng: np.random.Generator) -> _Pools:
        """Gather the pools."""
        _, cell = np.unique(
            np.char.add(whole.run.astype(str), whole.size.astype(str)), return_inverse=True
        )
        known = np.isfinite(y)
        sums = np.bincount(cell[known], weights=y[known], minlength=cell.max() + 1)
        counts = np.bincount(cell[known], minlength=cell.max() + 1)
        centred = y - (sums / np.maximum(counts, 1))[cell]
        sizes = np.unique(whole.size)
        return cls({int(n): centred[known & (whole.size == n)] for n in sizes}, rng)

    def block(self, size: int, batches: int) -> Array:
        """Return draws of the log outcome of a block of so many batches."""
        pool = self.logs[size]
        drawn = np.exp(self.rng.choice(pool, size=(DRAWS, batches)))
        logs: Array = np.log(drawn.mean(axis=1))
        return logs


def _effect(value: int, level: Level, stable: int, pools: _Pools, limits: Limits) -> Effect:
    """Predict what a trial of blocks would measure, on the scale on which `Gain` does.

    Both arms' blocks are drawn from the stable size's batches, whose spread is well known;
    the candidate's own spread only scales the noise.
    """
    block = max(value, stable)
    mine = _scored(pools.block(stable, max(1, round(block / value))))
    base = _scored(pools.block(stable, max(1, round(block / stable))))
    shift = float(mine.mean() - base.mean())
    wider = level.sd / max(float(pools.logs[stable].std()), 1e-9)
    units = 1.2 * limits.ramp_units
    noise = math.sqrt((float(mine.var()) * wider**2 + float(base.var())) / units)
    return Effect(level.log + shift, level.se, noise, max(level.n - 1, 1) + 4)


def _scored(logs: Array) -> Array:
    """Log outcomes as `Gain` counts them: to second order, the log of their mean."""
    scored: Array = logs + (logs - logs.mean()) ** 2 / 2.0
    return scored


def _curves(
    values: Mapping[int, Value], levels: Mapping[int, Level], stable: int
) -> tuple[service_time.Curve | None, failures.Risk]:  # fmt: skip
    """The time curve through the good sizes, the risk through all of them."""
    sizes = sorted(values)
    risk = failures.fit(
        sizes, [values[n].retried for n in sizes], [values[n].batches for n in sizes]
    )
    good = sorted(levels)
    if not good:
        return None, risk
    per_item = values[stable].seconds_per_item
    seconds = [n * per_item * math.exp(levels[n].log) for n in good]
    weights = [min(1.0 / max(levels[n].se, 1e-3) ** 2, 1e4) for n in good]
    curve = service_time.fit(
        [stable, *good], [stable * per_item, *seconds], [max(weights), *weights]
    )
    return curve, risk


def _ladder(knob: Range, stable: int, base: Value, run_items: int) -> tuple[int, ...]:
    factors = LADDER + (DOWN if base.retried > RISKY * base.batches else ())
    largest = run_items / BLOCKS_A_RUN
    return tuple(v for v in knob.scaled(stable, factors) if v <= largest)


def _expected(fan: Fan | None, risk: failures.Risk, stable: int, value: int) -> float | None:
    """The fan's log effect of a size not tried, first tries that fail paid twice."""
    if fan is None:
        return None
    now, then = fan.at([stable, value]).mean
    time = float(then - now) - math.log(value / stable)
    again = math.log((1.0 + risk.chance(value)) / (1.0 + risk.chance(stable)))
    return time + again


def _trial(whole: Batches, stable: int, pools: _Pools) -> dict[str, Json]:
    """What a trial freezes before it starts: control's spread, and its slow blocks."""
    last = whole.in_flight == whole.in_flight[int(np.argmax(whole.start))]
    mine = whole.where((whole.size == stable) & last)
    if not len(mine):
        mine = whole.where(whole.size == stable)
    level = float(np.log(mine.seconds / mine.items).mean())
    slow = {
        str(k): float(np.exp(level + np.quantile(pools.block(stable, k), 0.99)))
        for k in (1, 2, 4, 8)
    }
    return {"design": "blocks", "slow_s_per_item_by_batches": slow}


def _borrowed(lending: Lending) -> dict[str, Json]:
    """Whose curves are in the fan, the most alike first."""
    return {"borrowed_from": [asdict(one) for one in _ranked(lending)[:TOLD]]}


def _guessed_with(lending: Lending) -> str:
    """Who is asked about sizes that were not tried, in words."""
    borrowed = _ranked(lending)
    if not borrowed:
        return ""
    named = ", ".join(one.step for one in borrowed[:3])
    more = f" and {len(borrowed) - 3} more" if len(borrowed) > 3 else ""
    return f"; guessed with the curves of {named}{more}{resembling(borrowed)}"


def _ranked(lending: Lending) -> tuple[Borrowed, ...]:
    return ranked([one.step for one in lending.lenders], lending.alike(), lending.pulls())


def _describe(curve: service_time.Curve | None, risk: failures.Risk) -> dict[str, Json]:
    found: dict[str, Json] = {"failures": {"intercept": risk.intercept, "slope_log_n": risk.slope}}
    if curve is not None:
        found["seconds"] = {
            "fixed": curve.fixed, "per_item": curve.per_item, "per_item_squared": curve.bend
        }  # fmt: skip
    return found

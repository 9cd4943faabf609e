"""The study of ``each.in_flight``: wall time per item with more batches at once.

Attempts that overlap share their limits, so comparing attempts says nothing: each gets
slower while the whole gets faster. What counts is the wall time of drained blocks, two
neighbours of random order at a time, as experiments leave them in the record.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeAlias

import numpy as np

from optimizer.constraints import together
from optimizer.distinct import distinct
from optimizer.effect import Effect
from optimizer.evidence import Batches, by_value
from optimizer.failing import no_good
from optimizer.guard import Limits, Reason
from optimizer.knobs import Range, knob_class
from optimizer.models import concurrency
from optimizer.models.levels import Level, from_pairs
from optimizer.scope import step_named
from optimizer.study import Study
from optimizer.words import counted

Json: TypeAlias = Any

LADDER: Final = (2.0, 1.5)
"""Asked about one at a time: the half step only where the double is known to be no good."""
LEAST_BATCHES_A_RUN: Final = 8


@dataclass(frozen=True, slots=True)
class Block:
    """One drained block: how long an item took in it, by the wall."""

    in_flight: int
    control: bool
    seconds_per_item: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two neighbouring drained blocks; ``log_ratio`` is candidate over control."""

    candidate: int
    control: int
    log_ratio: float


def study(
    scope: Mapping[str, Json], knob: Range, stable: int, history: Batches, limits: Limits
) -> Study | Reason:
    """Return what history says about concurrency, or why it says nothing at all."""
    name = f"{step_named(scope)} {knob.name}"
    mine = history.about("in_flight")
    values = by_value(mine, "in_flight")
    base = values.get(stable)
    if base is None or base.batches < limits.least_batches:
        seen = base.batches if base else 0
        told = counted(seen, "batch", "batches", f" at {stable}")
        text = f"{told}; {limits.least_batches} are needed"
        return Reason(name, "too_little_history", text)
    if len(history) / len(distinct(history.run)[0]) < LEAST_BATCHES_A_RUN:
        return Reason(name, "run_too_small", "a run has too few batches to fill two blocks")
    levels = _levels(pairs(mine), stable)
    asked = {*levels, *knob.scaled(stable, LADDER)}
    harmful = no_good(values, levels, stable, limits.failure_margin, _dearer)
    harmful |= together(scope, knob.name, asked, history.run_items())
    enough = {v: level for v, level in levels.items() if level.n >= limits.least_pairs}
    effects = {v: _effect(level, limits) for v, level in enough.items()}
    good = {v: level for v, level in enough.items() if v not in harmful}
    curve = _curve(good, stable)
    return Study(
        scope, knob, knob_class(knob.name), "time", stable, history, values, levels, effects,
        harmful, _ladder(knob, stable, {*effects, *harmful}),
        lambda v: _expected(curve, stable, v),
        {"design": "switchback"}, _describe(curve),
    )  # fmt: skip


def pairs(history: Batches) -> list[Pair]:
    """Return the pairs of drained blocks in a history, in the order they ran."""
    found = []
    in_trial = history.where((history.experiment != "") & (history.block >= 0))
    for experiment in np.unique(in_trial.experiment):
        one = in_trial.where(in_trial.experiment == experiment)
        if len(np.unique(one.in_flight)) > 1:
            for run in np.unique(one.run):
                found += list(_neighbours(_blocks(one.where(one.run == run))))
    return found


def _blocks(run: Batches) -> list[Block]:
    blocks = []
    for number in np.unique(run.block):
        mine = run.where(run.block == number)
        wall = float(mine.end.max() - mine.start.min())
        if wall > 0.0:
            control = bool(mine.arm[0] == "control")
            blocks.append(
                (float(mine.start.min()), int(mine.in_flight[0]), control, wall / mine.items.sum())
            )
    return [Block(f, control, float(s)) for _, f, control, s in sorted(blocks)]


def _neighbours(blocks: list[Block]) -> Iterator[Pair]:
    taken = False
    for one, two in pairwise(blocks):
        if taken or one.control == two.control:
            taken = False
            continue
        control, candidate = (one, two) if one.control else (two, one)
        ratio = math.log(candidate.seconds_per_item / control.seconds_per_item)
        yield Pair(candidate.in_flight, control.in_flight, ratio)
        taken = True


def _levels(found: list[Pair], stable: int) -> dict[int, Level]:
    if not found:
        return {}
    return from_pairs(
        np.array([p.candidate for p in found]),
        np.array([p.control for p in found]),
        np.array([p.log_ratio for p in found]),
        stable,
    )


def _dearer(level: Level) -> str:
    if level.n < 3 or level.log - 1.9 * level.se <= 0.0:
        return ""
    return f"{math.expm1(level.log):+.0%} wall time per item ({level.n} pairs seen)"


def _ladder(knob: Range, stable: int, known: set[int]) -> tuple[int, ...]:
    for factor in LADDER:
        values = knob.scaled(stable, (factor,))
        if values and values[0] not in known:
            return values
    return ()


def _effect(level: Level, limits: Limits) -> Effect:
    return Effect(level.log, level.se, level.sd / math.sqrt(limits.pairs), max(level.n - 1, 1))


def _curve(good: Mapping[int, Level], stable: int) -> concurrency.Curve | None:
    if not good:
        return None
    values = [stable, *good]
    weights = [1.0 / max(level.se, 0.01) ** 2 for level in good.values()]
    ratios = [1.0, *(math.exp(level.log) for level in good.values())]
    return concurrency.fit(values, ratios, [max(weights), *weights])


def _expected(curve: concurrency.Curve | None, stable: int, value: int) -> float | None:
    return None if curve is None else math.log(curve.level(value) / curve.level(stable))


def _describe(curve: concurrency.Curve | None) -> dict[str, Json]:
    return {} if curve is None else {"serial": curve.serial, "shared": curve.shared}

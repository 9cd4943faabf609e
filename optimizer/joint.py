"""Joint: the knobs of one step searched together, in replays of its recorded runs.

The joint search (`optimizer.search.numeric`) asks for settings, warm-started by what this
step and others took at the settings they ran at; each trial replays one recent run. The
best is then replayed in the others too, and the median of what they say counts. There is
no answer where replays of the runs as they were are too far off, or where nothing was seen:
no knob is moved past what history ran, nor past what author and policy allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import median
from typing import Any, Final, TypeAlias

import numpy as np

from optimizer.direction import Direction, Setting, direction, words
from optimizer.evidence import Batches
from optimizer.guard import Limits
from optimizer.replays import Replays
from optimizer.search.declared import NothingLeft, Number, Product, settings
from optimizer.search.history import Array, History
from optimizer.search.numeric import Log, Numeric, Remembered
from optimizer.search.space import Space
from optimizer.seeded import seeded
from optimizer.simulate.question import SIMULATED
from optimizer.simulate.work import Work
from runtime.run.layers import digest

Json: TypeAlias = Any
Logs: TypeAlias = Callable[[str], Log]

TRIALS: Final = 24
"""Settings that one search replays; a replay is a run drawn many times, and not free."""
MOST_KNOWN: Final = 256
"""Settings that history ran at which a search begins with."""
WORSE: Final = math.log(2.0)
"""A setting of which nothing good can be said counts as twice the worst of the others."""
ALIKE: Final = math.log(1.25)
"""Another step's batch size that is this near tells of a setting."""
LEAST_BATCHES: Final = 5
"""Batches at a setting from which on their mean is heard."""
TIE: Final = 0.02
"""Settings whose log effects differ by less count as equally good."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a joint search may lean on: the step's runs, oldest first, and others' batches.

    ``logs`` opens the log in which the trials of a search of that name are kept.
    """

    works: Sequence[Work]
    others: Sequence[Batches] = ()
    logs: Logs = field(default=lambda _name: Remembered())


def towards(
    scope: Mapping[str, Json], history: Batches, recorded: Recorded, limits: Limits, seed: str
) -> Direction | str:
    """Return where the step's knobs should go together, or why that cannot be said."""
    values = {**scope.get("defaults", {}), **(scope.get("stable") or {})}
    simulated = [str(t["name"]) for t in scope.get("tune") or () if t["name"] in SIMULATED]
    named = [name for name in simulated if values.get(name) is not None]
    if len(named) < 2:
        told = " and ".join(named) or "none"
        return f"two of its knobs or more would have to be simulated, and {told} is"
    stable = {name: int(values[name]) for name in named}
    replays = Replays(scope, recorded.works, stable, seed, limits.replayed_runs)
    if (doubt := replays.doubt(limits)) is not None:
        return doubt
    bounds = _bounds(scope, stable, history)
    try:
        space = _space(scope, stable, bounds, replays, limits)
    except NothingLeft as error:
        return str(error)
    heard = _history(space, [history, *recorded.others])
    runs = [work.run for work in replays.asked]
    name = digest([scope["playbook"], scope["step"], runs, list(space.names), seed])
    found = _searched(space, heard, replays, recorded.logs(name), seed)
    return _pointed(found, stable, bounds, replays, limits)


def _bounds(scope: Mapping[str, Json], stable: Setting, history: Batches) -> list[Product]:
    """What the values have to keep together; a bound that is broken already binds nobody."""
    bounds = [
        Product(("each.in_flight",), at_most=scope.get("most_in_flight") or math.inf),
        Product(("each.batch", "each.in_flight"), at_most=history.run_items() or math.inf),
    ]
    return [b for b in bounds if set(b.names) <= set(stable) and b.slack(stable) <= 0.0]


def _space(
    scope: Mapping[str, Json], stable: Setting, bounds: Sequence[Product], replays: Replays,
    limits: Limits,
) -> Space:  # fmt: skip
    """The settings that author, policy, history and each other allow, the stable one first."""
    tunes = {str(tune["name"]): tune for tune in scope["tune"]}
    ends = {
        knob: _ends(knob, tunes[knob], now, replays.seen(knob), limits)
        for knob, now in stable.items()
    }
    knobs = {knob: Number(low, high, log=True) for knob, (low, high) in ends.items()}
    ran = [[v for v in replays.seen(k) if low <= v <= high] for k, (low, high) in ends.items()]
    known = [dict(zip(ends, values, strict=True)) for values in product(*ran)]
    return settings(knobs, bounds, known=[stable, *known[:MOST_KNOWN]])


def _ends(
    knob: str, tune: Mapping[str, Json], now: int, seen: Sequence[int], limits: Limits
) -> tuple[int, int]:
    least, most = limits.bounds.get(knob, (1.0, math.inf))
    given = (tune.get("min"), tune.get("max"))
    low = max(1, given[0] or 1, math.ceil(least), min(seen), math.ceil(now / limits.reach))
    high = min(given[1] or math.inf, most, max(seen), math.floor(now * limits.reach))
    return min(int(low), now), max(int(high), now)


def _history(space: Space, seen: Sequence[Batches]) -> History:
    """What this step and others took per item at these settings, as far as they ran at them."""
    rows = [row for batches in seen if np.isfinite(row := _row(space, batches)).sum() >= 2]
    return History.of(rows, [f"step {i}" for i in range(len(rows))], len(space))


def _row(space: Space, history: Batches) -> Array:
    """Log wall seconds an item, were the batches in flight side by side; NaN where unknown."""
    row = np.full(len(space), np.nan)
    held = {n: np.asarray(c.values, float) for n, c in space.columns.items()}
    good = (history.items > 0) & (history.seconds > 0.0)
    wall = np.log(np.where(good, history.seconds, 1.0) / np.where(good, history.items, 1))
    pairs = np.stack([history.size, history.in_flight], axis=1)[good]
    for size, in_flight in np.unique(pairs, axis=0) if len(pairs) else ():
        mine = good & (history.size == size) & (history.in_flight == in_flight)
        if mine.sum() < LEAST_BATCHES or size < 1:
            continue
        at = np.ones(len(space), bool)
        if "each.batch" in held:
            at &= np.abs(np.log(held["each.batch"] / size)) <= ALIKE
        if "each.in_flight" in held:
            at &= held["each.in_flight"] == in_flight
        row[at] = float(np.median(wall[mine])) - math.log(max(1, in_flight))
    return row


def _searched(
    space: Space, heard: History, replays: Replays, log: Log, seed: str
) -> dict[tuple[int, ...], tuple[Setting, float]]:
    """Search in replays of the latest run; return the log effects of what was tried."""
    number = seeded(seed).getrandbits(32)
    search = Numeric(space, heard, min(TRIALS, len(space)), log, seed=number)
    found = {}
    setting: int | None = 0  # the stable one
    for setting in search.tried or [0]:
        found[setting] = replays.effect(replays.asked[-1], setting_of(space, setting))
    if not search.tried:
        search.tell(0, 0.0)
    while (step := search.next()) is not None:
        values = setting_of(space, step.setting)
        told = found[step.setting] = replays.effect(replays.asked[-1], values)
        worst = max(search.outcomes) + WORSE
        search.tell(step.setting, worst if told is None else told, failed=told is None)
    tried = {i: (setting_of(space, i), log) for i, log in found.items() if log is not None}
    return {tuple(s.values()): (s, log) for s, log in tried.values()}


def setting_of(space: Space, setting: int) -> dict[str, int]:
    """Return the values of one setting of a space, by knob."""
    return {name: int(column.values[setting]) for name, column in space.columns.items()}


def _pointed(
    found: Mapping[tuple[int, ...], tuple[Setting, float]], stable: Setting,
    bounds: Sequence[Product], replays: Replays, limits: Limits,
) -> Direction | str:  # fmt: skip
    def foretold(setting: Setting) -> float | None:
        if any(bound.slack(setting) > 0.0 for bound in bounds):
            return None  # what a change alone may not do is no way to the joint best
        return replays.foretold(setting)

    best = _nearest(found, stable)
    if best == stable:
        return "no setting tried in replays is foretold to be better than the one in force"
    least = math.log(1.0 - limits.min_gain)
    effect = replays.foretold(best)
    if effect is None or effect > least:
        return f"no setting of {' and '.join(best)} is foretold to be worthwhile in all runs"
    told = direction(
        stable, best, effect, lambda k, v: _reach(limits, k, stable[k], v), foretold, least
    )
    if told is None:
        return (
            f"joint best {words(best)} predicts {math.expm1(effect):+.0%}, but no single change "
            f"towards it is a gain of {limits.min_gain:.0%}, and only single changes are proposed"
        )
    facts = {
        "runs": [work.run for work in replays.asked], "replay_error": median(replays.errors),
        "trials": [{**s, "predicted": math.expm1(log)} for s, log in found.values()],
    }  # fmt: skip
    return Direction(told.stable, told.best, effect, told.first, told.to, told.alone, facts)


def _nearest(found: Mapping[tuple[int, ...], tuple[Setting, float]], stable: Setting) -> Setting:
    """The best of what was tried; among ties that which moves fewest knobs, and those least."""
    least = min(log for _, log in found.values())
    tied = [setting for setting, log in found.values() if log <= least + TIE]

    def far(setting: Setting) -> tuple[int, float, tuple[int, ...]]:
        apart = [abs(math.log(setting[k] / stable[k])) for k in stable]
        return sum(a > 0.0 for a in apart), sum(apart), tuple(setting.values())

    return min(tied, key=far)


def _reach(limits: Limits, knob: str, stable: int, value: int) -> int:
    """How far towards a value one change may go, whole and never past it."""
    near = limits.nearest(knob, stable, value)
    return math.floor(near) if value > stable else math.ceil(near)

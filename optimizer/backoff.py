"""The study of ``retry.initial``: whether waiting longer before trying again helps.

Where failures come in outages, a retry right after one meets the same outage; the chance
that it succeeds grows with the time since the last failure, ``1 - (1 - a) exp(-t / tau)``.
Where it does not, a longer wait only costs time and nothing is proposed. Both are fitted to
the retries of history by likelihood; no wait is proposed that history has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.blocks import batches_a_block, noise, spread_of_blocks
from optimizer.effect import Effect
from optimizer.finding import Asked, Finding, propose
from optimizer.guard import Limits, Reason
from optimizer.proposal import Candidate
from optimizer.tries import Tries
from optimizer.words import counted

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

LEAST_RETRIES: Final = 40
"""Retries from which on history tells what waiting is worth."""
CLEAR: Final = 6.63
"""Twice the gain in log likelihood from which on waiting is taken to help (1 in 100)."""
ENOUGH: Final = 0.8
"""The shortest wait that brings this share of what the longest would."""
AT_ONCE: Final = np.linspace(0.0, 0.98, 50)
RESAMPLES: Final = 40
BINS: Final = 48
"""Pauses are told apart in so many groups of equally many retries."""
GROWTH: Final = 2.0
"""An exponential delay grows by so much from one try to the next."""
JITTER: Final = 0.5
"""A delay of full jitter is half of what was computed, on average."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """The chance that a try succeeds so long after the one before it failed."""

    at_once: float
    tau_s: float

    def chance(self, after_s: Array) -> Array:
        """Return the chance for each wait."""
        return np.asarray(1.0 - (1.0 - self.at_once) * np.exp(-np.asarray(after_s) / self.tau_s))

    def retries(self, initial_s: float, most: int) -> float:
        """Return the retries of failed work to expect, waits doubling from ``initial_s``."""
        after = JITTER * initial_s * GROWTH ** np.arange(most)
        left = np.cumprod(np.r_[1.0, 1.0 - self.chance(after)])
        return float(left[:-1].sum())


@dataclass(frozen=True, slots=True)
class Retries:
    """One entry a retry: its unit, seconds since the try before it began, and how it ended."""

    unit: Array
    after_s: Array
    good: Array


def retries_of(tries: Tries) -> Retries:
    """Return the retries of a history."""
    turns = tries.in_turn()
    again = np.flatnonzero(np.diff(turns.unit) == 0) + 1
    after = turns.begin[again] - turns.begin[again - 1]
    return Retries(turns.unit[again], np.maximum(after, 0.0), turns.error[again] == "")


def fit(after_s: Array, good: Array, count: Array | None = None) -> tuple[Recovery, float]:
    """Return the likeliest recovery, and twice its gain in log likelihood over no waiting.

    ``count`` says how often each retry counts.
    """
    times = np.ones(len(good)) if count is None else count
    waits, won, lost = _binned(after_s, good, times)
    least, most = 0.3 * float(waits.min()) + 1e-3, 30.0 * float(waits.max()) + 1e-2
    taus = np.exp(np.linspace(math.log(least), math.log(most), 40))
    decay = np.exp(-waits[None, :] / taus[:, None])
    chance = np.clip(1.0 - (1.0 - AT_ONCE[:, None, None]) * decay, 1e-6, 1.0 - 1e-6)
    logs = np.log(chance) @ won + np.log1p(-chance) @ lost
    one, two = np.unravel_index(int(np.argmax(logs)), logs.shape)
    share = min(max(float(won.sum() / (won + lost).sum()), 1e-6), 1.0 - 1e-6)
    flat = float(won.sum() * math.log(share) + lost.sum() * math.log1p(-share))
    return Recovery(float(AT_ONCE[one]), float(taus[two])), 2.0 * (float(logs.max()) - flat)


def _binned(after_s: Array, good: Array, count: Array) -> tuple[Array, Array, Array]:
    """Mean waits of a few dozen bins, and how many retries in each succeeded and failed."""
    edges = np.unique(np.quantile(after_s, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
    place = np.searchsorted(edges, after_s)
    many = np.bincount(place, weights=count, minlength=len(edges) + 1)
    won = np.bincount(place, weights=count * good, minlength=len(edges) + 1)
    waits = np.bincount(place, weights=count * after_s, minlength=len(edges) + 1)
    kept = many > 0
    return waits[kept] / many[kept], won[kept], (many - won)[kept]


def study(
    asked: Asked, tries: Tries, limits: Limits, suppressed: Collection[str],
    rng: np.random.Generator,
) -> Candidate | Reason:  # fmt: skip
    """Return what history says of another first delay, or why it says nothing."""
    seen = retries_of(tries)
    if len(seen.unit) < LEAST_RETRIES or np.ptp(seen.after_s) <= 0.0:
        text = f"{counted(len(seen.unit), 'retry', 'retries')}; {LEAST_RETRIES} are needed"
        return asked.no("too_little_history", text)
    recovery, gain = fit(seen.after_s, seen.good)
    most = int(asked.values.get("retry.attempts", 1)) - 1
    stable = float(asked.stable)
    if gain < CLEAR or most < 1:
        return asked.no("not_worthwhile", "a retry succeeds no more often after a longer wait")
    value = _enough(asked, recovery, seen, stable, most)
    if value is None:
        return asked.no("not_worthwhile", f"waits as long as {stable:g} s bring most already")
    effect = _effect(tries, seen, recovery, (stable, value), most, asked, rng, limits)
    now, then = recovery.retries(stable, most), recovery.retries(value, most)
    note = (
        f"retry.initial {stable:g} → {value:g} s: {then:.1f} retries of failed work, not {now:.1f}"
    )
    facts = {"recovery": {
        "at_once": recovery.at_once, "tau_s": recovery.tau_s, "likelihood_gain": gain,
        "retries": len(seen.unit), "longest_seen_s": float(seen.after_s.max()),
    }, "trial": {"batches": batches_a_block(asked.history.run_batches())}}  # fmt: skip
    found = Finding(value, effect, "recovery by wait", len(seen.unit), note, facts=facts)
    return propose(asked, found, limits, suppressed)


def _enough(
    asked: Asked, recovery: Recovery, seen: Retries, stable: float, most: int
) -> float | None:
    """The shortest longer wait that brings enough, of those that history has seen."""
    low, high = asked.ends
    longest = min(high, float(np.quantile(seen.after_s, 0.9)) / JITTER)
    values = [v for v in stable * GROWTH ** np.arange(1, 20) if low <= v <= longest]
    if not values:
        return None
    now, least = recovery.retries(stable, most), recovery.retries(values[-1], most)
    return next(
        float(f"{v:.3g}")
        for v in values
        if now - recovery.retries(v, most) >= ENOUGH * (now - least)
    )


def _effect(
    tries: Tries, seen: Retries, recovery: Recovery, change: tuple[float, float], most: int,
    asked: Asked, rng: np.random.Generator, limits: Limits,
) -> Effect:  # fmt: skip
    """The change in slot seconds of all tries, by resampling the units that failed."""
    turns = tries.in_turn()
    units = len(np.unique(turns.unit))
    again_s = float(turns.seconds[turns.error != ""].mean())
    failing = len(np.unique(seen.unit)) / units
    spent = np.bincount(np.unique(turns.unit, return_inverse=True)[1], weights=turns.seconds)
    base = float(turns.seconds.sum()) / units - failing * again_s * len(seen.unit) / max(
        len(np.unique(seen.unit)), 1
    )

    def log(one: Recovery) -> float:
        now, then = (base + failing * again_s * one.retries(v, most) for v in change)
        return math.log(max(then, 1e-12) / max(now, 1e-12))

    names, place = np.unique(seen.unit, return_inverse=True)
    logs = []
    for _ in range(RESAMPLES):
        times = np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))
        logs.append(log(fit(seen.after_s, seen.good, times[place].astype(float))[0]))
    now, then = (recovery.retries(initial_s, most) for initial_s in change)
    many = asked.history.run_batches()
    spread = spread_of_blocks(spent, batches_a_block(many), rng)
    error = noise(log(recovery), (spread, spread * then / now), many, limits)
    return Effect(log(recovery), float(np.std(logs)), error, float(len(names)))

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

from optimizer.effect import Effect
from optimizer.finding import Asked, Finding, propose
from optimizer.guard import Limits, Reason
from optimizer.models.durations import spread_of
from optimizer.proposal import Candidate
from optimizer.tries import Tries

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

LEAST_RETRIES: Final = 40
CLEAR: Final = 6.63
"""Twice the gain in log likelihood from which on waiting is taken to help (1 in 100)."""
ENOUGH: Final = 0.8
"""The shortest wait that brings this share of what the longest would."""
AT_ONCE: Final = np.linspace(0.0, 0.98, 50)
RESAMPLES: Final = 40
GROWTH: Final = 2.0
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


def fit(after_s: Array, good: Array) -> tuple[Recovery, float]:
    """Return the likeliest recovery, and twice its gain in log likelihood over no waiting."""
    taus = np.exp(
        np.linspace(math.log(0.3 * after_s.min() + 1e-3), math.log(30 * after_s.max()), 40)
    )
    decay = np.exp(-after_s[None, :] / taus[:, None])
    best, found = -math.inf, Recovery(0.5, math.inf)
    for at_once in AT_ONCE:
        chance = np.clip(1.0 - (1.0 - at_once) * decay, 1e-6, 1.0 - 1e-6)
        logs = np.where(good, np.log(chance), np.log1p(-chance)).sum(axis=1)
        if (top := float(logs.max())) > best:
            best, found = top, Recovery(float(at_once), float(taus[int(np.argmax(logs))]))
    share = min(max(float(good.mean()), 1e-6), 1.0 - 1e-6)
    flat = len(good) * (share * math.log(share) + (1.0 - share) * math.log1p(-share))
    return found, 2.0 * (best - flat)


def study(
    asked: Asked, tries: Tries, limits: Limits, suppressed: Collection[str],
    rng: np.random.Generator,
) -> Candidate | Reason:  # fmt: skip
    """Return what history says of another first delay, or why it says nothing."""
    seen = retries_of(tries)
    if len(seen.unit) < LEAST_RETRIES or np.ptp(seen.after_s) <= 0.0:
        text = f"{len(seen.unit)} retries are known; {LEAST_RETRIES} are needed"
        return asked.no("too_little_history", text)
    recovery, gain = fit(seen.after_s, seen.good)
    most = int(asked.values.get("retry.attempts", 1)) - 1
    stable = float(asked.stable)
    if gain < CLEAR or most < 1:
        return asked.no("not_worthwhile", "a retry succeeds no more often after a longer wait")
    value = _enough(asked, recovery, seen, stable, most)
    if value is None:
        return asked.no("not_worthwhile", f"waits as long as {stable:g} s bring most already")
    effect = _effect(tries, seen, recovery, (stable, value), most, rng, limits)
    now, then = recovery.retries(stable, most), recovery.retries(value, most)
    note = (
        f"retry.initial {stable:g} → {value:g} s: {then:.1f} retries of failed work, not {now:.1f}"
    )
    facts = {"recovery": {
        "at_once": recovery.at_once, "tau_s": recovery.tau_s, "likelihood_gain": gain,
        "retries": len(seen.unit), "longest_seen_s": float(seen.after_s.max()),
    }}  # fmt: skip
    found = Finding(value, effect, "recovery by wait", len(seen.unit), note, facts=facts)
    return propose(asked, found, limits, suppressed)


def _enough(
    asked: Asked, recovery: Recovery, seen: Retries, stable: float, most: int
) -> float | None:
    """The shortest longer wait that brings enough, of those that history has seen."""
    low, high = (float(asked.tune.get(end) or d) for end, d in (("min", 0.0), ("max", math.inf)))
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
    rng: np.random.Generator, limits: Limits,
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
        rows = np.repeat(np.arange(len(place)), times[place])
        logs.append(log(fit(seen.after_s[rows], seen.good[rows])[0]))
    now, then = (recovery.retries(initial_s, most) for initial_s in change)
    noise = spread_of(spent) * math.hypot(1.0, then / now) / math.sqrt(1.2 * limits.ramp_units)
    return Effect(log(recovery), float(np.std(logs)), noise, float(len(names)))

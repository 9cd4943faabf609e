"""The gate: whether history alone speaks for a change, for a trial, or for neither.

A change is proposed when steps of a like size ran under the incumbent (or replays have borne
out proposals so far outside of the sizes of the others), the calibrated
chance of saving 5% is high, that of harm low, and what it is expected to save over the
coming runs is more than what its canary is expected to cost. The candidate is the one with
the largest expected saving among those that pass, which is not always the best on average.
Where none passes, a trial may still be worth its price: what it is expected to teach is
weighed in runs of the incumbent against what running it is expected to waste (the value of
sample information; Raiffa & Schlaifer, 1961). Else the answer is that history cannot say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.gate.calibration import NORMAL, Calibration
from optimizer.gate.outlook import SAVING, Outlook

Array: TypeAlias = NDArray[Any]
Verdict: TypeAlias = Literal["propose", "ask", "cannot_say"]

FARTHEST: Final = 3.0
"""Log ratios above this are charged as this: a run of twenty times the incumbent's is ended."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a policy asks of a proposal, and what there is to win."""

    horizon: int = 50
    """Runs to come, the trial's among them."""
    least_chance: float = 0.8
    most_harm: float = 0.05
    trial_runs: int = 2
    """Runs of the candidate in its canary or trial."""
    noise: float = 0.05
    """Standard deviation of one run's log outcome."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate says of one step, with its numbers. Savings are shares of the incumbent.

    ``candidate`` is what to propose or to ask about, and where history cannot say the one
    that came nearest. ``worth`` and ``price`` are in runs of the incumbent.
    """

    verdict: Verdict
    candidate: int
    chance: float
    harm: float
    saving: tuple[float, float, float]
    worth: float
    price: float
    stated: float
    known: bool
    """Whether history can speak of such a step; if not, no chance is claimed."""
    why: tuple[str, ...]


def judge(belief: Outlook, calibration: Calibration | None, terms: Terms) -> Judgement:
    """Return the verdict on one step that has run under its incumbent alone."""
    view = belief.leaning(calibration.share) if calibration is not None else belief
    stated = view.below(SAVING)
    stated[view.incumbent] = 0.0
    chance, harm = _honest(view, stated, calibration)
    worth, price = _change_worth(view, terms), _price(view, terms)
    passes = (chance >= terms.least_chance) & (harm <= terms.most_harm) & (worth > price)
    if passes.any():
        pick = int(np.argmin(np.where(passes, view.mean, np.inf)))
        return _told("propose", pick, view, calibration, (stated, chance, harm, worth, price), ())
    why = _why(view, calibration, chance, harm, worth, price, terms)
    numbers = (stated, chance, harm, lesson_worth(view, terms), price)
    asked = arm(view, terms)
    if asked is not None:
        return _told("ask", asked, view, calibration, numbers, why)
    return _told("cannot_say", int(np.argmax(chance)), view, calibration, numbers, why)


def arm(view: Outlook, terms: Terms, tried: Sequence[int] = ()) -> int | None:
    """Return the candidate whose trial is worth most above its price, if any is."""
    net = lesson_worth(view, terms) - _price(view, terms)
    net[[view.incumbent, *tried]] = -np.inf
    pick = int(np.argmax(net))
    return pick if net[pick] > 0.0 else None


def _honest(
    view: Outlook, stated: Array, calibration: Calibration | None
) -> tuple[Array, Array]:  # fmt: skip
    """The chances of a saving and of harm, as far as they are known to be right."""
    if not _known(view, calibration) or calibration is None:
        return np.zeros(len(stated)), np.ones(len(stated))
    chance = calibration.chance(stated)
    return np.where(stated > 0.0, chance, 0.0), calibration.harm(stated)


def _known(view: Outlook, calibration: Calibration | None) -> bool:
    """Whether history can speak of such a step: of a size that steps, or replays, bear out."""
    if calibration is None or not calibration.proven:
        return False
    return view.moves.steps > 0 and view.moves.beyond <= calibration.beyond


def _told(
    verdict: Verdict, pick: int, view: Outlook, calibration: Calibration | None,
    numbers: tuple[Array, Array, Array, Array, Array], why: tuple[str, ...],
) -> Judgement:  # fmt: skip
    stated, chance, harm, worth, price = (float(one[pick]) for one in numbers)
    low, high = (calibration.low, calibration.high) if calibration else (-NORMAL, NORMAL)
    low, high = min(low, 0.0), max(high, 0.0)  # the middle is in the interval
    mean, spread = float(view.mean[pick]), float(view.spread[pick])
    ratios = (mean + high * spread, mean, mean + low * spread)
    saving = tuple(float(-np.expm1(min(ratio, FARTHEST))) for ratio in ratios)
    return Judgement(
        verdict, pick, chance, harm, (saving[0], saving[1], saving[2]), worth, price, stated,
        _known(view, calibration), why,
    )  # fmt: skip


def _change_worth(view: Outlook, terms: Terms) -> Array:
    """What a change is expected to save over the runs after its canary."""
    return np.asarray(-(terms.horizon - terms.trial_runs) * np.expm1(view.mean))


def _price(view: Outlook, terms: Terms) -> Array:
    """What the trial is expected to cost above the incumbent."""
    from scipy.special import ndtr

    mean, spread = view.mean, np.maximum(view.spread, 1e-9)
    whole = np.exp(np.minimum(mean + spread**2 / 2.0, FARTHEST))
    loss = whole * ndtr(mean / spread + spread) - ndtr(mean / spread)
    return np.asarray(terms.trial_runs * np.maximum(loss, 0.0))


def lesson_worth(view: Outlook, terms: Terms) -> Array:
    """What a trial is expected to save, since only what it shows to be better is kept."""
    from scipy.special import ndtr

    noise = 2.0 * terms.noise**2 / terms.trial_runs
    spread = view.spread**2 / np.sqrt(view.spread**2 + noise)
    spread = np.maximum(spread, 1e-9)
    whole = np.exp(np.minimum(view.mean + spread**2 / 2.0, FARTHEST))
    at = view.mean / spread
    gain = ndtr(-at) - whole * ndtr(-at - spread)
    gain[view.incumbent] = 0.0
    return np.asarray((terms.horizon - terms.trial_runs) * np.maximum(gain, 0.0))


def _why(
    view: Outlook, calibration: Calibration | None, chance: Array, harm: Array, worth: Array,
    price: Array, terms: Terms,
) -> tuple[str, ...]:  # fmt: skip
    """Why no change is proposed: what would have to be otherwise."""
    if calibration is None:
        return ("history has too few families to be replayed, so that no chance can be trusted",)
    if not calibration.proven:
        return (
            f"in replays of history {calibration.harmed_by} of {calibration.proposed} proposals "
            f"(in {calibration.proposing} families) would have done harm: too many, or too few "
            "to tell",
        )
    if not view.moves.steps:
        return ("no step of history ran under the incumbent",)
    if view.moves.beyond > calibration.beyond:
        times = float(np.exp(view.moves.beyond))
        return (f"its outcome lies x{times:.2g} beyond that of every step in history",)
    best = int(np.argmax(chance))
    found = []
    if chance[best] < terms.least_chance:
        found.append(f"a saving of 5% has a chance of {chance[best]:.0%} at best")
    if harm[best] > terms.most_harm:
        found.append(f"harm has a chance of {harm[best]:.0%}")
    if worth[best] <= price[best]:
        found.append(f"it would save {worth[best]:.1f} runs and cost {price[best]:.1f}")
    return tuple(found)

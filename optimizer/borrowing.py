"""Borrowing: from which steps one borrows, how much each resembles it, and what each weighs.

The weights hang on resemblance by the share that it has earned (see `resemblance`); without
one all are 1. A proposal names those that it was borrowed from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optimizer.elsewhere import Elsewhere
from optimizer.finding import Asked
from optimizer.gate.lent import lent, pull_of
from optimizer.resemblance import resemblance
from optimizer.search.history import History


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A step that is borrowed from: how much it resembles this one, and what it weighs.

    The weight is of 1 for the step that is most alike.
    """

    step: str
    resemblance: float
    weight: float


def lend(
    seen: Elsewhere, asked: Asked, settings: Sequence[str], history: History,
    earned: Mapping[str, float],
) -> tuple[History, tuple[Borrowed, ...]]:  # fmt: skip
    """Return the history as it speaks to this step, and who lends, the most alike first.

    ``earned`` is the share that resemblance has earned, by objective.
    """
    step = (asked.scope["playbook"], asked.scope["step"])
    places = seen.lenders(asked.objective, settings, without=step)
    mine = seen.described[seen.steps.index(step)]
    alike = np.asarray([resemblance(mine, seen.described[place]) for place in places])
    told = lent(history, alike, earned.get(asked.objective, 0.0))
    names = ["#".join(seen.steps[place]) for place in places]
    return told, ranked(names, alike, pull_of(told))


def ranked(
    steps: Sequence[str], alike: Iterable[float], weights: Iterable[float]
) -> tuple[Borrowed, ...]:  # fmt: skip
    """Return who lends, the most alike first."""
    borrowed = (
        Borrowed(step, round(float(much), 3), round(float(weight), 3))
        for step, much, weight in zip(steps, alike, weights, strict=True)
    )
    return tuple(sorted(borrowed, key=lambda one: (-one.resemblance, one.step)))


def resembling(borrowed: Sequence[Borrowed]) -> str:
    """Return in words which steps weigh most; nothing where all weigh alike."""
    if all(one.weight == 1.0 for one in borrowed):
        return ""
    most = ", ".join(f"{one.step} {one.weight:.2f}" for one in borrowed[:3])
    return f"; steps that resemble it weigh more ({most} to {borrowed[-1].weight:.2f})"

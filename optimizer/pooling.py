"""Pooling: how classes of error recover in other steps, as it speaks to one step.

Steps that resemble it weigh more in what it borrows, by the share that resemblance has
earned here (see `resemblance`): every step is foretold by those of other families, its units
alike and weighed, and what its errors did has to be likelier with the weights. Where it
earned nothing, or the units are few, all weigh alike. The weights never change how much is
borrowed, only of whom.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.borrowing import Borrowed
from optimizer.models.chains import Cells, by_class, together
from optimizer.models.recovery import ANYTHING, Rates
from optimizer.resemblance import SHARES, Described, between, earned, pulls, words_of
from optimizer.tries import Tries

Array: TypeAlias = NDArray[Any]

NOTHING: Final = 10.0
"""Units that it weighs that nothing is known of a class."""
MOST_ASKED: Final = 60
"""So many steps are foretold to see what resemblance is worth; more add little but time."""
TOLD: Final = 3
"""So many of the steps that were borrowed from are named."""


@dataclass(frozen=True, slots=True)
class Errors:
    """One step's errors: its name, what is known of it beside them, and its units by class."""

    playbook: str
    step: str
    described: Described
    cells: Mapping[str, Cells]

    @classmethod
    def of(cls, playbook: str, step: str, known: Described | None, tries: Tries) -> Errors:
        """Return a step's errors; what its tries take is part of what it resembles others by."""
        told = known or Described(words=words_of(f"{playbook} {step}"))
        return cls(playbook, step, replace(told, takes=_takes(tries)), by_class(tries))


@dataclass(frozen=True, slots=True)
class Priors:
    """How classes of error recover elsewhere, and from whom that is known, by class."""

    rates: Mapping[str, Rates] = field(default_factory=dict)
    borrowed: Mapping[str, tuple[Borrowed, ...]] = field(default_factory=dict)

    def of(self, name: str) -> Rates:
        """Return the spread of a class; anything where nobody had it."""
        return self.rates.get(name, ANYTHING)

    def says(self, names: Iterable[str]) -> str:
        """Return in words from whom these classes are borrowed; "" where all weigh alike."""
        found = {one.step: one for name in names for one in self.borrowed.get(name, ())}
        if all(one.weight == 1.0 for one in found.values()):
            return ""
        most = sorted(found.values(), key=lambda one: (-one.weight, one.step))[:TOLD]
        names_ = ", ".join(f"{one.step} {one.weight:.2f}" for one in most)
        return f"; how errors recover is borrowed from steps that resemble it most: {names_}"


def priors(mine: Errors, others: Sequence[Errors], share: float) -> Priors:
    """Return what others know of a step's classes; ``share`` is what resemblance has earned."""
    names = sorted({name for one in others for name in one.cells})
    rates, borrowed = {}, {}
    for name in names:
        known = [one for one in others if name in one.cells]
        alike = between_one(mine, known)
        weight = pulls(alike, share)
        cells = _weighed([one.cells[name] for one in known], weight)
        rates[name] = cells.rates(ANYTHING, NOTHING, None)
        borrowed[name] = tuple(
            Borrowed(f"{one.playbook}#{one.step}", round(float(much), 3), round(float(w), 3))
            for one, much, w in zip(known, alike, weight, strict=True)
        )
    return Priors(rates, borrowed)


def between_one(mine: Errors, others: Sequence[Errors]) -> Array:
    """Return how much each of the others resembles a step."""
    return between([mine.described, *(one.described for one in others)])[0, 1:]


def earned_by(steps: Sequence[Errors]) -> float:
    """Return the share of a step's weight that may hang on resemblance, by these steps' errors."""
    asked = [one for one in steps if one.cells]
    if len(asked) > MOST_ASKED:
        asked = [asked[round(k)] for k in np.linspace(0, len(asked) - 1, MOST_ASKED)]
    if len({one.playbook for one in asked}) < 2:
        return 0.0
    return earned(np.stack([_gains(one, asked) for one in asked]), [one.playbook for one in asked])


def _gains(mine: Errors, steps: Sequence[Errors]) -> Array:
    """How much likelier a unit of a step's is, by share, with others weighed than alike."""
    gained, units = np.zeros(len(SHARES)), 0.0
    for name, cells in mine.cells.items():
        known = [one for one in steps if one.playbook != mine.playbook and name in one.cells]
        if not known:
            continue
        alike = between_one(mine, known)
        theirs = [one.cells[name] for one in known]
        told = [
            _weighed(theirs, pulls(alike, share)).rates(ANYTHING, NOTHING, None)
            for share in (0.0, *SHARES)
        ]
        likely = np.asarray([cells.likely(one) for one in told])
        gained += likely[1:] - likely[0]
        units += cells.retried
    return gained / max(units, 1.0)


def _weighed(cells: Sequence[Cells], weight: Array) -> Cells:
    """Cells of several steps as if of one, of as many units as there are; equal ones are one."""
    units = np.asarray([one.units for one in cells])
    mean = float((units * weight).sum() / max(units.sum(), 1e-12))
    scaled = [one.times(float(w) / mean) for one, w in zip(cells, weight, strict=True)]
    all_ = together([{"": one} for one in scaled])[""]
    pairs = np.column_stack([all_.failed, all_.succeeded])
    each, place = np.unique(pairs, axis=0, return_inverse=True)
    count = np.bincount(place.ravel(), weights=np.asarray(all_.count), minlength=len(each))
    return Cells(*(tuple(map(float, column)) for column in (*each.T, count)))


def _takes(tries: Tries) -> dict[str, float]:
    """What tries that succeed take, in logs."""
    good = tries.where((tries.error == "") & (tries.seconds > 0.0))
    if not len(good):
        return {}
    found = {"log_s": float(np.log(good.seconds).mean())}
    memory = good.memory[good.memory > 0]
    return found | ({"log_memory": float(np.log(memory).mean())} if len(memory) else {})

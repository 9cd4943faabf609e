"""Lenders: the curves that the steps of one cycle may borrow of each other.

A step is described by what the catalogue says that it runs, by the hardware that it ran on,
and by what an item of it takes; without a catalogue, by its name. How much a weight may hang
on that is what replays of these same curves have earned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.observer import Observation
from optimizer.elsewhere import StepName
from optimizer.models.lending import SEVERAL, Lender, Lending, earned_by
from optimizer.resemblance import Described, words_of
from optimizer.scope import step_named
from optimizer.unsafe import curve_of


@dataclass(frozen=True, slots=True)
class Lenders:
    """Every step that has a curve, with what is known of all steps."""

    known: Mapping[str, Described]
    lenders: tuple[Lender, ...]
    few: float
    several: float
    """The share that resemblance has earned with one size known, and with several."""

    def to(self, one: Observation) -> Lending:
        """Return what one step may borrow: the curves of all others."""
        step = _name(one)
        sizes = len(np.unique(one.history.size[one.history.whole]))
        share = self.several if sizes >= SEVERAL else self.few
        others = tuple(lender for lender in self.lenders if lender.step != step)
        return Lending(self.known[step], others, share)


def lenders_of(
    seen: Sequence[Observation], told: Mapping[StepName, Described] | None = None
) -> Lenders:  # fmt: skip
    """Return who lends among the steps of a cycle; ``told`` is what the catalogue says of them."""
    known = {_name(one): _described(one, told or {}) for one in seen}
    curves = [(one, curve_of(one.history)) for one in seen]
    lenders = tuple(
        Lender(_name(one), str(one.scope["playbook"]), known[_name(one)], curve)
        for one, curve in curves
        if curve is not None
    )
    knobs = [knob["name"] for one in seen for knob in one.scope.get("tune") or ()]
    asked = lenders if "each.batch" in knobs else ()
    return Lenders(known, lenders, earned_by(asked, 1), earned_by(asked, SEVERAL))


def _name(one: Observation) -> str:
    return step_named(one.scope)


def _described(one: Observation, told: Mapping[StepName, Described]) -> Described:
    step = str(one.scope["playbook"]), str(one.scope["step"])
    found = told.get(step) or Described(words=words_of(" ".join(step)))
    hardware = {f"hardware {kind}" for kind in np.unique(one.tries.hardware) if kind}
    return replace(found, words=found.words | hardware, takes=_takes(one))


def _takes(one: Observation) -> dict[str, float]:
    """What an item takes in seconds, and an attempt in bytes, as means of logs where known."""
    whole = one.history.where(one.history.whole)
    seconds = whole.seconds[whole.items > 0] / whole.items[whole.items > 0]
    logs = {"log_s": seconds, "log_memory": one.tries.memory}
    return {
        name: float(np.log(values[values > 0]).mean())
        for name, values in logs.items()
        if (values > 0).any()
    }

"""What the drawn units of past trials say by their logged chances, for a proposal's evidence.

A unit is a block of an experiment: the value it was drawn to, and the share with which it
could be. Its outcome is log seconds (or cost) an item. Both off-policy estimates of a value
and of the stable one stand beside the adjusted effect; where they disagree, a reader sees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.evidence import Batches
from optimizer.objective import Objective
from optimizer.off_policy import compared

Array: TypeAlias = NDArray[Any]
Json: TypeAlias = Any


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """One entry a unit; ``items`` is how much work its run had."""

    experiment: Array
    value: Array
    share: Array
    outcome: Array
    items: Array

    def of_both(self, one: int, other: int) -> Drawn:
        """Return the units of the experiments that drew either value.

        Another experiment's units had no chance of it, and were of another time.
        """
        either = (
            np.unique(self.experiment[self.value == one]),
            np.unique(self.experiment[self.value == other]),
        )
        keep = np.isin(self.experiment, np.intersect1d(*either))
        return Drawn(*(getattr(self, f.name)[keep] for f in fields(self)))


def drawn(history: Batches, column: str, objective: Objective) -> Drawn:
    """Return the units of a history that were drawn to an arm with a known chance."""
    known = history.where((history.experiment != "") & (history.share > 0.0))
    if not len(known):
        return Drawn(*(np.empty(0) for _ in fields(Drawn)))
    names = np.char.add(np.char.add(known.run.astype(str), "/"), known.block.astype(str))
    _, first, unit = np.unique(names, return_index=True, return_inverse=True)
    spent = known.cost if objective == "cost" else known.seconds
    outcome = np.bincount(unit, weights=spent) / np.bincount(unit, weights=known.items)
    _, run = np.unique(known.run, return_inverse=True)
    items = np.bincount(run, weights=known.items)[run][first]
    fine = np.isfinite(outcome) & (outcome > 0.0)
    value: Array = getattr(known, column)
    whose, drawn_to, share = (
        column[first][fine] for column in (known.experiment, value, known.share)
    )
    return Drawn(whose, drawn_to, share, np.log(outcome[fine]), np.log(items[fine]))


def off_policy(
    history: Batches, column: str, value: int, stable: int, objective: Objective
) -> dict[str, Json]:
    """Return the estimates of a value against the stable one; empty where nothing was drawn."""
    units = drawn(history, column, objective).of_both(value, stable)
    if not len(units.value):
        return {}
    arms = {
        name: (units.value == v, np.minimum(units.share, 1.0))
        for name, v in (("value", value), ("stable", stable))
    }
    found = compared(arms, units.outcome, units.items)
    return {"units": len(units.value), **found, **_effects(found)}


def _effects(found: Mapping[str, Json]) -> dict[str, Json]:
    """The relative effect by each estimate, where both arms have one."""
    if any("refused" in found[arm] for arm in ("value", "stable")):
        return {}
    return {
        f"effect_{method}": math.expm1(
            found["value"][method]["mean"] - found["stable"][method]["mean"]
        )
        for method in ("snips", "doubly_robust")
    }

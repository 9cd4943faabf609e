"""What the values of several knobs must keep together, whatever each may be by itself.

Batches in flight times items in a batch may not be more than a run has, or slots stand
idle; no more batches may be in flight than a limit lets through at once, or they only wait.

>>> broken({"each.batch": 50, "each.in_flight": 8}, run_items=200)
'8 batches of 50 at once are more than the 200 items of a run'
>>> broken({"each.batch": 20, "each.in_flight": 8}, run_items=200, most_in_flight=4)
'a limit of the step lets through 4 at once'
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

Json: TypeAlias = Any


def broken(values: Mapping[str, Json], run_items: int, most_in_flight: int | None = None) -> str:
    """Return which constraint these values break together, or nothing."""
    batch, at_once = int(values.get("each.batch", 1)), int(values.get("each.in_flight", 1))
    if run_items and batch * at_once > run_items:
        return f"{at_once} batches of {batch} at once are more than the {run_items} items of a run"
    if most_in_flight is not None and at_once > most_in_flight:
        return f"a limit of the step lets through {most_in_flight} at once"
    return ""


def together(
    scope: Mapping[str, Json], knob: str, values: Iterable[int], run_items: int
) -> dict[int, str]:  # fmt: skip
    """Return the values of one knob that do not go with the step's other stable values."""
    now = {**scope.get("defaults", {}), **(scope.get("stable") or {})}
    most = scope.get("most_in_flight")
    told = {v: broken({**now, knob: v}, run_items, most) for v in values if v > now.get(knob, 1)}
    return {v: why for v, why in told.items() if why}

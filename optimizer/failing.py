"""Which values of a knob clearly fail more often, or are clearly dearer, than the stable one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from optimizer.evidence import Value
from optimizer.models import failures
from optimizer.models.levels import Level

SURE: Final = 0.95
"""How likely it must be that a value fails more often before it is said to."""


def fails_more(value: Value, base: Value, margin: float) -> str:
    """Say how often a value's first tries fail, where that is clearly more than the base's."""
    fails = failures.worse(value.retried, value.batches, base.retried, base.batches, margin)
    if fails < SURE:
        return ""
    share = value.retried / value.batches
    return f"{share:.0%} of its batches failed at first ({value.batches} seen)"


def no_good(
    values: Mapping[int, Value], levels: Mapping[int, Level], stable: int, margin: float,
    dearer: Callable[[Level], str],
) -> dict[int, str]:  # fmt: skip
    """Say of each value that is no good why; ``dearer`` says by how much, or nothing."""
    base, found = values[stable], {}
    for v, value in values.items():
        if v == stable:
            continue
        told = fails_more(value, base, margin)
        told = told or (dearer(levels[v]) if v in levels else "")
        if told:
            found[v] = told
    return found

"""Knobs: the parameters of a step that may be tuned, by the names a playbook uses.

One registry: whatever is not here is not tunable. ``defaults`` gives a step's own values,
the lowest layer of its effective configuration.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from runtime.playbook.blocks import TOOL_CLASSES
from runtime.playbook.model import DEFAULT, Json, Step

KnobClass: TypeAlias = Literal[
    "batch", "concurrency", "retry", "timeout", "placement", "alternative", "schedule"
]

KNOBS: Final[dict[str, KnobClass]] = {
    "each.batch": "batch",
    "each.in_flight": "concurrency",
    "retry.attempts": "retry",
    "retry.on": "retry",
    "retry.initial": "retry",
    "retry.budget": "retry",
    "timeout": "timeout",
    "hedge": "timeout",
    "runs_on": "placement",
    "alternatives": "alternative",
    "start.hours": "schedule",
}

LATER: Final = ()
"""Knobs of the design that do not work yet."""

RETRYABLE: Final = (*TOOL_CLASSES, "lost")
"""Classes of error that may be tried again."""

DURATIONS: Final = frozenset({"timeout", "hedge", "retry.initial"})
"""Knobs whose values are seconds, written as durations."""

SHARES: Final = frozenset({"retry.budget"})
"""Knobs whose values are shares above 0 and up to 1, written as percentages."""

SUBSETS: Final = frozenset({"retry.on"})
"""Knobs whose choices may be left out one by one: a value is a list of some of them."""

LIMITS: Final[dict[str, tuple[int, int]]] = {
    "each.batch": (1, 1_000_000),
    "each.in_flight": (1, 1_000),
    "retry.attempts": (1, 100),
}
"""What a whole-numbered knob may be at all, whoever sets it."""


def defaults(step: Step) -> dict[str, Json]:
    """Return the values the author gave the step's knobs."""
    values: dict[str, Json] = {
        "retry.attempts": step.retry.attempts,
        "retry.on": list(step.retry.on),
        "retry.initial": step.retry.initial_s,
        "retry.budget": step.retry.budget,
        "timeout": step.timeout_s,
        "runs_on": step.runs_on,
    }
    if step.each is not None:
        values |= {"each.batch": step.each.batch, "each.in_flight": step.each.in_flight}
    if step.hedge is not None:
        values["hedge"] = step.hedge.after_s
    if step.start is not None:
        values["start.hours"] = step.start.hours
    if step.alternatives:
        values["alternatives"] = DEFAULT
    return values

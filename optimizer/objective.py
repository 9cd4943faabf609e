"""What a proposal improves: cost or time per item, and how the record measures it.

A batch knob is judged by the slot time of all tries per item (its cost, when a price is
known); a concurrency knob by the wall time of drained blocks per item, because more at
once makes each attempt slower and the whole faster.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from runtime.playbook.knobs import KnobClass

Objective: TypeAlias = Literal["cost", "time"]

COST_COVERAGE: Final = 0.98
"""Below this share of attempts with a cost, cost is not an objective: missing is not zero."""


def choose(knob: KnobClass, wished: Objective, cost_coverage: float) -> Objective:
    """Return the objective of a proposal of this class.

    >>> (
    ...     choose("concurrency", "cost", 1.0),
    ...     choose("batch", "cost", 1.0),
    ...     choose("batch", "cost", 0.5),
    ... )
    ('time', 'cost', 'time')
    """
    if knob == "concurrency" or wished == "time":
        return "time"
    return "cost" if cost_coverage >= COST_COVERAGE else "time"

"""What can be measured over time, and by what: the words that the API and the CLI share."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

Dimension: TypeAlias = Literal[
    "playbook", "step", "hardware", "configuration", "arm", "version", "label"
]
Measure: TypeAlias = Literal[
    "queue_p50_s", "queue_p95_s", "run_p50_s", "run_p95_s", "total_p50_s", "total_p95_s",
    "total_p99_s", "cost_usd", "cost_per_item_usd", "items_per_s",
]  # fmt: skip
"""Those of which changes of level are looked for."""
Figure: TypeAlias = Literal[
    "queue_p50_s", "queue_p90_s", "queue_p95_s", "queue_p99_s", "run_p50_s", "run_p90_s",
    "run_p95_s", "run_p99_s", "total_p50_s", "total_p90_s", "total_p95_s", "total_p99_s",
    "cost_usd", "cost_per_item_usd", "spend_usd", "failed", "retried", "attempts",
    "attempts_per_s", "items", "items_per_s",
]  # fmt: skip
"""Every figure that a bucket has."""
Grain: TypeAlias = Literal["minute", "hour", "day"]
MEASURES: Final[tuple[str, ...]] = get_args(Measure)
GRAINS: Final[dict[str, int]] = {"minute": 60, "hour": 3600, "day": 86_400}
ADDED: Final = frozenset({"cost_usd", "spend_usd", "failed", "retried", "attempts", "items"})
"""Figures that add up over time; of the others there is a usual one."""

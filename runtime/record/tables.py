"""The record's tables as values: their columns and kinds, in the order of their rows.

`derive` makes rows for them, `clickhouse` turns rows into Arrow by the kinds, and a test
holds them against the DDL in ``migrations/``. Every table starts with the place of the
event that its row was made from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Kind: TypeAlias = Literal["u8", "u16", "u32", "u64", "i64", "f64", "f64?", "text", "texts", "time"]
Row: TypeAlias = tuple[Any, ...]
Rows: TypeAlias = dict[str, list[Row]]
"""Table name → its rows."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table's name and its columns. ``name`` is where it is written; ``<name>s`` is read."""

    name: str
    columns: tuple[tuple[str, Kind], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(name for name, _ in self.columns)


_PLACE: Final[tuple[tuple[str, Kind], ...]] = (
    ("writer", "u32"), ("pos", "u64"), ("stream", "text"), ("stream_seq", "u64"), ("at", "time"),
)  # fmt: skip

EVENT: Final = Table(
    "event", (*_PLACE, ("type", "text"), ("version", "u16"), ("body", "text"))
)  # fmt: skip

TRANSITION: Final = Table(
    "transition",
    (
        *_PLACE, ("ordinal", "u16"), ("run", "text"), ("playbook", "text"), ("step", "text"),
        ("batch", "i64"), ("number", "u16"), ("attempt", "text"), ("transition", "text"),
        ("detail", "text"),
    ),
)  # fmt: skip

ATTEMPT: Final = Table(
    "attempt",
    (
        *_PLACE, ("scheduled_at", "time"), ("run", "text"), ("playbook", "text"),
        ("version", "text"), ("number_of_version", "u32"), ("step", "text"), ("batch", "i64"),
        ("block", "i64"), ("start", "u64"), ("attempt", "text"), ("number", "u16"),
        ("outcome", "text"), ("error_class", "text"), ("error_message", "text"),
        ("fingerprint", "text"), ("retried", "u8"), ("queue_s", "f64"), ("run_s", "f64"),
        ("total_s", "f64"), ("items", "u64"), ("rows_in", "u64"), ("rows_out", "u64"),
        ("bytes_in", "u64"), ("bytes_out", "u64"), ("cpu_s", "f64"), ("rss_peak", "u64"),
        ("worker", "text"), ("hardware", "text"), ("environment", "text"),
        ("price_usd_hour", "f64?"), ("cost_usd", "f64?"), ("spend_usd", "f64"),
        ("config", "text"), ("batch_size", "u32"), ("in_flight", "u32"), ("retry_limit", "u16"),
        ("timeout_s", "f64?"), ("runs_on", "text"), ("experiment", "text"), ("arm", "text"),
        ("share", "f64?"), ("system", "u8"), ("overridden", "u8"), ("post_decision", "u8"),
        ("text", "text"), ("tokens", "u64"), ("calls", "u64"), ("alternative", "text"),
        ("hedge", "text"), ("over_budget", "u8"),
    ),
)  # fmt: skip

OUTPUT: Final = Table(
    "output",
    (
        *_PLACE, ("run", "text"), ("playbook", "text"), ("step", "text"), ("batch", "i64"),
        ("attempt", "text"), ("outcome", "text"), ("printed", "text"),
    ),
)  # fmt: skip

RUN: Final = Table(
    "run",
    (
        *_PLACE, ("run", "text"), ("playbook", "text"), ("version", "text"),
        ("number_of_version", "u32"), ("state", "text"), ("submitted_at", "time"),
        ("started_at", "time"), ("ended_at", "time"), ("wall_s", "f64"), ("attempts", "u64"),
        ("failed_attempts", "u64"), ("items", "u64"), ("cost_usd", "f64?"), ("actor", "text"),
        ("system", "u8"), ("overridden", "u8"), ("experiments", "texts"), ("error_step", "text"),
        ("error_class", "text"), ("error_message", "text"), ("fingerprint", "text"),
    ),
)  # fmt: skip

PROPOSAL: Final = Table(
    "proposal",
    (
        *_PLACE, ("proposal", "text"), ("kind", "text"), ("playbook", "text"), ("step", "text"),
        ("knob_class", "text"), ("objective", "text"), ("author", "text"), ("diff", "text"),
        ("predicted", "text"), ("evidence", "text"), ("move", "text"), ("source", "text"),
        ("target", "text"), ("actor", "text"), ("reason", "text"), ("note", "text"),
        ("bound_hash", "text"), ("policy_hash", "text"), ("stage", "u16"),
    ),
)  # fmt: skip

VERDICT: Final = Table(
    "verdict",
    (
        *_PLACE, ("proposal", "text"), ("experiment", "text"), ("verdict", "text"),
        ("reason", "text"), ("units", "text"), ("statistics", "text"), ("final", "u8"),
    ),
)  # fmt: skip

OUTCOME: Final = Table(
    "outcome",
    (
        *_PLACE, ("proposal", "text"), ("knob_class", "text"), ("objective", "text"),
        ("lower", "f64?"), ("median", "f64?"), ("upper", "f64?"), ("realised", "f64?"),
        ("realised_lower", "f64?"), ("realised_upper", "f64?"), ("covered", "text"),
    ),
)  # fmt: skip

EXPERIMENT: Final = Table(
    "experiment",
    (
        *_PLACE, ("experiment", "text"), ("proposal", "text"), ("playbook", "text"),
        ("step", "text"), ("knob_class", "text"), ("design", "text"), ("move", "text"),
        ("stage", "u16"), ("base", "text"), ("arms", "text"), ("shares", "text"),
        ("block_items", "u64"), ("plan", "text"), ("actor", "text"), ("reason", "text"),
    ),
)  # fmt: skip

PRODUCT: Final = Table(
    "product",
    (
        *_PLACE, ("run", "text"), ("playbook", "text"), ("step", "text"), ("product", "text"),
        ("number", "u64"), ("state", "text"), ("location", "text"), ("media", "text"),
        ("rows", "u64"), ("bytes", "u64"), ("sha256", "text"), ("schema", "text"),
        ("checks", "text"), ("inputs", "texts"), ("system", "u8"),
    ),
)  # fmt: skip

TABLES: Final = (
    EVENT, TRANSITION, ATTEMPT, RUN, PROPOSAL, VERDICT, OUTCOME, EXPERIMENT, PRODUCT, OUTPUT,
)  # fmt: skip

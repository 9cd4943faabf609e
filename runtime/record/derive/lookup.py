"""What a row is made with: earlier facts of the journal, and values as columns hold them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

from runtime.record.tables import Row
from runtime.run.events import Recorded, RunSubmitted


class Lookup(Protocol):
    """Earlier facts of the journal."""

    def event(self, stream: str, seq: int) -> Recorded | None:
        """Return one event, or None."""
        ...

    def read(self, stream: str, after: int = 0) -> Iterator[Recorded]:
        """Yield the events of a stream, in order."""
        ...


def submitted(recorded: Recorded, lookup: Lookup) -> tuple[RunSubmitted | None, float]:
    """Return how the run of this event was submitted, and when."""
    first = lookup.event(recorded.stream, 1)
    if first is None or not isinstance(first.event, RunSubmitted):
        return None, recorded.at
    return first.event, first.at


def place(r: Recorded) -> Row:
    """Return where a fact stands: the columns that every table begins with."""
    return (r.writer, r.pos, r.stream, r.stream_seq, r.at)


def whole(value: Any) -> int:
    """Return a whole number, 0 where there is none."""
    return int(value) if isinstance(value, int | float) else 0


def number(value: Any) -> float | None:
    """Return a number, None where there is none."""
    return float(value) if isinstance(value, int | float) else None


def as_json(value: Any) -> str:
    """Return a value as JSON that is the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

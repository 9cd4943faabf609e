"""How far the record is behind the journal, as values: for metrics, doctor and pages.

::

    for sink in Lag.read(folder).sinks:
        gauge.set(sink.behind_s)

A sink that is down is no loss: what it lacks waits in the journal, and it is caught up from
its cursor. `Sink.sentence` says so to a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from runtime.data.folder import DataFolder
from runtime.record.access import status

_NAMES = {"clickhouse": "ClickHouse", "qdrant": "Qdrant"}


@dataclass(frozen=True, slots=True)
class Sink:
    """One place that the journal is copied to."""

    name: str
    cursor: Mapping[int, int]
    """Writer → the position up to which everything is there."""
    ready: bool
    behind_events: int
    behind_s: float
    """How old the oldest event is that is not there yet."""
    events: int
    """How many this recorder has copied since it started."""
    batches: int
    write_s: float
    error: str | None
    down_since: float | None

    @property
    def down(self) -> bool:
        """Whether it cannot be written at the moment."""
        return self.error is not None

    @property
    def sentence(self) -> str:
        """How it is, for a person."""
        name = _NAMES.get(self.name, self.name)
        if self.error is not None:
            since = "" if self.down_since is None else f" since {_clock(self.down_since)}"
            return (
                f"{name} cannot be written{since}: {self.error.splitlines()[0][:200]}. "
                f"{self.behind_events} events wait in the journal; nothing is lost, and they are "
                f"written from {_cursor(self.cursor)} on once it answers"
            )
        if not self.behind_events:
            return f"{name} holds the whole journal"
        return f"{name} is {self.behind_events} events and {self.behind_s:.1f} s behind"


@dataclass(frozen=True, slots=True)
class Lag:
    """What a recorder says of its sinks."""

    pid: int
    up_s: float
    sinks: tuple[Sink, ...]

    @classmethod
    def read(cls, folder: DataFolder, wait_s: float = 0.0) -> Lag:
        """Ask the recorder of a data folder.

        Raises:
            RecorderAway: it does not answer within ``wait_s``.
        """
        return cls.of(status(folder, wait_s))

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Lag:
        """Return what a recorder's status (``/status``) says."""
        sinks = [_sink(name, sink) for name, sink in said["sinks"].items() if sink]
        return cls(int(said["pid"]), float(said["up_s"]), tuple(sinks))

    @property
    def down(self) -> bool:
        """Whether a sink cannot be written at the moment."""
        return any(sink.down for sink in self.sinks)

    @property
    def sentence(self) -> str:
        """How the record is, for a person."""
        return "; ".join(sink.sentence for sink in self.sinks) or "the journal has not begun"


def _sink(name: str, said: Mapping[str, Any]) -> Sink:
    return Sink(
        name, {int(w): int(pos) for w, pos in said["cursor"].items()}, bool(said["ready"]),
        int(said["behind_events"]), float(said["behind_s"]), int(said["events"]),
        int(said.get("batches", 0)), float(said.get("write_s", 0.0)), said["error"],
        said.get("down_since"),
    )  # fmt: skip


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _cursor(cursor: Mapping[int, int]) -> str:
    if not cursor:
        return "the start"
    writer = max(cursor)
    return f"position {cursor[writer]} of writer {writer}"

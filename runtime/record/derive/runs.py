"""The row of a run that has ended."""

from __future__ import annotations

from typing import Final

from runtime.record.derive.causes import cause
from runtime.record.derive.lookup import Lookup, place, submitted
from runtime.record.tables import Row
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    EachCut,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunStarted,
    RunSubmitted,
)

ENDED: Final = {RunCompleted: "completed", RunFailed: "failed", RunCancelled: "cancelled"}


class _Tally:
    """What a run's row adds up from its stream."""

    def __init__(self) -> None:
        self.started: float | None = None
        self.attempts = self.failed = 0
        self.items = 1
        self.cost: float | None = None
        self.experiments: set[str] = set()

    def add(self, recorded: Recorded) -> None:
        event = recorded.event
        if isinstance(event, AttemptFinished):
            if event.copied:
                return  # it is in the row of the run that it happened in
            self.attempts += 1
            self.failed += event.speaks_against
            if event.cost_usd is not None:
                self.cost = (self.cost or 0.0) + event.cost_usd
        elif isinstance(event, EachCut):
            self.items = max(self.items, int((event.items or {}).get("count", 0)))
            if event.experiment:
                self.experiments.add(event.experiment)
        elif isinstance(event, AttemptScheduled) and event.experiment:
            self.experiments.add(event.experiment)
        elif isinstance(event, RunStarted) and self.started is None:
            self.started = recorded.at


def _is_special(run: RunSubmitted | None) -> bool:
    """Whether a run says nothing of how others go: it had values of its own, or a head start."""
    return run is not None and bool(run.overrides or run.forked)


def run_row(r: Recorded, lookup: Lookup) -> Row:
    """Return the row of a run that has ended, summed over its stream."""
    run, submitted_at = submitted(r, lookup)
    tally = _Tally()
    for recorded in lookup.read(r.stream):
        if recorded.stream_seq > r.stream_seq:
            break
        tally.add(recorded)
    started_at = submitted_at if tally.started is None else tally.started
    fault = r.event.fault if isinstance(r.event, RunFailed) else None
    step = r.event.step if isinstance(r.event, RunFailed) else ""
    return (
        *place(r), r.stream.removeprefix("run/"), run.playbook if run else "",
        run.version if run else "", run.number if run else 0, ENDED[type(r.event)],
        submitted_at, started_at, r.at, r.at - started_at, tally.attempts, tally.failed,
        tally.items, tally.cost, run.actor if run else "", int(run is not None and run.system),
        int(_is_special(run)), sorted(tally.experiments), step,
        fault.cls if fault else "", fault.message if fault else "",
        cause(step, fault) if fault else "",
    )  # fmt: skip

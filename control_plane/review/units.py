"""Units: an experiment's blocks, folded from the events of the runs that took part.

A block is drawn to an arm before it is cut into batches; it is one unit once every batch
of it is final, rescues included. Its outcomes are per item. The step's last block is
left out when it is shorter than the others. For hours of the day the unit is the run, and the
order is that of drawing: what begins now is known before what was drawn with it waits tonight.
Nothing here asks a database: what was committed is all there is to know, and reading the
journal again gives the same units.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from statistics import fmean, stdev

from optimizer.effect import Effect
from optimizer.verify import CONTROL, Unit
from runtime.playbook.hours import ANY, after_midnight, day_of
from runtime.playbook.zones import zone_of
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    EachCut,
    ExperimentRamped,
    ExperimentStarted,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunSubmitted,
    StepHeld,
)

LEAST_SECONDS = 1e-6
"""A block that took no measurable time still took some."""
LONGEST_S = 2 * 86_400.0
"""Where units count in the order of drawing, one holds back those after it no longer."""


@dataclass(slots=True)
class Block:
    """One block of a run while its batches come in."""

    arm: str
    share: float
    items: int
    whole: bool
    began: float
    pair: tuple[str, int] | None
    open: set[int]
    own: int
    control_share: float
    ranges: dict[int, tuple[int, int]]
    seconds: float = 0.0
    cost: float | None = 0.0
    retried: int = 0
    failed_items: int = 0
    ended: float = 0.0
    waits: bool = False
    """Whether it was drawn and waits for its hours of the day."""
    rescues: bool = True
    beside: set[str] = field(default_factory=set)
    """Open tries of batches of which more than one was begun at once: all have their cost."""

    @property
    def is_open(self) -> bool:
        """Whether something of it is still to come."""
        return bool(self.open or self.beside)

    def finish(self, event: AttemptFinished, at: float, *, rescue: bool) -> None:
        """Take one try of one of its batches into account."""
        counts = not rescue or self.rescues
        self.seconds += event.run_s * counts
        self.ended = max(self.ended, at)
        if counts and self.cost is not None:
            self.cost = None if event.cost_usd is None else self.cost + event.cost_usd
        failed = event.outcome != "succeeded" and not event.moot and not event.went_down
        if failed and event.number == 1 and not rescue:
            self.retried += 1
        self.beside.discard(event.attempt)
        final = event.retry_at is None and not event.moot
        if final:
            self.open.discard(event.batch)
        if failed and not rescue and (final or event.rescued):
            self.failed_items += self.ranges[event.batch][1]


@dataclass(slots=True)
class Units:
    """The fold. Feed it every committed event since the experiment began, in order."""

    started: ExperimentStarted
    runs: set[str] = field(default_factory=set)
    ended_runs: int = 0
    workers: set[str] = field(default_factory=set)
    aside: int = 0
    days: set[int] = field(default_factory=set)
    """Days on which units of a candidate began, on the clock of the step's zone: see `_day`."""
    _by_day: dict[int, dict[bool, list[float]]] = field(default_factory=dict)
    """Log outcomes by the day of drawing, of candidates (True) and of the control."""
    _now: float = 0.0
    _shares: Mapping[str, float] = field(default_factory=dict)
    _blocks: dict[tuple[str, int], Block] = field(default_factory=dict)
    _batches: dict[tuple[str, int], tuple[tuple[str, int], bool]] = field(default_factory=dict)
    _pairs: dict[tuple[str, int], int] = field(default_factory=dict)
    _branches: set[str] = field(default_factory=set)
    _rescues: bool = True
    _zone: tzinfo = UTC
    _late: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self._shares = self.started.shares
        self._rescues = bool(self.started.plan.get("rescues", True))
        self._zone = zone_of(str(self.started.plan.get("zone", "UTC"))) or UTC
        values = (self.started.base, *self.started.arms.values())
        windows = (str(one.get("start.hours", ANY)) for one in values)
        self._late = frozenset[int]().union(*map(after_midnight, windows))

    def take(self, recorded: Recorded) -> None:
        """Take one event into account."""
        event, run = recorded.event, recorded.stream
        if run in self._branches:
            return
        self._now = max(self._now, recorded.at)
        match event:
            case RunSubmitted() if event.forked:
                self._branches.add(run)  # what it has was measured in another run
            case ExperimentRamped() if event.experiment == self.started.experiment:
                self._shares = event.shares
            case StepHeld() if event.step == self.started.step:
                self._held(run, event, recorded.at)
            case EachCut() if event.step == self.started.step:
                self._cut(run, event, recorded.at)
            case AttemptScheduled() if event.step == self.started.step and event.hedges:
                self._hedged(run, event.batch, {event.attempt, event.hedges})
            case AttemptScheduled() if event.step == self.started.step and event.batch == -1:
                self._single(run, event, recorded.at)
            case AttemptFinished() if event.step == self.started.step:
                self._finished(run, event, recorded.at)
            case RunCompleted() | RunFailed() | RunCancelled() if run in self.runs:
                self._run_ended(run)
            case _:
                pass

    def ready(self) -> Iterator[Unit]:
        """Yield, once each, the units that are complete, in the order in which they ended.

        For hours of the day in the order of drawing. Ask after a whole commit was taken: a
        failed batch and the cut that rescues it are committed together.
        """
        by_day = self.started.knob_class == "schedule"
        for key in list(self._first_done() if by_day else self._done()):
            block = self._blocks.pop(key)
            if block.whole and block.own:
                unit = self._unit(block)
                if by_day:
                    self._note_outcome(unit, block.began)
                yield unit

    def _note_outcome(self, unit: Unit, drawn_at: float) -> None:
        cost = self.started.plan.get("objective") == "cost"
        outcome = unit.cost_per_item if cost else unit.seconds_per_item
        if outcome is not None and outcome > 0.0:
            day = self._by_day.setdefault(self._day(drawn_at), {})
            day.setdefault(unit.arm != CONTROL, []).append(math.log(outcome))

    def by_day(self) -> Effect | None:
        """Return the effect with each day taken as one observation; None below two days.

        What is dear or cheap about a night is so for all its runs.
        """
        gaps = [
            fmean(day[True]) - fmean(day[False]) for day in self._by_day.values() if len(day) == 2
        ]
        if len(gaps) < 2:
            return None
        return Effect(fmean(gaps), stdev(gaps) / math.sqrt(len(gaps)), 0.0, len(gaps) - 1)

    def _done(self) -> list[tuple[str, int]]:
        done = [key for key, block in self._blocks.items() if not block.is_open]
        return sorted(done, key=lambda k: self._blocks[k].ended)

    def _first_done(self) -> Iterator[tuple[str, int]]:
        """What is complete and was drawn before all that is not."""
        for key, block in self._blocks.items():
            if not block.is_open:
                yield key
            elif block.began >= self._now - LONGEST_S:
                return

    def _cut(self, run: str, event: EachCut, at: float) -> None:
        batches = range(
            event.first_batch, event.first_batch - (-(event.stop - event.start) // event.size)
        )
        if event.kind == "rescue" and event.rescues is not None:
            self._rescue(run, event, batches)
        elif event.items is not None:
            self._no_longer_waits(run, event.experiment)
        if event.experiment != self.started.experiment or event.kind != "block":
            return
        self.runs.add(run)
        if not self._drawn(event.arm, event.share):
            return
        waited = self._blocks.get((run, -1))
        key = (run, event.block) if waited is None else (run, -1)
        items = event.stop - event.start
        self._blocks[key] = Block(
            event.arm or CONTROL, event.share or 0.0, items, items >= self.started.block_items,
            at if waited is None else waited.began,
            None if event.pair is None else (run, event.pair), set(batches), len(batches),
            self._control_share(event.arm, event.share),
            {
                b: (event.start + i * event.size, min(event.size, items - i * event.size))
                for i, b in enumerate(batches)
            },
            rescues=self._rescues,
        )  # fmt: skip
        self._batches |= {(run, b): (key, False) for b in batches}
        self._note_day(event.arm, at)

    def _held(self, run: str, event: StepHeld, at: float) -> None:
        """A step waits for its hours: it is drawn, and keeps its place among the others."""
        if event.experiment == self.started.experiment:
            self._draw(run, event.arm, event.share, at)
            if (run, -1) in self._blocks:
                self._blocks[(run, -1)].waits = True

    def _no_longer_waits(self, run: str, experiment: str | None) -> None:
        """What has waited begins; outside the trial it is no unit."""
        block = self._blocks.get((run, -1))
        if block is not None and block.waits and experiment != self.started.experiment:
            del self._blocks[(run, -1)]

    def _note_day(self, arm: str | None, at: float) -> None:
        if arm != CONTROL:
            self.days.add(self._day(at))

    def _day(self, at: float) -> int:
        """The day of a time in the step's zone; a night over midnight is one, not two."""
        return day_of(at, self._zone, self._late)

    def _drawn(self, arm: str | None, share: float | None) -> bool:
        """Whether a unit says to which arm, and with which chance, it was drawn.

        One that does not tells nothing about either arm: it is put aside and counted.
        """
        known = arm == CONTROL or arm in self.started.arms
        known = known and share is not None and 0.0 < share < 1.0
        self.aside += not known
        return known

    def _control_share(self, arm: str | None, share: float | None) -> float:
        """With which chance the control was drawn where this arm was."""
        return share or 0.0 if arm == CONTROL else 1.0 - sum(self._shares.values())

    def _rescue(self, run: str, event: EachCut, batches: range) -> None:
        """The items of a batch, or of all from it on, are done again in other batches."""
        found = self._batches.get((run, event.rescues or 0))
        block = self._blocks.get(found[0]) if found is not None else None
        if found is None or block is None:
            return
        taken = range(event.start, event.stop)
        block.open -= {b for b, (start, _) in block.ranges.items() if start in taken}
        block.open |= set(batches)
        self._batches |= {(run, b): (found[0], True) for b in batches}

    def _single(self, run: str, event: AttemptScheduled, at: float) -> None:
        """A step that is no ``each``: the run is the unit."""
        if event.number > 1:
            return
        self._no_longer_waits(run, event.experiment)
        if event.experiment != self.started.experiment:
            return
        known = self._blocks.get((run, -1))
        if known is None:
            self._draw(run, event.arm, event.share, at)
        else:
            known.waits = False
        if (run, -1) in self._blocks:
            self._note_day(event.arm, at)

    def _draw(self, run: str, arm: str | None, share: float | None, at: float) -> None:
        """A run is drawn to an arm, as a whole."""
        self.runs.add(run)
        if not self._drawn(arm, share):
            return
        key = (run, -1)
        self._blocks[key] = Block(
            arm or CONTROL, share or 0.0, 1, True, at, None, {-1}, 1,
            self._control_share(arm, share), {-1: (0, 1)},
        )  # fmt: skip
        self._batches[(run, -1)] = (key, False)

    def _hedged(self, run: str, batch: int, attempts: set[str]) -> None:
        found = self._batches.get((run, batch))
        block = self._blocks.get(found[0]) if found is not None else None
        if block is not None:
            block.beside |= attempts

    def _finished(self, run: str, event: AttemptFinished, at: float) -> None:
        found = self._batches.get((run, event.batch))
        block = self._blocks.get(found[0]) if found is not None else None
        if found is None or block is None:
            return
        if block.arm != CONTROL and event.worker:
            self.workers.add(event.worker)
        block.finish(event, at, rescue=found[1])
        if event.rescued:
            self._batches[(run, event.batch)] = (found[0], True)

    def _run_ended(self, run: str) -> None:
        """What a run left open counts when it failed, and is dropped when nothing went wrong.

        Only a block whose own batches failed tells something about its arm.
        """
        self.ended_runs += 1
        for key in [k for k in self._blocks if k[0] == run]:
            block = self._blocks[key]
            if block.open and not block.failed_items:
                del self._blocks[key]
            block.open.clear()
            block.beside.clear()
        for batch in [k for k in self._batches if k[0] == run]:
            del self._batches[batch]

    def _unit(self, block: Block) -> Unit:
        seconds = block.seconds
        if self.started.design == "switchback":
            seconds = block.ended - block.began
        return Unit(
            arm=block.arm, share=block.share, items=block.items, batches=block.own,
            seconds_per_item=max(seconds, LEAST_SECONDS) / block.items,
            cost_per_item=None if block.cost is None else block.cost / block.items,
            retried=block.retried, failed_items=block.failed_items,
            control_share=block.control_share,
            pair=None if block.pair is None else self._number(block.pair), at=block.ended,
        )  # fmt: skip

    def _number(self, pair: tuple[str, int]) -> int:
        """Pairs are numbered within a run; here within the experiment."""
        return self._pairs.setdefault(pair, len(self._pairs))

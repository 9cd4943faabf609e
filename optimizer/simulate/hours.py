"""Hours: a replay by the clock of a place, in which steps wait for other hours of the day.

A step that is asked about begins when its hours open, as the engine would let it; what follows
begins later too. A try then costs what its class of hardware was seen to cost in the hour in
which it begins: an hour in which nothing was seen has no price, and is told. How fast work is
at that hour is not known; it lasts as it did.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from typing import TypeAlias

from optimizer.simulate.estimate import CannotSay
from optimizer.simulate.work import Firing, Try, Work
from runtime.playbook.hours import ANY, canonical, closes, moment, opens
from runtime.playbook.model import Playbook, Start
from runtime.playbook.zones import zone_of

Prices: TypeAlias = Mapping[tuple[str, int], float]
"""The last price that was seen, by class of hardware and hour of the day."""


def prices_of(works: Iterable[Work], zone: tzinfo) -> Prices:
    """Return what each hour of the day was seen to cost, on the clock of a place."""
    tries = [
        t for w in works for f in w.firings for c in f.cuts for p in c.pieces for t in p.tries
    ]
    known = sorted((t for t in tries if t.begun_at), key=lambda t: t.begun_at)
    return {(t.hardware, _hour(t.begun_at, zone)): t.price for t in known if t.price is not None}


def clock_of(
    work: Work, known: Iterable[Work], playbook: Playbook | None, wanted: Mapping[str, str]
) -> HoursClock | CannotSay:  # fmt: skip
    """Return the clock of a run whose steps are to wait for the hours that are ``wanted``."""
    steps = {s.name: s for s in playbook.steps} if playbook is not None else {}
    deadline_s = playbook.deadline_s if playbook is not None else None
    starts: dict[str, Start] = {}
    latest_s: dict[str, float] = {}
    for name, hours in wanted.items():
        step = steps.get(name)
        if step is None or step.start is None or not work.begun_at:
            text = (
                f"{name} has no start that says how long it may wait, or its times are not known"
            )
            return CannotSay("no_start", text)
        starts[name] = replace(step.start, hours=canonical(hours) or ANY)
        if deadline_s is not None:
            latest_s[name] = deadline_s - (step.total_timeout_s or step.timeout_s or 0.0)
    zone = _zone(next(iter(starts.values())))
    return HoursClock(work.run, work.begun_at, starts, prices_of(known, zone), latest_s)


@dataclass(slots=True)
class HoursClock:
    """The clock of one run. ``starts`` are the hours that are asked about, by step.

    ``latest_s`` is by when a step may begin at all, in seconds from the run's beginning.
    ``waits`` and ``unseen`` tell afterwards how long each step waited, and of which class of
    hardware a price was wanted at an hour at which none was seen. ``late`` are the steps whose
    hours open later than they may wait.
    """

    run: str
    begun_at: float
    starts: Mapping[str, Start]
    prices: Prices
    latest_s: Mapping[str, float] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)
    unseen: set[tuple[str, int]] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    _waited: set[str] = field(default_factory=set)

    @property
    def zone(self) -> tzinfo:
        """The clock by which prices are told."""
        return _zone(next(iter(self.starts.values())))

    def anew(self) -> HoursClock:
        """The same clock before anything has waited; what was not seen is told together."""
        return HoursClock(
            self.run, self.begun_at, self.starts, self.prices, self.latest_s, self.waits,
            self.unseen, self.late,
        )  # fmt: skip

    def refusal(self) -> CannotSay | None:
        """Why nothing can be said after all: an hour would cost what nobody has seen."""
        for hardware, hour in sorted(self.unseen):
            text = (
                f"nothing was seen to begin at {hour}:00 ({self.zone}) on "
                f"{hardware or 'its hardware'}, so that its price at that hour is not known"
            )
            return CannotSay("hour_not_seen", text)
        return None

    def notes(self) -> Iterator[str]:
        """What an answer leans on."""
        for step, waited_s in self.waits.items():
            start = self.starts[step]
            hours = f"{start.hours} ({start.zone})"
            if waited_s:
                said = f"waits {waited_s / 3600:.1f} h, and meets no other run then"
            else:
                late = ", for they open later than it may wait" if step in self.late else ""
                said = f"begins at once{late}"
            yield f"{step}: with {hours} it {said}"
        yield (
            "work takes as long as at the hour at which it ran, and costs what its class of "
            "hardware was last seen to cost at the hour at which it would run"
        )

    def lag_s(self, firing: Firing, at: float) -> float:
        """How long after ``at`` a firing begins; only the first of a step waits for its hours."""
        start = self.starts.get(firing.step)
        if start is None or firing.step in self._waited:
            return firing.lag_s
        self._waited.add(firing.step)
        free_s = max(0.0, firing.lag_s - firing.held_s)
        wait_s = self._wait_s(firing.step, start, self.begun_at + at + free_s)
        self.waits[firing.step] = wait_s
        return free_s + wait_s

    def _wait_s(self, step: str, start: Start, ready: float) -> float:
        zone = _zone(start)
        latest = min(ready + start.at_most_s, self.begun_at + self.latest_s.get(step, math.inf))
        due = opens(start.hours, ready, zone)
        if due > latest:
            self.late.add(step)
        if due <= ready or due > latest:
            return 0.0
        room_s = min(start.spread_s, latest - due, closes(start.hours, due, zone) - due)
        return due + float(int(room_s * moment(self.run, step))) - ready

    def cost(self, one: Try, at: float) -> float | None:
        """What a try costs at that hour: its slot at the price seen then, and what it spent."""
        hour = _hour(self.begun_at + at, self.zone)
        if one.cost_usd is None or (one.begun_at and hour == _hour(one.begun_at, self.zone)):
            return one.cost_usd
        price = self.prices.get((one.hardware, hour))
        if price is None or one.price is None:
            self.unseen.add((one.hardware, hour))
            return one.cost_usd
        slot = max(0.0, one.cost_usd - one.spend_usd)
        then = slot * price / one.price if one.price else one.hold_s * price / 3600.0
        return one.cost_usd - slot + then


def _hour(at: float, zone: tzinfo) -> int:
    return datetime.fromtimestamp(at, zone).hour


def _zone(start: Start) -> tzinfo:
    return zone_of(start.zone) or UTC

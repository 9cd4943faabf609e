"""A question about a run: what is asked, whether it can be answered, and from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from optimizer.knobs import knob_class
from optimizer.simulate.estimate import CannotSay
from optimizer.simulate.hours import HoursClock, clock_of
from optimizer.simulate.stock import Stock
from optimizer.simulate.work import Firing, Piece, Work
from runtime.playbook.hours import HOURS_HINT, canonical
from runtime.playbook.model import Playbook

Json: TypeAlias = Any
Changes: TypeAlias = Mapping[str, Mapping[str, Json]]

SIMULATED: Final = ("each.batch", "each.in_flight", "retry.attempts")
"""Knobs that count, of which what-if and the joint search can say what they would do."""
HOURS: Final = "start.hours"
ANSWERED: Final = (*SIMULATED, "retry.budget", HOURS)
"""Knobs that what-if answers for."""


class BadChange(ValueError):
    """A change asks for something no run could have: an unknown knob, or no whole number."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, with all that it is answered from."""

    work: Work
    changes: Changes
    slots: int | None
    stocks: Mapping[str, Stock]
    allowed: Mapping[str, int | None]
    runs: int
    notes: dict[str, None] = field(default_factory=dict)
    known: Sequence[Work] = ()
    playbook: Playbook | None = None

    def clock(self) -> HoursClock | CannotSay | None:
        """The clock under which steps wait for hours that are asked about; None where none are."""
        hours = {step: str(k[HOURS]) for step, k in self.changes.items() if HOURS in k}
        return clock_of(self.work, self.known, self.playbook, hours) if hours else None


def check(changes: Changes) -> None:
    """Raise `BadChange` where a value is none that a knob could have."""
    for step, knobs in changes.items():
        for knob, value in knobs.items():
            knob_class(knob)
            if knob == "retry.budget":
                _check_share(step, value)
            if knob == HOURS and canonical(str(value)) is None:
                raise BadChange(f"{step}.{HOURS} are no hours of the day: {HOURS_HINT}")
            if knob not in SIMULATED:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise BadChange(f"{step}.{knob} is a whole number of at least 1, not {value!r}")


def _check_share(step: str, value: Json) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0.0 < value <= 1.0:
        raise BadChange(f"{step}.retry.budget is a share above 0 and up to 1, not {value!r}")


def refused(work: Work, changes: Changes) -> CannotSay | None:
    """Return why the run cannot be asked this, or None."""
    if work.state != "completed":
        text = f"the run is {work.state}: what would have followed was never seen"
        return CannotSay("run_not_completed", text)
    if work.paused:
        return CannotSay("run_paused", "the run was paused: its times are not its own")
    if work.forked:
        text = "the run goes on from another, and has its work without its times"
        return CannotSay("run_forked", text)
    if not work.pieces:
        return CannotSay("nothing_ran", "no attempt of the run was recorded")
    for step, knobs in changes.items():
        if not work.of(step):
            return CannotSay("step_not_run", f"{step} did not run in it")
        for knob in knobs:
            if knob not in ANSWERED:
                known = ", ".join(ANSWERED)
                return CannotSay("knob_not_simulated", f"{knob}: only {known} are simulated")
            if knob.startswith("each.") and not any(f.each for f in work.of(step)):
                return CannotSay("not_an_each", f"{step} is not mapped over items")
    return None


def ask(
    work: Work, changes: Changes, history: Sequence[Work], playbook: Playbook | None,
    slots: int | None,
) -> Asked:  # fmt: skip
    """Return the question with all that the run and its history know."""
    works = [_uncontended(w) for w in (work, *history)]
    policies = {s.name: s.retry for s in playbook.steps} if playbook is not None else {}
    names = dict.fromkeys(f.step for f in work.firings)
    stocks = {name: Stock.of(name, works, policies.get(name)) for name in names}
    given = work.slots if work.slots is not None else slots
    return Asked(
        works[0], changes, given, stocks, _allowed(work, playbook), len(works),
        known=(work, *history), playbook=playbook,
    )  # fmt: skip


def _uncontended(work: Work) -> Work:
    """The work of a run whose pool was full, without the waiting in line: that is replayed."""
    if work.slots is None:
        return work
    queues = sorted(t.queue_s for f in work.firings for c in f.cuts for p in c.pieces
                    for t in p.tries)  # fmt: skip
    floor = queues[len(queues) // 10]
    return replace(work, firings=tuple(_handed_out(f, floor) for f in work.firings))


def _handed_out(firing: Firing, floor: float) -> Firing:
    def piece(p: Piece) -> Piece:
        return replace(p, tries=tuple(replace(t, queue_s=min(t.queue_s, floor)) for t in p.tries))

    cuts = (replace(c, pieces=tuple(piece(p) for p in c.pieces)) for c in firing.cuts)
    return replace(firing, cuts=tuple(cuts))


def _allowed(work: Work, playbook: Playbook | None) -> dict[str, int | None]:
    """How many items of each step may fail; None where that is not known, or was caught."""
    found: dict[str, int | None] = {}
    steps = {s.name: s.each for s in playbook.steps} if playbook is not None else {}
    for firing in work.firings:
        each = steps.get(firing.step)
        lost = firing.items_failed
        if firing.each and each is None:
            limit = None
        elif each is None:
            limit = None if lost else 0
        elif each.failures_count is not None:
            limit = each.failures_count
        else:
            limit = int(each.failures_allow * firing.items)
        found[firing.step] = None if limit is None or lost > limit else limit
    return found

"""The tally: what committed events come to, per playbook and step, since the server began.

A plain fold for one thread, with no lock: counters begin at nothing with each server, as
scrapers expect. `copy` gives another thread something to read that no longer changes.

>>> tally = Tally(lambda run: "etl/orders")
>>> tally.book("etl/orders").started
0
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from runtime.run.events import (
    AttemptFinished,
    CheckFailed,
    ProductPublished,
    ProposalMoved,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
    RunSubmitted,
    ScheduleFired,
    SignalReceived,
    StepPoisoned,
    VerdictReached,
)
from runtime.telemetry.labels import Capped
from runtime.telemetry.table import BUCKETS_S

T = TypeVar("T")
_APPROVAL: Final = "approval:"
_ANSWERS: Final = {"approve": "yes", "reject": "no"}
"""Moves of a proposal that a person's answer is."""
ENDS: Final = ("completed", "failed", "cancelled")
_ANSWERED: Final = tuple((kind, word) for kind in ("proposal", "step") for word in ("yes", "no"))
_VERDICTS: Final = ("better", "worse", "inconclusive")
# What can be known ahead is told as 0 from the start: a rate sees the first of them then.


class Spread:
    """How often a value fell into each bucket, and the sum of all values."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(BUCKETS_S, value)] += 1
        self.total += value

    def copy(self) -> Spread:
        """Return one that this one's future does not change."""
        made = Spread()
        made.counts, made.total = self.counts.copy(), self.total
        return made


class OfBook:
    """What is counted of a playbook."""

    __slots__ = ("checks_failed", "ended", "products", "seconds", "started")

    def __init__(self) -> None:
        self.started = self.products = self.checks_failed = 0
        self.ended = Counter[str](dict.fromkeys(ENDS, 0))
        self.seconds = Spread()

    def copy(self) -> OfBook:
        """Return one that this one's future does not change."""
        return _copied(self)


class OfStep:
    """What is counted of a step."""

    __slots__ = ("cost", "ended", "queue", "retries", "rows_in", "rows_out", "run", "total",
                 "unpriced")  # fmt: skip

    def __init__(self) -> None:
        self.ended = Counter[tuple[str, str]]()
        self.retries = Counter[str]()
        self.queue, self.run, self.total = Spread(), Spread(), Spread()
        self.rows_in = self.rows_out = self.unpriced = 0
        self.cost = 0.0

    def add(self, event: AttemptFinished) -> None:
        """Count an attempt that ended."""
        cls = event.fault.cls if event.fault is not None else "none"
        self.ended[event.outcome, cls] += 1
        if event.retry_at is not None:
            self.retries[cls] += 1
        self.queue.add(event.queue_s)
        self.run.add(event.run_s)
        self.total.add(event.total_s)
        self.rows_in += event.rows_in
        self.rows_out += event.rows_out
        if event.cost_usd is not None:
            self.cost += event.cost_usd
        elif event.run_s:
            self.unpriced += 1

    def copy(self) -> OfStep:
        """Return one that this one's future does not change."""
        return _copied(self)


class Tally:
    """Counts events. ``playbook_of`` knows the playbook of a run that began before this did."""

    def __init__(self, playbook_of: Callable[[str], str | None], cap: int = 100) -> None:
        self._playbook_of, self._capped = playbook_of, Capped(cap)
        self._live: dict[str, tuple[str, float | None]] = {}
        self.books: dict[str, OfBook] = {}
        self.steps: dict[tuple[str, str], OfStep] = {}
        self.moves = Counter[str]()
        self.answers = Counter[tuple[str, str]](dict.fromkeys(_ANSWERED, 0))
        self.verdicts = Counter[str](dict.fromkeys(_VERDICTS, 0))
        self.fired = self.poisoned = self.events = self.position = 0
        self._takes: dict[type, Callable[[Any, Recorded], None]] = {
            AttemptFinished: self._attempt, RunSubmitted: self._submitted,
            RunCompleted: self._completed, RunFailed: self._failed, RunCancelled: self._cancelled,
            ProductPublished: self._published, CheckFailed: self._checked,
            ProposalMoved: self._moved, SignalReceived: self._signal,
            VerdictReached: self._verdict, ScheduleFired: self._fire,
            StepPoisoned: self._poison,
        }  # fmt: skip

    @property
    def over_cap(self) -> int:
        """How many events stand under ``other``."""
        return self._capped.over

    def take(self, news: Sequence[Recorded]) -> None:
        """Count what was committed; an event that was counted already is not, again."""
        if news and news[0].pos <= self.position:
            news = [recorded for recorded in news if recorded.pos > self.position]
        takes = self._takes
        for recorded in news:
            take = takes.get(type(recorded.event))
            if take is not None:
                take(recorded.event, recorded)
        if news:
            self.events += len(news)
            self.position = news[-1].pos

    def book(self, playbook: str) -> OfBook:
        """What is counted of a playbook."""
        name = self._capped.book(playbook)
        found = self.books.get(name)
        if found is None:
            found = self.books[name] = OfBook()
        return found

    def step(self, playbook: str, step: str) -> OfStep:
        """What is counted of a step; its rounds in a loop are one."""
        pair = self._capped.step(playbook, step)
        found = self.steps.get(pair)
        if found is None:
            found = self.steps[pair] = OfStep()
        return found

    def copy(self) -> Tally:
        """Return one for reading that this one's future does not change."""
        made = Tally(self._playbook_of)
        made._capped = self._capped.copy()
        made.books = {name: found.copy() for name, found in self.books.items()}
        made.steps = {pair: found.copy() for pair, found in self.steps.items()}
        made.moves, made.answers = self.moves.copy(), self.answers.copy()
        made.verdicts = self.verdicts.copy()
        made.fired, made.poisoned = self.fired, self.poisoned
        made.events, made.position = self.events, self.position
        return made

    def _playbook(self, recorded: Recorded) -> str:
        run = recorded.stream[4:]
        known = self._live.get(run)
        if known is None:
            known = self._live[run] = (self._playbook_of(run) or "", None)
        return known[0]

    def _attempt(self, event: AttemptFinished, recorded: Recorded) -> None:
        if not event.copied:
            self.step(self._playbook(recorded), event.step.partition("~")[0]).add(event)

    def _submitted(self, event: RunSubmitted, recorded: Recorded) -> None:
        self._live[recorded.stream[4:]] = (event.playbook, recorded.at)
        self.book(event.playbook).started += 1

    def _completed(self, _: RunCompleted, recorded: Recorded) -> None:
        self._end(recorded, "completed")

    def _failed(self, _: RunFailed, recorded: Recorded) -> None:
        self._end(recorded, "failed")

    def _cancelled(self, _: RunCancelled, recorded: Recorded) -> None:
        self._end(recorded, "cancelled")

    def _end(self, recorded: Recorded, status: str) -> None:
        playbook = self._playbook(recorded)
        _, since = self._live.pop(recorded.stream[4:])
        book = self.book(playbook)
        book.ended[status] += 1
        if since is not None:
            book.seconds.add(max(recorded.at - since, 0.0))

    def _published(self, _: ProductPublished, recorded: Recorded) -> None:
        self.book(self._playbook(recorded)).products += 1

    def _checked(self, _: CheckFailed, recorded: Recorded) -> None:
        self.book(self._playbook(recorded)).checks_failed += 1

    def _moved(self, event: ProposalMoved, _: Recorded) -> None:
        self.moves[event.target] += 1
        if answer := _ANSWERS.get(event.move):
            self.answers["proposal", answer] += 1

    def _signal(self, event: SignalReceived, _: Recorded) -> None:
        if event.name.startswith(_APPROVAL) and isinstance(event.value, dict):
            self.answers["step", "yes" if event.value.get("approved") else "no"] += 1

    def _verdict(self, event: VerdictReached, _: Recorded) -> None:
        self.verdicts[event.verdict] += 1

    def _fire(self, _: ScheduleFired, __: Recorded) -> None:
        self.fired += 1

    def _poison(self, _: StepPoisoned, __: Recorded) -> None:
        self.poisoned += 1


def _copied(thing: T) -> T:
    """Copy a thing of slots: numbers as they are, what counts by its own copy."""
    made = type(thing)()
    for name, value in _slots(thing):
        setattr(made, name, value if isinstance(value, int | float) else value.copy())
    return made


def _slots(thing: object) -> Iterator[tuple[str, Any]]:
    return ((name, getattr(thing, name)) for name in type(thing).__slots__)  # type: ignore[attr-defined]

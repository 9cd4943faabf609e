"""Stock: the recorded pieces of one step, and new ones drawn from them.

A size and concurrency that the replayed run knew is *replayed*: whole recorded pieces
drawn again, tries and waits and all. One that it did not is *modelled*: each try fails
with the share seen there, else takes the seconds of a recorded try, moved by what
`service` says of size, concurrency and run.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Final, Protocol

from optimizer.models import failures
from optimizer.simulate.estimate import CannotSay
from optimizer.simulate.service import LEAST, UNSEEN, Cell, Levels, levels
from optimizer.simulate.work import Piece, Try, Work
from runtime.playbook.model import Retry
from runtime.run.events import Fault
from runtime.run.retry import delay_s

ENOUGH: Final = 20
"""Pieces at a value from which its own share of failures is believed."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A recorded piece and where it was."""

    cell: Cell
    piece: Piece


class Source(Protocol):
    """Where a piece to be comes from. ``z`` is how far this replay's levels are off."""

    def draw(self, rng: random.Random, z: float) -> Piece: ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """The piece as it was."""

    piece: Piece

    def draw(self, rng: random.Random, z: float) -> Piece:
        """Return it."""
        return self.piece


@dataclass(frozen=True, slots=True)
class Replayed:
    """Any of these pieces, its seconds moved."""

    pieces: Sequence[Piece]
    log: float = 0.0
    se: float = 0.0

    def draw(self, rng: random.Random, z: float) -> Piece:
        """Return one."""
        return scaled(rng.choice(self.pieces), math.exp(self.log + z * self.se))


@dataclass(frozen=True, slots=True)
class Cold:
    """A piece that finds a worker which must load first: so many seconds more."""

    source: Source
    extras: Sequence[float]

    def draw(self, rng: random.Random, z: float) -> Piece:
        """Return one."""
        piece = self.source.draw(rng, z)
        first = piece.tries[0]
        slower = replace(first, hold_s=first.hold_s + rng.choice(self.extras))
        return replace(piece, tries=(slower, *piece.tries[1:]))


@dataclass(frozen=True, slots=True)
class Modelled:
    """A piece of so many items, try by try."""

    items: int
    good: Sequence[tuple[Try, float]]
    bad: Sequence[Try]
    first: float
    later: float
    limit: int
    se: float
    tries: Tries

    def draw(self, rng: random.Random, z: float) -> Piece:
        """Return one."""
        found: list[Try] = []
        while True:
            chance = self.later if found else self.first
            if not self.bad or rng.random() >= chance:
                one, log = rng.choice(self.good)
                found.append(_scaled(replace(one, wait_s=None), math.exp(log + z * self.se)))
                return Piece(self.items, tuple(found))
            one = rng.choice(self.bad)
            wait = self.tries.wait(one.cls, len(found) + 1, self.limit, rng)
            found.append(replace(one, wait_s=wait))
            if wait is None:
                return Piece(self.items, tuple(found))


@dataclass(slots=True)
class Tries:
    """What is known of trying again: which classes are, and after how long."""

    policy: Retry | None
    waits: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, pieces: Iterable[Piece], policy: Retry | None) -> Tries:
        """Gather the waits by class of error."""
        found = cls(policy)
        for piece in pieces:
            for one in piece.tries:
                if one.wait_s is not None:
                    found.waits.setdefault(one.cls, []).append(one.wait_s)
        return found

    def again(self, cls: str) -> bool:
        """Whether a failure of this class is tried again at all."""
        return cls in self.waits or (self.policy is not None and cls in self.policy.on)

    def wait(self, cls: str, tries: int, limit: int, rng: random.Random) -> float | None:
        """Return the seconds until the next try, or None when there is none."""
        if tries >= limit or not self.again(cls):
            return None
        if self.waits.get(cls):
            return rng.choice(self.waits[cls])
        policy = self.policy if self.policy is not None else Retry()
        return delay_s(policy, tries, Fault(cls, ""), rng.random())


@dataclass(slots=True)
class Stock:
    """All that is known of a step's pieces: those of run 0 are the replayed run's own.

    Of an ``each`` step, pieces that found a cold worker are kept apart, in ``cold``.
    """

    step: str
    samples: list[Sample]
    cold: list[Sample]
    levels: Levels
    tries: Tries
    limit: int
    notes: dict[str, None] = field(default_factory=dict)
    risk: failures.Risk | None = None
    again: dict[int, float] = field(default_factory=dict)
    known: tuple[list[Try], list[Try]] | None = None

    @classmethod
    def of(cls, step: str, works: Sequence[Work], policy: Retry | None) -> Stock:
        """Gather a step's pieces over runs, the replayed one first."""
        every = [
            Sample(Cell(i, piece.items, cut.in_flight), piece)
            for i, work in enumerate(works)
            for firing in work.of(step)
            for cut in firing.cuts
            for piece in cut.pieces
        ]
        each = any(f.each for f in works[0].of(step))
        samples = [s for s in every if not (each and s.piece.cold)]
        if not any(s.cell.run == 0 for s in samples):
            samples = every
        cold = [s for s in every if s.piece.cold] if samples is not every else []
        fitted = levels((s.cell, t.hold_s) for s in samples for t in s.piece.tries if t.ok)
        longest = max((len(s.piece.tries) for s in samples), default=1)
        limits = [c.attempts for f in works[0].of(step) for c in f.cuts if c.attempts]
        tries = Tries.of([s.piece for s in samples], policy)
        return cls(step, samples, cold, fitted, tries, limits[-1] if limits else longest)

    def loads(self, before: int, after: int, slots: int | None) -> tuple[int, list[float]]:
        """Return how many workers must load first with ``after`` in flight, and how long."""
        mine = [s for s in self.cold if s.cell.run == 0]
        extras = self._extras(mine) or self._extras(self.cold)
        count = max(0, len(mine) + after - before)
        return (min(count, slots or count) if extras else 0), extras

    def _extras(self, cold: Sequence[Sample]) -> list[float]:
        found = []
        for sample in cold:
            warm = [
                t.hold_s for s in self.samples
                if (s.cell.run, s.cell.size) == (sample.cell.run, sample.cell.size)
                for t in s.piece.tries if t.ok
            ]  # fmt: skip
            tries = [t.hold_s for t in sample.piece.tries if t.ok and t.cold]
            found += [max(0.0, t - median(warm)) for t in tries if warm]
        return found

    def source(self, size: int, in_flight: int, limit: int | None) -> Source | CannotSay:
        """Return where pieces of a size come from, so many in flight."""
        concurrency = self._near_in_flight(in_flight)
        unseen = 0.0 if self._at(size, in_flight) else UNSEEN
        mine = [s for s in self.samples if s.cell.run == 0 and s.cell.size == size]
        exact = [s for s in mine if s.cell.in_flight == concurrency]
        tried_there = self._at(size, concurrency)
        if mine and (exact or len(tried_there) < ENOUGH) and not self._is_short(size, mine):
            return self._replayed(exact or mine, Cell(0, size, concurrency), unseen)
        return self._modelled(size, concurrency, limit or self.limit, unseen)

    def remainder(self, size: int, in_flight: int, limit: int | None) -> Source | CannotSay:
        """Return where a last, short piece comes from: as it was, or shorter by the curve."""
        mine = [s for s in self.samples if s.cell.run == 0 and s.cell.size == size]
        concurrency = self._near_in_flight(in_flight)
        if mine:
            return self._replayed(mine, Cell(0, size, concurrency), UNSEEN)
        return self._modelled(size, concurrency, limit or self.limit, UNSEEN, short=True)

    def _is_short(self, size: int, mine: Sequence[Sample]) -> bool:
        """Whether the size was only ever a last, short piece: too few to draw from."""
        return len(mine) < LEAST and size not in self.levels.counts

    def _near_in_flight(self, in_flight: int) -> int:
        seen = {s.cell.in_flight for s in self.samples}
        if in_flight in seen:
            return in_flight
        near = min(seen, key=lambda f: abs(math.log(f / in_flight)))
        self.note(
            f"{self.step}: a piece is taken to last and fail with {in_flight} in flight as it "
            f"did with {near}; a shared limit that only {in_flight} would reach does not show"
        )
        return near

    def note(self, text: str) -> None:
        """Keep an assumption, once."""
        self.notes[text] = None

    def _at(self, size: int, in_flight: int) -> list[Sample]:
        return [s for s in self.samples if (s.cell.size, s.cell.in_flight) == (size, in_flight)]

    def _replayed(self, mine: Sequence[Sample], target: Cell, unseen: float) -> Source:
        near = min({s.cell.in_flight for s in mine}, key=lambda f: abs(f - target.in_flight))
        pool = [s.piece for s in mine if s.cell.in_flight == near and not s.piece.rescued]
        pool = pool or [s.piece for s in mine]
        shift = self.levels.shift(Cell(0, target.size, near), target)
        if shift is None:
            self.note(
                f"{self.step}: {near} and {target.in_flight} in flight never met in one run, "
                "so pieces are taken to last equally long under both"
            )
            return Replayed(pool, 0.0, UNSEEN)
        return Replayed(pool, shift.log, max(shift.se, unseen))

    def _modelled(
        self, size: int, in_flight: int, limit: int, unseen: float, *, short: bool = False
    ) -> Source | CannotSay:
        seen = self.levels.sizes
        if size not in seen and not short and (refusal := self._unknown(size, seen)) is not None:
            return refusal
        near = min(seen, key=lambda n: abs(math.log(n / size)))
        good, se = self._good(size, near, in_flight)
        if not good:
            return CannotSay(
                "not_comparable",
                f"{self.step}: batches of {near} and the run's own never met, not even over "
                "other runs, so their times cannot be compared",
            )
        if self.levels.alike:
            self.note(
                f"{self.step}: sizes were only seen in different runs, which are taken as alike"
            )
        bad = [
            t for s in self.samples if s.cell.size == near for t in s.piece.tries if not t.ok
        ] or [t for s in self.samples for t in s.piece.tries if not t.ok]
        first, later = self._first(size, in_flight), self._later(near)
        return Modelled(size, good, bad, first, later, limit, max(se, unseen), self.tries)

    def _unknown(self, size: int, seen: Sequence[int]) -> CannotSay | None:
        """Why a size not seen cannot be answered, if so."""
        if len(seen) < 2:
            text = f"only batches of {seen[0]} were ever seen: what a batch takes by itself and"
            return CannotSay("one_size", f"{self.step}: {text} for each item cannot be told apart")
        if not seen[0] <= size <= seen[-1]:
            text = f"batches of {seen[0]} to {seen[-1]} were seen; {size} lies beyond"
            return CannotSay("beyond_history", f"{self.step}: {text}")
        self.note(f"{self.step}: batches of {size} lie on the curve through the sizes seen")
        return None

    def _good(self, size: int, near: int, in_flight: int) -> tuple[list[tuple[Try, float]], float]:
        """Tries that succeeded at the nearest size, each with what moves it to the target."""
        own = self._own_cell()
        extra = 0.0
        if size != near:
            curve = self.levels.curve(Cell(own.run, near, own.in_flight))
            extra = math.log(curve.seconds(size) / curve.seconds(near)) if curve else 0.0
        found, errors = list[tuple[Try, float]](), [0.0]
        target = Cell(own.run, near, in_flight)
        for cell in {s.cell for s in self.samples if s.cell.size == near}:
            shift = self.levels.shift(cell, target)
            if shift is not None:
                tries = [t for s in self.samples if s.cell == cell for t in s.piece.tries if t.ok]
                found += [(t, shift.log + extra) for t in tries]
                errors.append(shift.se)
        return found, max(errors)

    def _own_cell(self) -> Cell:
        return next(s.cell for s in self.samples if s.cell.run == 0)

    def _first(self, size: int, in_flight: int) -> float:
        """The chance that a first try fails."""
        exact = self._at(size, in_flight)
        if len(exact) >= ENOUGH:
            return sum(not s.piece.tries[0].ok for s in exact) / len(exact)
        counts: dict[int, tuple[int, int]] = {}
        for s in self.samples:
            failed, total = counts.get(s.cell.size, (0, 0))
            counts[s.cell.size] = (failed + (not s.piece.tries[0].ok), total + 1)
        if len(counts) == 1:
            failed, total = counts.popitem()[1]
            return failed / total
        if self.risk is None:
            rows = [(n, *c) for n, c in sorted(counts.items())]
            self.risk = failures.fit(
                [n for n, _, _ in rows], [f for _, f, _ in rows], [t for _, _, t in rows]
            )
        return self.risk.chance(size)

    def _later(self, near: int) -> float:
        """The chance that a try after a failed one fails."""
        if near in self.again:
            return self.again[near]
        after = [t for s in self.samples if s.cell.size == near for t in s.piece.tries[1:]]
        if len(after) < LEAST:
            after = [t for s in self.samples for t in s.piece.tries[1:]]
        bad = sum(not t.ok for t in after)
        self.again[near] = (bad + 0.5) / (len(after) + 1.0)
        return self.again[near]

    def limited(self, piece: Piece, limit: int, rng: random.Random) -> Piece:
        """Return a recorded piece as it goes under another limit of tries."""
        kept: list[Try] = []
        counted = 0
        for one in piece.tries:
            counted += one.outcome != "lost"
            kept.append(one)
            if counted >= limit and not one.ok:
                return replace(piece, tries=(*kept[:-1], replace(one, wait_s=None)))
        if kept[-1].ok or counted >= limit:
            return piece
        return self._continued(piece, kept, counted, limit, rng)

    def _continued(
        self, piece: Piece, kept: list[Try], counted: int, limit: int, rng: random.Random
    ) -> Piece:
        """The piece with tries that it was not given."""
        if self.known is None:
            bad = [t for s in self.samples for t in s.piece.tries[1:] if not t.ok]
            self.known = [t for s in self.samples for t in s.piece.tries if t.ok], bad
        good, bad = self.known[0], self.known[1] or kept[-1:]
        later = self._later(piece.items)
        while not kept[-1].ok and counted < limit and good and self.tries.again(kept[-1].cls):
            wait = self.tries.wait(kept[-1].cls, counted, limit, rng)
            again = rng.choice(bad if rng.random() < later else good)
            kept[-1] = replace(kept[-1], wait_s=wait)
            kept.append(replace(again, wait_s=None))
            counted += 1
        return replace(piece, tries=tuple(kept))


def scaled(piece: Piece, factor: float) -> Piece:
    """Return the piece with all its tries that much longer."""
    if factor == 1.0:
        return piece
    return Piece(piece.items, tuple([_scaled(t, factor) for t in piece.tries]), piece.rescued)


def _scaled(one: Try, factor: float) -> Try:
    cost = None if one.cost_usd is None else one.cost_usd * factor
    hold_s = one.hold_s * factor  # built outright: `replace` is slow for millions
    return Try(
        one.outcome, one.cls, one.queue_s, hold_s, one.wait_s, cost, one.cold,
        one.over_budget, one.begun_at, one.hardware, one.price, one.spend_usd,
    )  # fmt: skip

"""What if: a recorded run under other knob values, as an estimate.

The run's work is drawn again many times, once as it was and once as asked, under the same
chances, and put in time by `flow.replay`. The drawing of the run as it was is compared
with what was recorded: that is the calibration error, part of every answer. Other runs of
the same version, where there are any, tell of sizes and concurrencies the run itself did
not know, and how runs differ. Values in, values out; chance is handed in.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from optimizer.knobs import knob_class
from optimizer.simulate.estimate import Band, CannotSay, Estimate, StepEstimate
from optimizer.simulate.flow import Outcome, replay
from optimizer.simulate.stock import Cold, Fixed, Replayed, Source, Stock
from optimizer.simulate.work import Cut, Firing, Piece, Work
from runtime.playbook.model import Playbook

Json: TypeAlias = Any
Changes: TypeAlias = Mapping[str, Mapping[str, Json]]

SIMULATED: Final = ("each.batch", "each.in_flight", "retry.attempts")
"""Knobs that count, of which what-if and the joint search can say what they would do."""
ANSWERED: Final = (*SIMULATED, "retry.budget")
"""Knobs that what-if answers for."""
DRAWS: Final = 100
BUDGET: Final = 100_000
"""Pieces drawn for one answer; a large run is drawn fewer times, but `LEAST_DRAWS`."""
LEAST_DRAWS: Final = 5
GROUP: Final = 5
"""Pieces of a cut below which they stay as they were."""


class BadChange(ValueError):
    """A change asks for something no run could have: an unknown knob, or no whole number."""


@dataclass(frozen=True, slots=True)
class _Range:
    """A cut to be: where each of its pieces comes from."""

    cut: Cut
    sources: Sequence[Source]


@dataclass(slots=True)
class _Plan:
    """A run to be drawn: the ranges of each firing, and the limit of tries where changed."""

    work: Work
    ranges: list[list[_Range]]
    limits: Mapping[str, int]
    stocks: Mapping[str, Stock]
    runs: int

    def draw(self, seed: int) -> Work:
        """Draw the run once. Plans drawn with one seed share the kind of day it is."""
        rng = random.Random(seed)  # noqa: S311 no secret
        day = rng.randrange(self.runs)
        luck = {
            step: (rng.gauss(0.0, 1.0), math.exp(stock.levels.runs.get(day, 0.0)))
            for step, stock in self.stocks.items()
        }
        firings = []
        for firing, ranges in zip(self.work.firings, self.ranges, strict=True):
            cuts = tuple(self._cut(firing.step, r, luck[firing.step], rng) for r in ranges)
            firings.append(replace(firing, cuts=cuts))
        return replace(self.work, firings=tuple(firings))

    def _cut(self, step: str, cut: _Range, luck: tuple[float, float], rng: random.Random) -> Cut:
        pieces = [source.draw(rng, luck[0]) for source in cut.sources]
        if step in self.limits:
            stock, limit = self.stocks[step], self.limits[step]
            pieces = [stock.limited(piece, limit, rng) for piece in pieces]
        pieces = [_slower(piece, luck[1]) for piece in pieces]
        return replace(cut.cut, pieces=tuple(pieces))


def _slower(piece: Piece, factor: float) -> Piece:
    """The piece on a faster or slower day; what it cost is not asked here."""
    if factor == 1.0:
        return piece
    tries = tuple(replace(t, hold_s=t.hold_s * factor) for t in piece.tries)
    return replace(piece, tries=tries)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question, with all that it is answered from."""

    work: Work
    changes: Changes
    slots: int | None
    stocks: Mapping[str, Stock]
    allowed: Mapping[str, int | None]
    runs: int
    notes: dict[str, None] = field(default_factory=dict)


def what_if(
    work: Work, changes: Changes, rng: random.Random, *, history: Sequence[Work] = (),
    playbook: Playbook | None = None, slots: int | None = None, draws: int = DRAWS,
) -> Estimate | CannotSay:  # fmt: skip
    """Return what the run would have taken under ``changes`` (step → knob → value).

    ``history`` are other runs of the same version. ``playbook`` tells which errors are
    tried again and how many items may fail; ``slots`` how many attempts the pool runs.

    Raises:
        BadChange: a value is no whole number of at least 1, or no share.
    """
    _check(changes)
    if (refusal := _refused(work, changes)) is not None:
        return refusal
    return prepared(work, rng, history, playbook, slots, draws).under(changes)


def prepared(
    work: Work, rng: random.Random, history: Sequence[Work] = (),
    playbook: Playbook | None = None, slots: int | None = None, draws: int = DRAWS,
) -> Prepared:  # fmt: skip
    """Return a run that can be asked about many changes: what they share is worked out once."""
    asked = _ask(work, {}, history, playbook, slots)
    times = min(draws, max(LEAST_DRAWS, BUDGET // max(work.pieces, 1)))
    return Prepared(work, asked, [rng.getrandbits(64) for _ in range(times)])


@dataclass(slots=True)
class Prepared:
    """A run with its stock, its seeds, and the replays of it as it was."""

    work: Work
    asked: _Asked
    seeds: Sequence[int]
    before: Sequence[Outcome] | None = None

    def under(self, changes: Changes) -> Estimate | CannotSay:
        """Return what the run would have taken under changes; see `what_if`."""
        _check(changes)
        if (refusal := _refused(self.work, changes)) is not None:
            return refusal
        asked = replace(self.asked, changes=changes, notes={})
        was = _as_it_was(asked)
        to_be = _as_asked(asked, was)
        if isinstance(to_be, CannotSay):
            return to_be
        if self.before is None:
            self.before = [self._replay(was, s) for s in self.seeds]
        shares = _shares(changes)
        after = [self._replay(to_be, s, shares) for s in self.seeds]
        return _estimate(asked, self.before, after)

    def _replay(
        self, plan: _Plan, seed: int, shares: Mapping[str, float] | None = None
    ) -> Outcome:
        return replay(plan.draw(seed), self.asked.slots, self.asked.allowed, shares)


def _check(changes: Changes) -> None:
    for step, knobs in changes.items():
        for knob, value in knobs.items():
            knob_class(knob)
            if knob == "retry.budget":
                _check_share(step, value)
            if knob not in SIMULATED:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise BadChange(f"{step}.{knob} is a whole number of at least 1, not {value!r}")


def _check_share(step: str, value: Json) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0.0 < value <= 1.0:
        raise BadChange(f"{step}.retry.budget is a share above 0 and up to 1, not {value!r}")


def _refused(work: Work, changes: Changes) -> CannotSay | None:
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


def _ask(
    work: Work, changes: Changes, history: Sequence[Work], playbook: Playbook | None,
    slots: int | None,
) -> _Asked:  # fmt: skip
    works = [_uncontended(w) for w in (work, *history)]
    policies = {s.name: s.retry for s in playbook.steps} if playbook is not None else {}
    names = dict.fromkeys(f.step for f in work.firings)
    stocks = {name: Stock.of(name, works, policies.get(name)) for name in names}
    given = work.slots if work.slots is not None else slots
    return _Asked(works[0], changes, given, stocks, _allowed(work, playbook), len(works))


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


def _as_it_was(asked: _Asked) -> _Plan:
    ranges = [[_again(c) for c in firing.cuts] for firing in asked.work.firings]
    return _Plan(asked.work, ranges, {}, asked.stocks, asked.runs)


def _again(cut: Cut) -> _Range:
    """The cut with each piece drawn from those of its own size."""
    groups: dict[int, list[Piece]] = {}
    for piece in cut.pieces:
        if not piece.cold:
            groups.setdefault(piece.items, []).append(piece)
    drawn = {
        n: Replayed(group)
        for n, group in groups.items()
        if len(group) >= GROUP and not any(p.rescued for p in group)
    }
    sources: list[Source] = [
        drawn[p.items] if p.items in drawn and not p.cold else Fixed(p) for p in cut.pieces
    ]
    return _Range(cut, sources)


def _as_asked(asked: _Asked, was: _Plan) -> _Plan | CannotSay:
    limits: dict[str, int] = {}
    ranges = list(was.ranges)
    for i, firing in enumerate(asked.work.firings):
        knobs = asked.changes.get(firing.step, {})
        limit = knobs.get("retry.attempts")
        if "retry.budget" in knobs and (refusal := _over_budget(asked, firing)) is not None:
            return refusal
        if limit is not None:
            if (refusal := _no_retry(asked, firing, limit)) is not None:
                return refusal
            limits[firing.step] = limit
        if "each.batch" in knobs or "each.in_flight" in knobs:
            cut = _recut(asked, firing, knobs)
            if isinstance(cut, CannotSay):
                return cut
            ranges[i] = [cut]
    return _Plan(asked.work, ranges, limits, asked.stocks, asked.runs)


def _shares(changes: Changes) -> dict[str, float]:
    """The budgets that are asked about, by step."""
    budgets = {step: knobs.get("retry.budget") for step, knobs in changes.items()}
    return {step: float(share) for step, share in budgets.items() if share is not None}


def _over_budget(asked: _Asked, firing: Firing) -> CannotSay | None:
    """Another budget where one refused tries: nobody has seen how those would have gone."""
    if any(p.tries[-1].over_budget for c in firing.cuts for p in c.pieces):
        text = f"{firing.step}: its budget refused tries that were never made"
        return CannotSay("budget_spent", text)
    asked.notes[
        f"{firing.step}: the bucket of its budget begins empty with the run, and no other run "
        "fills it or spends from it"
    ] = None
    return None


def _no_retry(asked: _Asked, firing: Firing, limit: int) -> CannotSay | None:
    """More tries of what was never tried again: nobody has seen how that goes."""
    stock = asked.stocks[firing.step]
    last = [p.tries[-1] for c in firing.cuts for p in c.pieces if not p.ok]
    if limit <= stock.limit or not last or stock.tries.policy is not None or stock.tries.waits:
        return None
    return CannotSay("no_retry_seen", f"{firing.step}: no failure was ever tried again")


def _recut(asked: _Asked, firing: Firing, knobs: Mapping[str, Json]) -> _Range | CannotSay:
    """The firing's items in one cut, at the sizes asked."""
    stock, stable = asked.stocks[firing.step], _stable(firing)
    size = int(knobs.get("each.batch", stable.size))
    in_flight = int(knobs.get("each.in_flight", stable.in_flight))
    limit = knobs.get("retry.attempts", stable.attempts)
    _note_trial(asked, firing, size, in_flight)
    whole, rest = divmod(firing.items, size)
    sources: list[Source] = []
    if whole:
        source = stock.source(size, in_flight, limit)
        if isinstance(source, CannotSay):
            return source
        sources = [source] * whole
    if rest:
        source = stock.remainder(rest, in_flight, limit)
        if isinstance(source, CannotSay):
            return source
        sources.append(source)
    loading, extras = stock.loads(stable.in_flight, in_flight, asked.slots)
    first = 1 if loading < in_flight else 0  # who did the step before is warm
    for i in range(first, min(first + loading, len(sources))):
        sources[i] = Cold(sources[i], extras)
    attempts = None if limit is None else int(limit)
    return _Range(Cut("all", size, in_flight, False, "", attempts, ()), sources)


def _stable(firing: Firing) -> Cut:
    """The cut that says what the step ran with when nothing was tried on it."""
    plain = [c for c in firing.cuts if c.arm in ("", "control")]
    return (plain or list(firing.cuts))[-1]


def _note_trial(asked: _Asked, firing: Firing, size: int, in_flight: int) -> None:
    if any(c.arm for c in firing.cuts):
        asked.notes[
            f"{firing.step}: the experiment on it is left out, all is cut at {size}, "
            f"{in_flight} in flight"
        ] = None
    if asked.slots is None and in_flight > asked.work.demand:
        asked.notes["the pool is taken to have a slot for every attempt"] = None


def _estimate(
    asked: _Asked, before: Sequence[Outcome], after: Sequence[Outcome]
) -> Estimate | CannotSay:
    pairs = [(b, a) for b, a in zip(before, after, strict=True) if not (a.failed or b.failed)]
    if not pairs:
        step = next((a.failed for a in after if a.failed), "")
        return CannotSay("run_would_fail", f"the run fails at {step} in every replay")
    work, done = asked.work, [a for _, a in pairs]
    was = Band.of([b.makespan_s for b, _ in pairs]).median
    return Estimate(
        run=work.run, playbook=work.playbook, changes=asked.changes,
        recorded_makespan_s=work.makespan_s,
        makespan_s=Band.of([a.makespan_s for a in done]),
        makespan_delta=Band.of([a.makespan_s / b.makespan_s - 1.0 for b, a in pairs]),
        cost_usd=_cost([_total(a) for a in done]),
        items_failed=Band.of([float(_lost(a)) for a in done]),
        fails=sum(bool(a.failed) for a in after) / len(after),
        steps=[_step(work, name, done) for name in asked.stocks],
        assumptions=_assumptions(asked),
        calibration_error=abs(was / work.makespan_s - 1.0) if work.makespan_s else 0.0,
        draws=len(after), runs_of_history=asked.runs - 1,
        cost_delta=_dearer([(_total(b), _total(a)) for b, a in pairs]),
    )  # fmt: skip


def _total(outcome: Outcome) -> float | None:
    costs = [s.cost_usd for s in outcome.steps.values()]
    return None if any(c is None for c in costs) else sum(c for c in costs if c is not None)


def _lost(outcome: Outcome) -> int:
    return sum(s.items_failed for s in outcome.steps.values())


def _cost(costs: Sequence[float | None]) -> Band | None:
    known = [c for c in costs if c is not None]
    return Band.of(known) if known and len(known) == len(costs) else None


def _dearer(costs: Sequence[tuple[float | None, float | None]]) -> Band | None:
    known = [a / b - 1.0 for b, a in costs if b and a is not None]
    return Band.of(known) if known and len(known) == len(costs) else None


def _step(work: Work, name: str, outcomes: Sequence[Outcome]) -> StepEstimate:
    spent = [o.steps[name] for o in outcomes]
    return StepEstimate(
        name, sum(f.span_s for f in work.of(name)), Band.of([s.span_s for s in spent]),
        _cost([s.cost_usd for s in spent]), Band.of([float(s.items_failed) for s in spent]),
    )  # fmt: skip


def _assumptions(asked: _Asked) -> list[str]:
    """All that the answer leans on, in the order in which it matters."""
    found = [
        "tokens take the ways that they took; steps between which nothing changed last as long"
    ]
    changed = [asked.stocks[step] for step in asked.changes if step in asked.stocks]
    for stock in changed:
        found += list(stock.notes)
    found += list(asked.notes)
    if any(asked.stocks[s].levels.runs == {} for s in asked.stocks):
        found.append("the range covers chance within the run, not how runs differ from each other")
    else:
        found.append(f"the range covers how the step's {asked.runs} known runs differ")
    if any(asked.allowed.get(step) is None for step in asked.changes):
        found.append("the run is taken to go on however many items fail")
    if asked.slots is not None:
        found.append(f"the pool has {asked.slots} slots, and no other run uses them")
    return found

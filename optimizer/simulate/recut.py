"""The run as it was and as asked: which pieces its steps would have had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from optimizer.simulate.drawing import Plan, Range
from optimizer.simulate.estimate import CannotSay
from optimizer.simulate.question import Asked, Changes, Json
from optimizer.simulate.stock import Cold, Fixed, Replayed, Source
from optimizer.simulate.work import Cut, Firing, Piece

GROUP: Final = 5
"""Pieces of a cut below which they stay as they were."""


def as_it_was(asked: Asked) -> Plan:
    """Return the run to be drawn as it was recorded."""
    ranges = [[_again(c) for c in firing.cuts] for firing in asked.work.firings]
    return Plan(asked.work, ranges, {}, asked.stocks, asked.runs)


def _again(cut: Cut) -> Range:
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
    return Range(cut, sources)


def as_asked(asked: Asked, was: Plan) -> Plan | CannotSay:
    """Return the run to be drawn under the changes, or why history cannot say."""
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
    return Plan(asked.work, ranges, limits, asked.stocks, asked.runs)


def shares_of(changes: Changes) -> dict[str, float]:
    """The budgets that are asked about, by step."""
    budgets = {step: knobs.get("retry.budget") for step, knobs in changes.items()}
    return {step: float(share) for step, share in budgets.items() if share is not None}


def _over_budget(asked: Asked, firing: Firing) -> CannotSay | None:
    """Another budget where one refused tries: nobody has seen how those would have gone."""
    if any(p.tries[-1].over_budget for c in firing.cuts for p in c.pieces):
        text = f"{firing.step}: its budget refused tries that were never made"
        return CannotSay("budget_spent", text)
    asked.notes[
        f"{firing.step}: the bucket of its budget begins empty with the run, and no other run "
        "fills it or spends from it"
    ] = None
    return None


def _no_retry(asked: Asked, firing: Firing, limit: int) -> CannotSay | None:
    """More tries of what was never tried again: nobody has seen how that goes."""
    stock = asked.stocks[firing.step]
    last = [p.tries[-1] for c in firing.cuts for p in c.pieces if not p.ok]
    if limit <= stock.limit or not last or stock.tries.policy is not None or stock.tries.waits:
        return None
    return CannotSay("no_retry_seen", f"{firing.step}: no failure was ever tried again")


def _recut(asked: Asked, firing: Firing, knobs: Mapping[str, Json]) -> Range | CannotSay:
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
    return Range(Cut("all", size, in_flight, False, "", attempts, ()), sources)


def _stable(firing: Firing) -> Cut:
    """The cut that says what the step ran with when nothing was tried on it."""
    plain = [c for c in firing.cuts if c.arm in ("", "control")]
    return (plain or list(firing.cuts))[-1]


def _note_trial(asked: Asked, firing: Firing, size: int, in_flight: int) -> None:
    if any(c.arm for c in firing.cuts):
        asked.notes[
            f"{firing.step}: the experiment on it is left out, all is cut at {size}, "
            f"{in_flight} in flight"
        ] = None
    if asked.slots is None and in_flight > asked.work.demand:
        asked.notes["the pool is taken to have a slot for every attempt"] = None

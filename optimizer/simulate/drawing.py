"""A run to be drawn: where each of its pieces comes from, and one drawing of it."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from optimizer.seeded import seeded
from optimizer.simulate.stock import Source, Stock
from optimizer.simulate.work import Cut, Piece, Work


@dataclass(frozen=True, slots=True)
class Range:
    """A cut to be: where each of its pieces comes from."""

    cut: Cut
    sources: Sequence[Source]


@dataclass(slots=True)
class Plan:
    """A run to be drawn: the ranges of each firing, and the limit of tries where changed."""

    work: Work
    ranges: list[list[Range]]
    limits: Mapping[str, int]
    stocks: Mapping[str, Stock]
    runs: int

    def draw(self, seed: int) -> Work:
        """Draw the run once. Plans drawn with one seed share the kind of day it is."""
        rng = seeded(seed)
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

    def _cut(self, step: str, cut: Range, luck: tuple[float, float], rng: random.Random) -> Cut:
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

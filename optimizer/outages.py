"""The study of ``retry.budget``: what an outage made of a step's retries, and would have with one.

An outage is where first tries failed together: so many in a row of them that chance alone, at
the step's usual rate, would not do it. The record's tries are then held against a budget one by
one, by the runtime's own rule: which would have been refused, what those took, and how much work
failed for good that a refused try had saved. The smallest share that is worth most is proposed,
where a trial could prove it: most trials meet no outage, and then the reason gives the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.effect import Effect
from optimizer.finding import Asked, Finding, propose
from optimizer.guard import Limits, Reason
from optimizer.proposal import Candidate
from optimizer.retry import price_of
from optimizer.tries import Tries
from runtime.run.budget import Budget

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

SHARES: Final = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares that are asked about, where the step declares bounds; SRE practice is a tenth."""
IN_A_ROW: Final = 20
"""First tries that are looked at together."""
HALF: Final = 0.5
"""The least share of them that fails in an outage."""
CHANCE: Final = 0.01
"""How likely chance may be to show an outage in a whole record without one."""
BLOCKS: Final = 20
DRAWS: Final = 200


@dataclass(frozen=True, slots=True)
class Story:
    """The tries of a step in the order in which they ended.

    ``first``: it began its work; ``again``: another followed it; ``down``: its work began in
    an outage.
    """

    unit: Array
    seconds: Array
    first: Array
    again: Array
    failed: Array
    down: Array

    @classmethod
    def of(cls, tries: Tries) -> Story:
        """Return the story of a history."""
        turns = tries.in_turn()
        _, unit = np.unique(turns.unit, return_inverse=True)
        first = np.r_[True, np.diff(unit) != 0][: len(unit)]
        again = np.r_[~first[1:], False][: len(unit)]
        order = np.argsort(turns.end, kind="stable")
        failed = turns.error != ""
        began = np.zeros(int(unit.max(initial=-1)) + 1, bool)
        ends = order[first[order]]
        began[unit[ends]] = together(failed[ends])
        down = began[unit]
        return cls(*(one[order] for one in (unit, turns.seconds, first, again, failed, down)))

    def kept(self, share: float) -> Array:
        """Return which tries would have been made under a budget that begins empty."""
        budget, over = Budget(), np.zeros(int(self.unit.max(initial=-1)) + 1, bool)
        kept = np.ones(len(self.unit), bool)
        rows = zip(self.unit.tolist(), self.first.tolist(), self.again.tolist(), strict=True)
        for place, (unit, first, again) in enumerate(rows):
            if over[unit]:
                kept[place] = False
            elif not budget.ended(share, first=first, wants=again) and again:
                over[unit] = True
        return kept


def together(failed: Array) -> Array:
    """Return which of first tries, in the order of their ends, failed in an outage.

    >>> import numpy as np
    >>> together(np.r_[np.zeros(100), np.ones(40), np.zeros(100)].astype(bool)).sum()
    np.int64(40)
    """
    from scipy.special import bdtrc

    many = len(failed) // IN_A_ROW
    found = np.zeros(len(failed), bool)
    if many < 2:
        return found
    counts = np.asarray(failed[: many * IN_A_ROW]).reshape(many, IN_A_ROW).sum(axis=1)
    usual = max(float(np.median(counts)) / IN_A_ROW, 0.5 / IN_A_ROW)
    beyond = bdtrc(np.arange(IN_A_ROW + 1), IN_A_ROW, usual)  # the chance of more than so many
    least = max(HALF * IN_A_ROW, int(np.argmax(beyond <= CHANCE / many)) + 1)
    found[: many * IN_A_ROW] = np.repeat(counts >= least, IN_A_ROW)
    return found


@dataclass(frozen=True, slots=True)
class Played:
    """A story under a budget: seconds of units' tries now and then, and units newly lost."""

    share: float
    now_s: Array
    then_s: Array
    lost: Array
    price_s: float
    amplified: tuple[float, float]

    @classmethod
    def of(cls, story: Story, share: float, price_s: float) -> Played:
        """Play the tries of a story against a budget."""
        kept = story.kept(share)
        now_s = np.bincount(story.unit, weights=story.seconds)
        then_s = np.bincount(story.unit, weights=story.seconds * kept)
        saved = np.bincount(story.unit, weights=~story.failed & ~kept) > 0.0
        units = max(int((story.first & story.down).sum()), 1)
        amplified = float(story.down.sum()) / units, float((story.down & kept).sum()) / units
        return cls(share, now_s, then_s, saved, price_s, amplified)

    @property
    def worth_s(self) -> float:
        """The seconds that are saved, less what newly lost work costs."""
        return float((self.now_s - self.then_s).sum()) - self.price_s * float(self.lost.sum())

    def effect(self, units: int, rng: np.random.Generator) -> Effect:
        """The change in seconds of tries, as sure as outages come evenly and a trial meets one."""
        blocks = np.array_split(np.arange(len(self.now_s)), min(BLOCKS, len(self.now_s)))
        now, then = (np.array([s[b].sum() for b in blocks]) for s in (self.now_s, self.then_s))
        picks = rng.integers(0, len(blocks), (DRAWS, len(blocks)))
        logs = np.log(then[picks].sum(axis=1) / now[picks].sum(axis=1))
        trials = np.array_split(np.arange(len(self.now_s)), max(len(self.now_s) // units, 1))
        met = np.array([self.then_s[t].sum() / self.now_s[t].sum() for t in trials])
        spread = float(self.now_s.std() / self.now_s.mean())
        noise = math.hypot(spread * math.sqrt(2.0 / units), float(np.log(met).std()))
        log = math.log(self.then_s.sum() / self.now_s.sum())
        return Effect(log, float(logs.std()), noise, len(blocks) - 1.0)

    def says(self, story: Story) -> str:
        """Say what the record's outages were and would have been."""
        firsts = story.first & story.down
        bad = float(story.failed[firsts].mean())
        lost = float(self.lost.mean())
        return (
            f"{int(firsts.sum())} of {int(story.first.sum())} pieces of work began in outages, "
            f"{bad:.0%} of their first tries failed together: {self.amplified[0]:.3g} tries for "
            f"each, {self.amplified[1]:.3g} with a budget of {self.share:.0%}; {lost:.2%} of all "
            "work would fail for good that a retry saved"
        )


def study(
    asked: Asked, tries: Tries, limits: Limits, suppressed: Collection[str],
    rng: np.random.Generator,
) -> Candidate | Reason:  # fmt: skip
    """Return what history says of a budget, or why it says nothing."""
    story = Story.of(tries)
    refused = int(tries.over.sum())
    if asked.stable is not None and refused:
        text = (
            f"its budget of {_share(asked.stable)} refused {refused} tries in the record: what "
            "those would have brought nobody knows"
        )
        return asked.no("history_cannot_say", text)
    if not story.down.any():
        text = "first tries did not fail together: no outage is known in which a budget would help"
        return asked.no("not_worthwhile", text)
    shares = [one for one in _asked(asked) if asked.stable is None or one < float(asked.stable)]
    if not shares:
        text = "what a larger budget would bring nobody knows: its tries were never made"
        return asked.no("history_cannot_say", text)
    price_s = price_of(tries)
    played = [Played.of(story, share, price_s) for share in shares]
    best = max(played, key=lambda one: (one.worth_s, -one.share))
    told = best.says(story)
    if best.worth_s <= 0.0:
        return asked.no("not_worthwhile", f"{told}, which is dearer than the tries it saves")
    note = f"retry.budget {_share(asked.stable)} → {best.share:.0%}: {told}"
    found = Finding(
        best.share, best.effect(2 * limits.ramp_units, rng), "replay under a budget",
        int(story.first.sum()), note, len(shares), _facts(story, played),
    )  # fmt: skip
    answer = propose(asked, found, limits, suppressed)
    return (
        answer
        if isinstance(answer, Candidate)
        else asked.no(answer.reason, f"{told} ({answer.text})")
    )


def _asked(asked: Asked) -> list[float]:
    if choices := asked.tune.get("choices"):
        return sorted(float(one) for one in choices)
    low, high = asked.ends
    ends = (low, high) if math.isfinite(high) else (low,)
    return sorted({one for one in (*SHARES, *ends) if one > 0.0 and low <= one <= high})


def _share(value: Json) -> str:
    return "none" if value is None else f"{float(value):.0%}"


def _facts(story: Story, played: Sequence[Played]) -> dict[str, Json]:
    firsts = story.first & story.down
    return {"outages": {
        "pieces_of_work": int(firsts.sum()),
        "failed_together": float(story.failed[firsts].mean()),
        "tries_each": played[0].amplified[0],
        "by_share": {
            f"{one.share:g}": {
                "tries_each": one.amplified[1], "newly_lost": float(one.lost.mean()),
                "tries_s": float(one.then_s.sum() / one.now_s.sum()),
            }
            for one in played
        },
        "failing_costs_s": played[0].price_s,
    }}  # fmt: skip

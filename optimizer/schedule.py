"""The study of ``start.hours``: for which hours of the day a step is worth waiting for.

Runs are compared by the hours in which they began, adjusted for how much work they had and
for the hardware they ran on: what only ever ran on the fast workers at night says nothing of
the night. An hour needs runs on several days, on hardware and with amounts of work that other
hours have seen too. What a window would change follows from when runs could begin: each that
may wait so long is moved to when the window opens, the others stay where they are. Where history
cannot say, a trial may: its control begins at once while its candidate waits. Prices stand in
the costs as they were that day.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from optimizer.choice_trials import measured
from optimizer.day import (
    LEAST_DAYS,
    LEAST_RUNS,
    Day,
    Runs,
    is_known,
    levels,
    named,
    overlaps,
    runs_of,
)
from optimizer.effect import Effect
from optimizer.evidence import record
from optimizer.finding import Asked, Finding, propose
from optimizer.guard import Limits, Reason
from optimizer.knobs import knob_class
from optimizer.proposal import Candidate
from optimizer.words import counted, many
from runtime.playbook.hours import ANY, of_day
from runtime.playbook.zones import zone_of

Json: TypeAlias = Any
Array: TypeAlias = NDArray[Any]

LEAST: Final = 1e-8
"""The least variance: none is known better."""
FEW: Final = 0.2
"""A window that moves fewer runs is not asked about; so many of those moved may be unknown."""


def study(
    asked: Asked, hardware: Mapping[str, str], limits: Limits, suppressed: Collection[str]
) -> Candidate | Reason:
    """Return what history says of waiting for some hours, or why it says nothing."""
    choices = [str(one) for one in asked.tune.get("choices") or () if one != ANY]
    start = asked.scope.get("start") or {}
    zone = zone_of(str(start.get("zone", "UTC")))
    if not choices or zone is None or "at_most_s" not in start:
        return asked.no("not_tunable", "there are no hours to choose, or no start to wait from")
    if asked.scope.get("objective") == "time":
        return asked.no("not_worthwhile", "the playbook wants less time, and waiting takes time")
    if asked.stable != ANY:
        text = f"the step waits for {asked.stable}: when its runs could begin is not in history"
        return asked.no("history_cannot_say", text)
    spread_s = float(start.get("spread_s", 0.0))
    day = Day.of(zone, float(start["at_most_s"]), choices, spread_s)
    runs = runs_of(asked.history, asked.objective, hardware, day)
    seen, days = len(runs.outcome), len(np.unique(runs.day))
    if seen < LEAST_RUNS or days < LEAST_DAYS:
        told = counted(seen, "run", what=f" on {many(days, 'day')}")
        text = f"{told}; {LEAST_RUNS} on {LEAST_DAYS} are needed, and that many in other hours"
        return asked.no("too_little_history", text)
    return _Study(asked, limits, suppressed, day, runs, str(start.get("zone", "UTC"))).of(choices)


@dataclass(frozen=True, slots=True)
class Shift:
    """What waiting for some hours does to runs: how many wait, how long, and the outcome.

    ``effect`` is None where the hours that runs leave or come to cannot be compared.
    """

    hours: str
    share: float
    mean_s: float
    p95_s: float
    effect: Effect | None
    naive: float | None
    days: int

    def to_json(self) -> dict[str, Json]:
        """Return it for the record: how many runs wait, and how long those do."""
        return {"share": self.share, "mean_s": self.mean_s, "p95_s": self.p95_s}


class _Study:
    """One look at the hours of one step."""

    def __init__(
        self, asked: Asked, limits: Limits, suppressed: Collection[str], day: Day, runs: Runs,
        zone: str,
    ) -> None:  # fmt: skip
        self.asked, self.limits, self.suppressed = asked, limits, suppressed
        self.day, self.runs, self.zone = day, runs, zone
        known = [k for k in range(len(day.parts)) if is_known(runs, k)]
        self.parts = [k for k in known if overlaps(runs, k)] if len(known) > 1 else []
        self.tried: set[str] = set()
        if len(self.parts) > 1:
            self.levels, self.spread, self.rest = levels(runs, self.parts)

    def of(self, choices: list[str]) -> Candidate | Reason:
        """Return the best change, else the trial of what history cannot say, else why not."""
        told = self._measured()
        if isinstance(told, Candidate):
            return told
        shifts = [self._shift(hours) for hours in choices]
        judged = [(s.effect.log, i) for i, s in enumerate(shifts) if s.effect is not None]
        answer: Candidate | Reason | None = None
        if judged:
            best = shifts[min(judged)[1]]
            answer = self._change(best, best.effect, len(judged)) if best.effect else None
        if isinstance(answer, Candidate):
            return answer
        open_ = [s for s in shifts if self._is_open(s)]
        if open_:
            return self._trial(min(open_, key=_promise))
        if told is not None:
            return told
        if answer is not None:
            return answer
        text = "no run could have waited for these hours, or nothing says that hours matter"
        return self.asked.no("not_worthwhile", text)

    def _measured(self) -> Candidate | Reason | None:
        """What a trial of hours has shown, if it was over enough days."""
        answer: Candidate | Reason | None = None
        for hours, one in sorted(
            measured(self.asked, self.limits), key=lambda pair: pair[1].effect.log
        ):
            if len(np.unique(self.day.day_of(one.began))) < LEAST_DAYS:
                continue
            self.tried.add(hours)
            if against := one.against(hours, self.limits):
                answer = self.asked.no("not_worthwhile", against)
                continue
            note = f"begin in {hours} ({self.zone}), measured beside runs that began at once"
            facts = {"delay": self._shift(hours).to_json()}
            units = int(one.effect.freedom) + 2
            found = Finding(hours, one.effect, "units of a trial", units, note, 1, facts)
            answer = propose(self.asked, found, self.limits, self.suppressed)
            if isinstance(answer, Candidate):
                return answer
        return answer

    def _shift(self, hours: str) -> Shift:
        runs = self.runs
        after = self.day.moved(runs.began, hours)
        waits = after > runs.began
        to = self.day.part_of(after)
        seen = np.isin(runs.part, self.parts) & np.isin(to, self.parts)
        within = np.isin(
            runs.part, [k for k, p in enumerate(self.day.parts) if p[0] in of_day(hours)]
        )
        longest = (after - runs.began)[waits]
        naive = None
        if within.any() and not within.all():
            naive = float(
                waits.mean() * (runs.outcome[within].mean() - runs.outcome[~within].mean())
            )
        effect = None
        if waits.any() and (waits & ~seen).sum() <= FEW * waits.sum() and len(self.parts) > 1:
            effect = self._effect(waits & seen, to, within)
        return Shift(
            hours, float(waits.mean()), float(longest.mean()) if waits.any() else 0.0,
            float(np.quantile(longest, 0.95)) if waits.any() else 0.0, effect, naive,
            len(np.unique(runs.day[within])),
        )  # fmt: skip

    def _effect(self, moved: Array, to: Array, within: Array) -> Effect:
        """The mean change of the log outcome of all runs, of which some are moved."""
        runs = self.runs
        count = len(runs.outcome)
        against = np.array([
            ((to[moved] == k).sum() - (runs.part[moved] == k).sum()) / count for k in self.parts
        ])  # fmt: skip
        log = float(against @ self.levels)
        error = float(np.sqrt(max(against @ self.spread @ against, LEAST)))
        noise = float(self.rest.std()) * math.sqrt(2.0 / self.limits.run_units)
        days = len(np.unique(runs.day[within]))
        return Effect(log, error, noise, max(days - 1, 1))

    def _change(self, best: Shift, effect: Effect, compared: int) -> Candidate | Reason:
        found = Finding(
            best.hours, effect, "between hours, adjusted for work and hardware",
            len(self.runs.outcome), self._note(best), compared, self._facts(best),
        )  # fmt: skip
        return propose(self.asked, found, self.limits, self.suppressed)

    def _note(self, shift: Shift) -> str:
        return (
            f"begin in {shift.hours} ({self.zone}): {shift.share:.0%} of runs would wait, "
            f"{shift.mean_s / 3600:.1f} h on average and {self.day.at_most_s / 3600:g} h at most"
        )

    def _facts(self, shift: Shift) -> dict[str, Json]:
        return {
            "parts": dict(self._table()), "days": shift.days, "zone": self.zone,
            "delay": {**shift.to_json(), "at_most_s": self.day.at_most_s},
            "held_equal": ["items of a run", "class of hardware"],
            "would_change": [
                "hours that were as dear as the others, by a trial",
                "runs that are slower where many begin at once, as the window opens",
            ],
        }  # fmt: skip

    def _table(self) -> Iterator[tuple[str, dict[str, Json]]]:
        for k, part in enumerate(self.day.parts):
            mine = self.runs.part == k
            said: dict[str, Json] = {
                "runs": int(mine.sum()),
                "days": len(np.unique(self.runs.day[mine])),
            }
            if k in self.parts:
                i = self.parts.index(k)
                error = math.sqrt(max(float(self.spread[i, i]), LEAST))
                yield named(part), {**said, "level": float(self.levels[i]), "se": error}
            else:
                yield named(part), said

    # ---- where history cannot say --------------------------------------------------------

    def _is_open(self, shift: Shift) -> bool:
        """Whether nobody knows, and what was seen then lets one hope for a gain.

        Of hours that no run began in: whether hours are seen to matter at all.
        """
        if shift.effect is not None or shift.share < FEW or shift.hours in self.tried:
            return False
        if shift.naive is None:
            return self._hours_matter()
        return shift.naive < math.log(1.0 - self.limits.min_gain)

    def _hours_matter(self) -> bool:
        """Whether hours that can be compared differ by what is worth a change, beyond noise."""
        if len(self.parts) < 2:
            return False
        least, most = int(np.argmin(self.levels)), int(np.argmax(self.levels))
        against = np.eye(len(self.parts))[most] - np.eye(len(self.parts))[least]
        error = math.sqrt(max(float(against @ self.spread @ against), LEAST))
        return float(against @ self.levels) - 2.0 * error > -math.log1p(-self.limits.min_gain)

    def _trial(self, shift: Shift) -> Candidate | Reason:
        asked, seen = self.asked, shift.naive is not None
        line = {"knob": asked.knob, "from": asked.stable, "values": [shift.hours]}
        share = math.expm1(shift.naive or 0.0)
        few = (
            f"runs that began then make {share:+.0%}, but on too few days, or unlike the rest in "
        )
        why = few + "hardware or work" if seen else "no run began then"
        sections = {
            "support": 0.0, "covered": [], "prediction": {}, "objective": asked.objective,
            "causal": {"estimand": f"log {asked.objective} per item", "method": "none"},
            "reason": "history_cannot_say", **self._facts(shift),
        }  # fmt: skip
        candidate = Candidate(
            kind="experiment", playbook=str(asked.scope["playbook"]),
            step=str(asked.scope["step"]), knob_class=knob_class(asked.knob),
            objective=asked.objective, diff=[line], base={asked.knob: asked.stable},
            evidence=record(asked.scope, [line], asked.history, sections), predicted={},
            note=f"history cannot say what it is worth to {self._note(shift)}; {why}",
        )  # fmt: skip
        if candidate.content in self.suppressed:
            return asked.no("history_cannot_say", f"{shift.hours}: {why}; it was asked before")
        return candidate


def _promise(shift: Shift) -> tuple[float, float]:
    """What looks best comes first; of what nobody has seen, the shortest wait."""
    return (shift.naive or 0.0, shift.mean_s)

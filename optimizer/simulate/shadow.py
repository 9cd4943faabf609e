"""Shadow: recorded runs replayed under a candidate, before any live work.

Each run is asked what it would have taken under the candidate's values; the others are
its history. What would have gone wrong in a replay that went right in the record, a run
that fails or items that are lost, is a violation. Runs that cannot say are counted and
told, and never taken for a good sign.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from optimizer.simulate.estimate import Band, CannotSay, Estimate
from optimizer.simulate.what_if import what_if
from optimizer.simulate.work import Work
from runtime.playbook.model import Playbook

Json: TypeAlias = Any

MOST_RUNS: Final = 20
DRAWS: Final = 20
FAILS: Final = 0.05
"""A share of replays in which a run fails that is more than chance."""


@dataclass(frozen=True, slots=True)
class Check:
    """What the replays say of a candidate. ``makespan_delta`` is None where none can say.

    ``cost_delta`` is None also where some runs do not know what they cost. ``violations``
    are runs that fail, or lose more items than they did, in replay.
    """

    runs: int
    makespan_delta: Band | None
    violations: int
    calibration_error: float | None
    cannot_say: Mapping[str, int] = field(default_factory=dict)
    assumptions: Sequence[str] = ()
    cost_delta: Band | None = None

    def to_json(self) -> dict[str, Json]:
        """Return it as JSON values: the median change, its range beside it."""
        delta, cost = self.makespan_delta, self.cost_delta
        return {
            "runs": self.runs,
            "makespan_delta": delta.median if delta else None,
            "makespan_range": [delta.lower, delta.upper] if delta else None,
            "cost_delta": cost.median if cost else None,
            "cost_range": [cost.lower, cost.upper] if cost else None,
            "violations": self.violations,
            "calibration_error": self.calibration_error,
            "cannot_say": dict(self.cannot_say),
            "assumptions": list(self.assumptions),
        }


def replay_check(
    works: Sequence[Work], step: str, diff: Iterable[Mapping[str, Json]], rng: random.Random, *,
    playbook: Playbook | None = None, slots: int | None = None, most: int = MOST_RUNS,
    going: Callable[[], bool] = lambda: True,
) -> Check:  # fmt: skip
    """Replay the ``most`` latest of these runs (oldest first) under ``diff`` of one step.

    ``diff`` is a change's ``[{knob, from, to}]``. Once ``going`` says no, the runs that
    are left cannot say: ``too_long``.

    Raises:
        BadChange: a value is no whole number of at least 1.
        UnknownKnob: a knob has no such name.
    """
    changes = {step: {str(line["knob"]): line["to"] for line in diff}}
    said: list[tuple[Work, Estimate]] = []
    silent: Counter[str] = Counter()
    for i in range(max(0, len(works) - most), len(works)):
        if not going():
            silent["too_long"] += 1
            continue
        others = [*works[:i], *works[i + 1 :]]
        answer = what_if(
            works[i], changes, rng, history=others, playbook=playbook, slots=slots, draws=DRAWS
        )
        if isinstance(answer, CannotSay):
            silent[answer.why] += 1
        else:
            said.append((works[i], answer))
    return _check(said, silent)


def _check(said: Sequence[tuple[Work, Estimate]], silent: Counter[str]) -> Check:
    violations = sum(_violates(work, found) for work, found in said) + silent["run_would_fail"]
    if not said:
        return Check(0, None, violations, None, dict(silent))
    errors = [found.calibration_error for _, found in said]
    notes = dict.fromkeys(note for _, found in said for note in found.assumptions)
    deltas = [found.makespan_delta.median for _, found in said]
    costs = [found.cost_delta.median for _, found in said if found.cost_delta is not None]
    return Check(
        len(said), Band.of(deltas), violations, Band.of(errors).median, dict(silent),
        list(notes), Band.of(costs) if len(costs) == len(said) else None,
    )  # fmt: skip


def _violates(work: Work, found: Estimate) -> bool:
    lost = sum(firing.items_failed for firing in work.firings)
    return found.fails > FAILS or found.items_failed.median > lost

"""The verifier: do kept changes still hold what they promised?

Verdicts of live trials are reached in the server, which needs no agent for them. This
role looks back: it scores the ledger of predicted against realised effects, and compares
what a step takes now with what it took right after its last kept change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from agents.observer import Observation
from optimizer.distinct import distinct
from optimizer.evidence import Batches
from optimizer.guard import Reason
from optimizer.scope import step_named

Json: TypeAlias = Any

LEAST_RUNS: Final = 6
"""Runs of which the first third and the last can be told apart."""
FADED: Final = 0.10
"""By so much slower, and by three times the noise, a step is said to have faded."""
TRUSTED: Final = 0.80
"""Below this calibration a class of predictions is said to be too sure of itself."""
_FIELDS: Final = {"each.batch": "size", "each.in_flight": "in_flight"}


@dataclass(frozen=True, slots=True)
class Score:
    """How often realised effects lay inside their predicted 90% intervals, by knob class."""

    knob_class: str
    outcomes: int
    covered: int

    @property
    def calibration(self) -> float:
        """The share covered, shrunk towards 0.9 by ten imagined outcomes."""
        return (self.covered + 9.0) / (self.outcomes + 10.0)


def score(ledger: Sequence[Mapping[str, Json]]) -> list[Score]:
    """Return the calibration of each knob class from earlier proposals and what they came to."""
    known = [one for one in ledger if one.get("covered") is not None]
    classes = sorted({str(one["knob_class"]) for one in known})
    return [
        Score(
            name,
            sum(one["knob_class"] == name for one in known),
            sum(bool(one["covered"]) for one in known if one["knob_class"] == name),
        )
        for name in classes
    ]


def review(observations: Sequence[Observation]) -> list[Reason]:
    """Name steps that have become clearly slower, and predictions that do not come true."""
    faded = [reason for one in observations if (reason := _faded(one)) is not None]
    ledger = [told for one in observations for told in one.scope.get("last") or ()]
    return [*faded, *(_overconfident(one) for one in score(ledger) if one.calibration < TRUSTED)]


def _overconfident(one: Score) -> Reason:
    text = (
        f"{one.covered} of {one.outcomes} measured effects lay inside their predicted 90% "
        "interval: trust the predictions of this class less than they say"
    )
    return Reason(one.knob_class, "overconfident", text)


def _faded(one: Observation) -> Reason | None:
    """Compare the first and the last third of the runs under today's configuration."""
    now = one.scope.get("stable") or {}
    mine = one.history.where(one.history.experiment == "")
    for knob, name in _FIELDS.items():
        if knob in now:
            mine = mine.where(getattr(mine, name) == now[knob])
    logs = _run_levels(mine)
    if len(logs) < LEAST_RUNS:
        return None
    third = len(logs) // 3
    first, last = logs[:third], logs[-third:]
    change = float(np.mean(last) - np.mean(first))
    noise = math.sqrt((np.var(first) + np.var(last)) / third) if third > 1 else math.inf
    if change < math.log1p(FADED) or change < 3.0 * noise:
        return None
    name = step_named(one.scope)
    return Reason(name, "faded", f"an item takes {math.expm1(change):+.0%} since the first runs")


def _run_levels(history: Batches) -> list[float]:
    _, codes = distinct(history.run)
    seconds = np.bincount(codes, weights=history.seconds)
    levels: list[float] = np.log(
        seconds / np.bincount(codes, weights=np.maximum(history.items, 1))
    ).tolist()
    return levels

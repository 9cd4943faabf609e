"""Guardrails inside the optimizer: what it does not even propose, and why.

The control plane checks its own policy again; this keeps what could never pass from being
written. A reason is a code with a sentence, because "no" is an answer a person reads.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from optimizer.effect import CLEARLY, PROOF, WIDEST, Effect
from optimizer.knobs import Range

Json: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a scope (``playbook#step`` or a knob of it) gets no proposal."""

    scope: str
    reason: str
    text: str

    def to_json(self) -> dict[str, str]:
        """Return it as it stands in the cycle's result."""
        return {"scope": self.scope, "reason": self.reason, "text": self.text}


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers of a policy that bear on proposing.

    ``ramp_units`` is what the last stage of a trial will measure with, a side, ``run_units``
    the runs a side of a trial of hours of the day; ``pairs`` the pairs of a switchback;
    ``explore_units`` the units of each explored arm.
    ``joint`` is whether knobs are looked at together, in replays of at least
    ``replayed_runs`` runs that are off by at most ``replay_error``.
    """

    min_gain: float = 0.05
    confidence: float = 0.8
    largest_step: Mapping[str, float] = field(default_factory=dict)
    largest_difference: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    reach: float = 8.0
    least_batches: int = 30
    least_units: int = 8
    least_pairs: int = 5
    ramp_units: int = 60
    run_units: int = 30
    pairs: int = 8
    failure_margin: float = 0.05
    horizon_runs: int = 10
    joint: bool = False
    replayed_runs: int = 3
    replay_error: float = 0.15

    @classmethod
    def from_policy(cls, policy: Mapping[str, Json]) -> Limits:
        """Read what concerns the optimizer from a policy; the rest has defaults."""
        ramp, verify = policy.get("ramp") or [{}], policy.get("verify") or {}
        last = ramp[-1]
        units = last.get("min_candidate", 60) if isinstance(last, Mapping) else last[1]
        shadow = verify.get("shadow") or {}
        return cls(
            min_gain=float(policy.get("min_worthwhile", verify.get("min_gain", 0.05))),
            largest_step=dict(_steps(policy.get("step_change"), "x")),
            largest_difference=dict(_steps(policy.get("step_change"), "+")),
            bounds=dict(_bounds(policy.get("bounds"))),
            reach=float(str((policy.get("explore") or {}).get("reach", "x8")).lstrip("x")),
            ramp_units=int(units),
            run_units=int(verify.get("min_units", 30)),
            pairs=int(verify.get("min_pairs", 8)),
            horizon_runs=int(verify.get("horizon_runs", 10)),
            joint=bool(policy.get("joint", False)),
            replayed_runs=int(shadow.get("min_runs", 3)),
            replay_error=float(shadow.get("max_error", 0.15)),
        )

    def factor(self, knob: str) -> float:
        """Return by what factor one change may move a knob without an experiment."""
        return self.largest_step.get(knob, 2.0)

    def nearest(self, knob: str, stable: float, value: float) -> float:
        """Return the value nearest to ``value`` that one change may go to.

        >>> Limits(largest_difference={"retry.attempts": 2}).nearest("retry.attempts", 3, 9)
        5
        """
        factor = self.largest_step.get(knob, math.inf)
        reach = self.largest_difference.get(knob, math.inf)
        low, high = max(stable / factor, stable - reach), min(stable * factor, stable + reach)
        least, most = self.bounds.get(knob, (-math.inf, math.inf))
        return min(max(value, low, least), high, most)

    def within(self, tune: Mapping[str, Json]) -> dict[str, Json]:
        """Return a step's declared ends of a knob, no further than the policy's bounds.

        >>> Limits(bounds={"timeout": (2.0, 60.0)}).within({"name": "timeout", "max": 90})
        {'name': 'timeout', 'max': 60.0, 'min': 2.0}
        """
        least, most = self.bounds.get(str(tune["name"]), (-math.inf, math.inf))
        low, high = tune.get("min"), tune.get("max")
        ends = {
            "min": least if low is None else max(least, low),
            "max": most if high is None else min(most, high),
        }
        return {**tune, **{name: end for name, end in ends.items() if math.isfinite(end)}}


def _bounds(value: Json) -> list[tuple[str, tuple[float, float]]]:
    """The bounds that hold for every step; the others are the control plane's to check."""
    return [
        (str(one["knob"]), (_end(one.get("min"), -math.inf), _end(one.get("max"), math.inf)))
        for one in value or []
        if one.get("playbook", "*") == one.get("step", "*") == "*"
    ]


def _end(value: Json, other: float) -> float:
    """An end of a bound; one that is open is not written, or written as null."""
    return other if value is None else float(value)


def _steps(value: Json, sign: str) -> list[tuple[str, float]]:
    pairs = value.items() if isinstance(value, Mapping) else value or []
    found = re.compile(rf"{re.escape(sign)}(\d+(?:\.\d+)?)")
    told = [(str(k), found.search(str(v))) for k, v in pairs]
    return [(k, float(hit[1])) for k, hit in told if hit is not None]


def objections(
    knob: Range,
    stable: int,
    value: int,
    effect: Effect,
    limits: Limits,
    *,
    covered: bool,
    compared: int = 1,
    what: str = "",
) -> list[tuple[str, str]]:
    """Return what speaks against proposing ``value``: codes, each with a sentence.

    The best of several ``compared`` values looks better than it is, so that each has to be
    surer (Bonferroni).
    """
    found = []
    if not knob.holds(value):
        found.append(("bounds", f"{value} is outside {knob.low} to {knob.high}"))
    ratio = max(value / stable, stable / value)
    if not covered and ratio > limits.factor(knob.name) + 1e-9:
        found.append(("history_cannot_say", f"{value} is a step of x{ratio:.3g} nobody has tried"))
    return found + doubts(str(value), effect, limits, compared=compared, what=what)


def doubts(
    value: str, effect: Effect, limits: Limits, *, compared: int = 1, what: str = ""
) -> list[tuple[str, str]]:
    """Return what speaks against an effect itself, whatever the value is: see `objections`.

    ``value`` and ``what`` are the words for a person: ``10 s`` and ``time per item``.
    """
    found, says = [], _says(value, effect, limits, what)
    sure = 1.0 - (1.0 - limits.confidence) / compared
    if effect.log > _log_gain(limits) or effect.chance_of(limits.min_gain) < sure:
        asked = f", where {sure:.0%} is asked for" if effect.log <= _log_gain(limits) else ""
        found.append(("not_worthwhile", f"{says}{asked}"))
    elif not effect.provable(limits.min_gain):
        noise = math.expm1(PROOF * effect.measurement_se)
        text = f"too little for a trial to prove, which measures to within {noise:.0%}"
        found.append(("unprovable", f"{says}, {text}"))
    elif effect.width > WIDEST and effect.interval()[2] > -CLEARLY * limits.min_gain:
        found.append(("too_uncertain", f"{says}, {_wide(effect)}"))
    return found


def _wide(effect: Effect) -> str:
    """Say that an interval is too wide, and what would narrow it."""
    text = f"an interval of {100 * effect.width:.0f} points where {100 * WIDEST:.0f} may be"
    if effect.estimate_se >= effect.measurement_se:
        return f"{text}: more runs will narrow it"
    return f"{text}: it is the noise of a trial, which runs with more items would lessen"


def _log_gain(limits: Limits) -> float:
    return math.log(1.0 - limits.min_gain)


def _says(value: str, effect: Effect, limits: Limits, what: str) -> str:
    low, middle, high = effect.interval()
    chance = effect.chance_of(limits.min_gain)
    return (
        f"{value}: {what}{' ' if what else ''}{middle:+.0%} ({low:+.0%} to {high:+.0%}), "
        f"a gain of {limits.min_gain:.0%} or more with a chance of {chance:.0%}"
    )

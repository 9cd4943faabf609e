"""The gate: what the policy has to say about a draft, before a person is asked.

Pure rules over facts that are handed in; every rule that says no is named at once. What
is missing never passes. Content that was rejected or rolled back comes through again
only when something material is new.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from control_plane.review.policy import Policy
from control_plane.review.reasons import Reason
from optimizer.knobs import CLASSES, said
from runtime.playbook.knobs import SUBSETS
from runtime.playbook.model import Knob
from runtime.run.events import Json, ProposalDrafted

WHOLE: Final = frozenset({"each.batch", "each.in_flight", "retry.attempts"})
"""Knobs whose values are whole numbers."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What the catalogue and the overlays say of a step today.

    ``stable`` are the effective values outside every experiment; ``defaults`` the author's.
    ``zone`` is whose clock tells the step's hours of the day.
    """

    playbook: str
    step: str
    bound: str
    defaults: Mapping[str, Json]
    stable: Mapping[str, Json]
    tune: tuple[Knob, ...]
    effect: str = "idempotent"
    zone: str = "UTC"

    def knob(self, name: str) -> Knob | None:
        """The step's declaration of a knob, or None."""
        return next((k for k in self.tune if k.name == name), None)


@dataclass(frozen=True, slots=True)
class Covered:
    """The values of a knob between which an experiment found no harm."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the value lies between them."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Earlier:
    """A decision about the same content: who made it, why, and on which evidence."""

    proposal: str
    state: str
    reason: str
    at: float
    bound: str
    predicted: Mapping[str, Json] = field(default_factory=dict)
    regime: Json = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A rule that says no, in words."""

    reason: Reason
    text: str


Rule = Callable[
    [ProposalDrafted, Scope, Policy, Mapping[str, Covered]], Iterator[Refusal]
]  # fmt: skip


def refusals(
    drafted: ProposalDrafted, scope: Scope | None, policy: Policy, covered: Mapping[str, Covered]
) -> list[Refusal]:
    """Return everything that speaks against a draft; none means that it may be proposed."""
    if scope is None:
        where = f"{drafted.playbook}#{drafted.step} is not registered"
        return [Refusal(Reason.UNKNOWN_SCOPE, where)]
    shape = list(_shape(drafted, scope))
    if shape:
        return shape
    return [no for rule in RULES for no in rule(drafted, scope, policy, covered)]


def _shape(drafted: ProposalDrafted, scope: Scope) -> Iterator[Refusal]:
    """What makes the other rules meaningless."""
    if not drafted.diff:
        yield Refusal(Reason.NO_CHANGE, "the diff is empty")
    several = drafted.kind == "experiment" and len(drafted.diff) > 1
    classes = {CLASSES.get(line["knob"]) for line in drafted.diff}
    if several or (classes and classes != {drafted.knob_class}):
        names = ", ".join(line["knob"] for line in drafted.diff)
        yield Refusal(Reason.MIXED_KNOBS, f"{names} are not one group of {drafted.knob_class}")
    for line in drafted.diff:
        name = line["knob"]
        if scope.knob(name) is None or name not in scope.defaults:
            yield Refusal(Reason.NOT_TUNABLE, f"{scope.step} does not declare {name} under tune")
        else:
            yield from _unfit(scope.knob(name), name, values(line))


def _unfit(knob: Knob | None, name: str, wanted: list[Json]) -> Iterator[Refusal]:
    unfit = [value for value in wanted if not _fits(knob, name, value)]
    if not unfit:
        return
    if knob is not None and knob.choices:
        count = "some" if name in SUBSETS else "one"
        allowed = f"{count} of {', '.join(map(str, knob.choices))}"
    else:
        allowed = f"a {'whole ' if name in WHOLE else ''}number above 0"
    told = ", ".join(said(name, value) for value in unfit)
    yield Refusal(Reason.OUT_OF_BOUNDS, f"{name} must be {allowed}, not {told}")


def values(line: Mapping[str, Json]) -> list[Json]:
    """Return the new values that a line of a diff would try."""
    return list(line["values"]) if "values" in line else [line["to"]]


def _fits(knob: Knob | None, name: str, value: Json) -> bool:
    if knob is not None and knob.choices:
        several = value if name in SUBSETS and isinstance(value, list) else [value]
        return all(one in knob.choices for one in several)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value > 0 and (name not in WHOLE or value == int(value))


def _denied(
    drafted: ProposalDrafted, scope: Scope, policy: Policy, _: Mapping[str, Covered]
) -> Iterator[Refusal]:
    for line in drafted.diff:
        rule = policy.denial(scope.playbook, scope.step, line["knob"])
        if rule is not None:
            why = rule.why or "the policy says so"
            yield Refusal(Reason.SCOPE_DENIED, f"{scope.playbook}#{scope.step}: {why}")


def _once(
    drafted: ProposalDrafted, scope: Scope, policy: Policy, _: Mapping[str, Covered]
) -> Iterator[Refusal]:
    if scope.effect == "once" and drafted.knob_class == "retry":
        text = f"{scope.step} has effect: once; a retry could repeat its effect"
        yield Refusal(Reason.NOT_REPEATABLE, text)


def _unchanged(
    drafted: ProposalDrafted, scope: Scope, policy: Policy, _: Mapping[str, Covered]
) -> Iterator[Refusal]:
    for line in drafted.diff:
        if any(value == line["from"] for value in values(line)):
            yield Refusal(Reason.NO_CHANGE, f"{line['knob']} is {line['from']} already")
        if line["from"] != scope.stable.get(line["knob"]):
            now = scope.stable.get(line["knob"])
            text = f"{line['knob']} is {now} now, not {line['from']}"
            yield Refusal(Reason.BASE_MOVED, text)


def _bounds(
    drafted: ProposalDrafted, scope: Scope, policy: Policy, _: Mapping[str, Covered]
) -> Iterator[Refusal]:
    for line in drafted.diff:
        declared = scope.knob(line["knob"])
        if declared is None or declared.choices:
            continue
        low, high = policy.range(scope.playbook, scope.step, line["knob"])
        low = max(low, -math.inf if declared.min is None else declared.min)
        high = min(high, math.inf if declared.max is None else declared.max)
        for value in values(line):
            if not low <= value <= high:
                text = f"{line['knob']}: {value} is outside {low:g} to {high:g}"
                yield Refusal(Reason.OUT_OF_BOUNDS, text)


def _size(
    drafted: ProposalDrafted, scope: Scope, policy: Policy, covered: Mapping[str, Covered]
) -> Iterator[Refusal]:
    for line in drafted.diff:
        name, before = line["knob"], line["from"]
        limit = policy.largest_step(name) if drafted.kind == "change" else policy.explore.reach
        for value in values(line):
            if not isinstance(value, int | float) or not isinstance(before, int | float):
                continue
            if name in covered and covered[name].holds(value):
                continue
            tried = [before]
            if drafted.kind == "experiment" and name in covered:
                tried += [covered[name].low, covered[name].high]
            if not any(limit.allows(one, value) for one in tried):
                text = f"{name}: from {before} to {value} is more than {limit} in one step"
                yield Refusal(Reason.STEP_TOO_LARGE, text)


def _worth(
    drafted: ProposalDrafted, scope: Scope, policy: Policy, _: Mapping[str, Covered]
) -> Iterator[Refusal]:
    if drafted.kind != "change":
        return
    effect = predicted(drafted)
    if effect is None:
        yield Refusal(Reason.NO_DATA, f"no predicted interval for {drafted.objective}")
    elif -effect[1] < policy.min_worthwhile:
        text = f"predicted {effect[1]:+.1%}; worth a change from -{policy.min_worthwhile:.0%} on"
        yield Refusal(Reason.NOT_WORTHWHILE, text)


def _support(
    drafted: ProposalDrafted, scope: Scope, policy: Policy, _: Mapping[str, Covered]
) -> Iterator[Refusal]:
    support = drafted.evidence.get("support")
    if drafted.kind != "change" or not isinstance(support, int | float):
        return
    if support < policy.min_support:
        text = f"support {support:.0%} is below {policy.min_support:.0%}"
        yield Refusal(Reason.INSUFFICIENT_SUPPORT, text)


RULES: Final[tuple[Rule, ...]] = (_denied, _once, _unchanged, _bounds, _size, _worth, _support)


def predicted(drafted: ProposalDrafted) -> tuple[float, float, float] | None:
    """Return the predicted interval for the objective as lower, median, upper, if complete."""
    found = drafted.predicted.get(drafted.objective)
    if not isinstance(found, Mapping):
        return None
    numbers = [found.get(name) for name in ("lower", "median", "upper")]
    if not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
        return None
    lower, median, upper = (float(n) for n in numbers if n is not None)
    return (lower, median, upper) if lower <= median <= upper else None


def suppression(
    drafted: ProposalDrafted, bound: str, earlier: Sequence[Earlier], policy: Policy, now: float
) -> Earlier | None:
    """Return the earlier decision that still speaks against this content, or None.

    It no longer does once its snooze is over, the step's code is another, its regime is
    another, or the predicted interval has left the old one.
    """
    for past in earlier:
        if past.bound != bound or now - past.at >= policy.snooze_s:
            continue
        if not _is_new(drafted, past):
            return past
    return None


def _is_new(drafted: ProposalDrafted, past: Earlier) -> bool:
    if drafted.evidence.get("regime") != past.regime:
        return True
    now, then = predicted(drafted), past.predicted.get(drafted.objective)
    if now is None or not isinstance(then, Mapping) or not {"lower", "upper"} <= then.keys():
        return False
    return bool(now[2] < then["lower"] or now[0] > then["upper"])

"""The facts of review: proposals, what was measured of them, and what they taught."""

from __future__ import annotations

from typing import ClassVar

from msgspec import field

from runtime.run.facts.fact import Fact, Json


class ProposalDrafted(Fact, frozen=True):
    """A diff over knobs of one step was proposed, with its evidence.

    ``kind`` is ``change`` (one candidate) or ``experiment`` (several, to learn).
    ``diff`` is a list of ``{knob, from, to}`` (change) or ``{knob, from, values}``
    (experiment). ``base`` holds the stable values of the proposal's own keys.
    ``evidence`` is the whole record with its content hash under ``id``. ``predicted`` is
    ``{objective: {lower, median, upper}}``, relative changes (-0.4 is 40% less) with a
    90% interval for the effect as it will be measured.
    """

    TYPE: ClassVar[str] = "proposal.drafted"
    VERSION: ClassVar[int] = 1
    proposal: str
    kind: str
    playbook: str
    step: str
    knob_class: str
    objective: str
    diff: list[Json]
    base: dict[str, Json]
    evidence: dict[str, Json]
    predicted: dict[str, Json]
    author: str
    key: str
    content: str
    cycle: str = ""
    note: str = ""


class ProposalMoved(Fact, frozen=True):
    """A proposal went from one state of its life to another.

    ``reason`` is a code of a closed list; ``bound_hash`` is the hash of diff, evidence,
    base and policy at that moment (on ``approve``).
    """

    TYPE: ClassVar[str] = "proposal.moved"
    VERSION: ClassVar[int] = 1
    proposal: str
    move: str
    source: str
    target: str
    actor: str
    reason: str
    note: str = ""
    bound_hash: str = ""
    policy_hash: str = ""
    stage: int = 0
    facts: dict[str, Json] = field(default_factory=dict)


class VerdictReached(Fact, frozen=True):
    """What the measurements say so far or at the end: better, worse or inconclusive."""

    TYPE: ClassVar[str] = "verdict.reached"
    VERSION: ClassVar[int] = 1
    proposal: str
    experiment: str
    verdict: str
    reason: str
    units: dict[str, Json]
    statistics: dict[str, Json]
    final: bool = True


class OutcomeRecorded(Fact, frozen=True):
    """Predicted against realised, for the ledger. Effects are relative changes."""

    TYPE: ClassVar[str] = "outcome.recorded"
    VERSION: ClassVar[int] = 1
    proposal: str
    knob_class: str
    objective: str
    predicted: dict[str, Json]
    realised: float | None
    interval: list[Json]
    covered: bool | None
    units: dict[str, Json] = field(default_factory=dict)


class LessonRecorded(Fact, frozen=True):
    """What a rejection, a rollback or an experiment taught."""

    TYPE: ClassVar[str] = "lesson.recorded"
    VERSION: ClassVar[int] = 1
    lesson: str
    proposal: str
    playbook: str
    step: str
    knob_class: str
    text: str
    reason: str
    content: str


class PolicySet(Fact, frozen=True):
    """A guardrail policy came into force."""

    TYPE: ClassVar[str] = "policy.set"
    VERSION: ClassVar[int] = 1
    profile: str
    text: str
    policy_hash: str
    actor: str

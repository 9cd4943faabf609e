"""A proposal as API, command line and pages show it: JSON values only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from msgspec import structs

from control_plane.docket import Docket
from control_plane.intake import Intake, check
from control_plane.review import apply
from control_plane.review.explain import explain
from control_plane.review.lifecycle import MOVES, State
from control_plane.review.plan import plan
from control_plane.review.policy import Policy
from control_plane.review.proposal import Proposal
from control_plane.review.reasons import words
from runtime.run.events import Json


@dataclass(frozen=True, slots=True)
class ProposalView:
    """A proposal to read.

    ``bound_hash`` is what an approval now would be bound to; ``allowed`` names the moves
    that the lifecycle knows from here; ``checks`` is what the policy says today.
    """

    id: str
    state: str
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
    approver: str
    bound_hash: str
    approved_hash: str
    created_at: float
    moved_at: float
    reason: str
    reason_words: str
    stage: int
    experiment: str | None
    note: str = ""
    cycle: str = ""
    plan: Sequence[str] = ()
    checks: Sequence[Json] = ()
    allowed: list[str] = field(default_factory=list)
    history: list[Json] = field(default_factory=list)
    verdict: dict[str, Json] | None = None
    outcome: dict[str, Json] | None = None
    lesson: dict[str, Json] | None = None

    def to_json(self) -> dict[str, Json]:
        """Return it as JSON values."""
        return asdict(self)


def view(
    docket: Docket, intake: Intake, proposal: Proposal, policy: Policy, bound_hash: str
) -> ProposalView:
    """Return a proposal to read; ``policy`` is what it obeys."""
    drafted, approval = proposal.drafted, proposal.approval
    started = docket.length(apply.experiment_stream(proposal.experiment)) > 0
    return ProposalView(
        id=proposal.id, state=proposal.state.value, kind=drafted.kind,
        playbook=drafted.playbook, step=drafted.step, knob_class=drafted.knob_class,
        objective=drafted.objective, diff=drafted.diff, base=drafted.base,
        evidence=drafted.evidence, predicted=drafted.predicted, author=drafted.author,
        approver=approval.event.actor if approval else "", bound_hash=bound_hash,
        approved_hash=approval.event.bound_hash if approval else "",
        created_at=proposal.drafted_at,
        moved_at=proposal.moves[-1].at if proposal.moves else proposal.drafted_at,
        reason=proposal.reason, reason_words=words(proposal.reason) if proposal.reason else "",
        stage=proposal.stage, experiment=proposal.experiment if started else None,
        note=drafted.note, cycle=drafted.cycle, plan=_plan(proposal, policy),
        checks=_checks(intake, proposal),
        allowed=[m.value for m in MOVES[proposal.state]],
        history=[_line(m.at, structs.asdict(m.event)) for m in proposal.moves],
        verdict=structs.asdict(proposal.verdict) if proposal.verdict else None,
        outcome=structs.asdict(proposal.outcome) if proposal.outcome else None,
        lesson=structs.asdict(proposal.lesson) if proposal.lesson else None,
    )  # fmt: skip


def _plan(proposal: Proposal, policy: Policy) -> Sequence[str]:
    if proposal.state in (State.DRAFT, State.BLOCKED, State.DISCARDED):
        return []
    return explain(plan(proposal.drafted, policy))


def _checks(intake: Intake, proposal: Proposal) -> Sequence[Json]:
    if proposal.state not in (State.PROPOSED, State.BLOCKED):
        gated = proposal.last("block") or proposal.last("gate")
        return gated.event.facts.get("checks", []) if gated is not None else []
    return [check(refusal) for refusal in intake.refusals(proposal.drafted)]


def _line(at: float, moved: dict[str, Json]) -> dict[str, Json]:
    return {"at": at, **moved, "words": words(moved["reason"])}

"""Intake: what becomes of a draft before a person sees it.

A draft is discarded when nothing new is in it, blocked when a guardrail says no, and else
proposed, taking the place of an older proposal for the same knobs. Intake decides and
writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from control_plane.docket import Docket
from control_plane.errors import Invalid
from control_plane.review.apply import Decision
from control_plane.review.candidate import candidate_faults
from control_plane.review.gate import Earlier, Refusal, refusals, suppression
from control_plane.review.lifecycle import Hand, Move, State
from control_plane.review.policy import Policy
from control_plane.review.proposal import Proposal
from control_plane.review.reasons import Reason
from optimizer.proposal import Candidate
from runtime.run.events import Json, ProposalDrafted
from runtime.run.layers import digest

OPEN: Final = frozenset({State.PROPOSED, State.APPROVED, State.SCHEDULED})


def draft(candidate: Candidate, actor: str, name: str, cycle: str) -> ProposalDrafted:
    """Return the draft of a candidate.

    Raises:
        Invalid: it is no candidate; every fault is named.
    """
    faults = candidate_faults(candidate)
    if faults:
        raise Invalid(faults)
    evidence = dict(candidate.evidence)
    evidence.setdefault("id", digest(evidence))
    return ProposalDrafted(
        name, candidate.kind, candidate.playbook, candidate.step, candidate.knob_class,
        candidate.objective, list(candidate.diff), dict(candidate.base), evidence,
        dict(candidate.predicted), actor, candidate.key, candidate.content, cycle,
        candidate.note,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Intake:
    """Decides about drafts, from the docket and one policy."""

    docket: Docket
    policy: Policy

    def gate(self, drafted: ProposalDrafted, now: float) -> Sequence[Decision]:
        """Decide what becomes of a draft, and of those that it takes the place of."""
        decision = Decision.draft(drafted, now, self.policy.hash)
        scope = self.docket.scope(drafted.playbook, drafted.step)
        bound = scope.bound if scope is not None else ""
        out = self._discarded(drafted, bound, now)
        if out is not None:
            reason, facts = out
            decision.move(Move.DISCARD, Hand.POLICY, reason, facts={"bound": bound, **facts})
            return [decision]
        against = self.refusals(drafted)
        _judge(decision, against, bound)
        if against:
            return [decision]
        return [decision, *self._superseded(drafted, now)]

    def _discarded(
        self, drafted: ProposalDrafted, bound: str, now: float
    ) -> tuple[Reason, dict[str, Json]] | None:
        if self.policy.mode == "off":
            return Reason.POLICY_OFF, {}
        same = [p for p in self.docket.proposals.values() if p.drafted.content == drafted.content]
        for other in same:
            if other.state in OPEN or other.holds_lock:
                return Reason.DUPLICATE, {"of": other.id}
        past = self._suppressing(drafted, bound, now)
        if past is not None:
            facts = {"of": past.proposal, "state": past.state, "reason": past.reason}
            return Reason.SUPPRESSED, facts
        return None

    def _suppressing(self, drafted: ProposalDrafted, bound: str, now: float) -> Earlier | None:
        earlier = self.docket.earlier(drafted.content)
        return suppression(drafted, bound, earlier, self.policy, now)

    def _superseded(self, drafted: ProposalDrafted, now: float) -> Sequence[Decision]:
        out = []
        for other in self.docket.proposals.values():
            if other.state is State.PROPOSED and other.drafted.key == drafted.key:
                decision = Decision.about(other, now, self.policy.hash)
                decision.move(
                    Move.SUPERSEDE, Hand.POLICY, Reason.SUPERSEDED,
                    facts={"by": drafted.proposal},
                )  # fmt: skip
                out.append(decision)
        return out

    def gate_again(self, proposal: Proposal, now: float) -> Decision:
        """Ask the policy again about what it blocked."""
        decision = Decision.about(proposal, now, self.policy.hash)
        scope = self.docket.scope(*proposal.scope)
        _judge(decision, self.refusals(proposal.drafted), scope.bound if scope else "")
        return decision

    def refusals(self, drafted: ProposalDrafted) -> Sequence[Refusal]:
        """Return what the policy says today against a draft."""
        scope = self.docket.scope(drafted.playbook, drafted.step)
        covered = self.docket.covered(scope) if scope is not None else {}
        return refusals(drafted, scope, self.policy, covered)


def _judge(decision: Decision, against: Sequence[Refusal], bound: str) -> None:
    """Gate a draft: on to the reviewers, or blocked with every rule that says no."""
    checks = [check(refusal) for refusal in against]
    facts: dict[str, Any] = {"bound": bound, "checks": checks}
    decision.move(Move.GATE, Hand.POLICY, Reason.EVALUATED, facts=facts)
    if against:
        note = "; ".join(refusal.text for refusal in against)
        decision.move(Move.BLOCK, Hand.POLICY, against[0].reason, note=note, facts=facts)
    else:
        decision.move(Move.PROPOSE, Hand.POLICY, Reason.PASSED_GATE)


def check(refusal: Refusal) -> dict[str, Json]:
    """Return a refusal as it stands in an event."""
    return {"reason": refusal.reason.value, "text": refusal.text}

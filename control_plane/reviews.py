"""The review service: where people and the optimizer meet a proposal.

Each verb checks who asks, makes one decision from the committed facts, and writes it in
one append. What cannot be is refused with a reason that says what to do; a refused
request changes nothing, except that a proposal found stale is marked so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from control_plane.docket import Docket, Host
from control_plane.errors import Conflict, Forbidden, Invalid, NotFound
from control_plane.intake import Intake, draft
from control_plane.proposal_view import ProposalView, view
from control_plane.review import apply
from control_plane.review.apply import Decision
from control_plane.review.bound import base_of, bound_hash
from control_plane.review.drive import Facts, lesson, staleness
from control_plane.review.lifecycle import LIVE, MOVES, Hand, Move, State
from control_plane.review.policy import Policy
from control_plane.review.profiles import load
from control_plane.review.proposal import Proposal
from control_plane.review.reasons import REJECTIONS, Reason, words
from control_plane.review.tighten import relaxations, tighten
from optimizer.proposal import Candidate
from runtime.journal.port import Append, StreamMoved
from runtime.run.events import (
    ExperimentPaused,
    ExperimentResumed,
    PolicySet,
    ProposalDrafted,
)

_LOG: Final = logging.getLogger("trimtab.reviews")
Roles = frozenset[str]
PROPOSERS: Final = frozenset({"author", "reviewer", "optimizer", "agent"})
OPERATORS: Final = {"operator": Hand.OPERATOR, "approver": Hand.OPERATOR}
"""Whoever may approve a change may also stop it."""


class ReviewService:
    """Proposals: listed, read, approved, rejected, taken back. Use it on the engine's loop."""

    def __init__(
        self, host: Host, policy: Policy, *, clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:  # fmt: skip
        self.docket, self.policy = Docket(host), policy
        self.intake = Intake(self.docket, policy)
        self._clock, self._new_id = clock, new_id

    async def start(self) -> None:
        """Bring the policy into force, and gate again what the policy before it blocked."""
        for line in relaxations(self.policy, load("production")):
            _LOG.info("the policy %s is less careful: %s", self.policy.profile, line)
        if self.docket.policy_in_force == self.policy.hash:
            return
        stream = f"policy/{self.policy.profile}"
        event = PolicySet(self.policy.profile, self.policy.source, self.policy.hash, "settings")
        at, length = self._clock(), self.docket.length(stream)
        await self.docket.host.append([Append(stream, length, at, (event,))])
        async with self.docket.deciding:
            for proposal in list(self.docket.unsettled()):
                if proposal.state is State.BLOCKED:
                    again = self.intake.gate_again(proposal, self._clock())
                    await self.docket.write(again)

    def close(self) -> None:
        """Hear no more news."""
        self.docket.close()

    # ---- reading ------------------------------------------------------------------------

    def list(self, state: str | None = None) -> list[ProposalView]:
        """Return proposals, newest first; ``state`` keeps to one state."""
        if state is not None and state not in {s.value for s in State}:
            known = ", ".join(s.value for s in State)
            raise Invalid([f"state: {state!r} is none of {known}"])
        found = [
            p for p in self.docket.proposals.values() if state is None or p.state.value == state
        ]
        ordered = sorted(found, key=lambda p: (p.drafted_at, p.id), reverse=True)
        return [self._view(p) for p in ordered]

    def get(self, proposal: str) -> ProposalView:
        """Return one proposal.

        Raises:
            NotFound: there is none of that id.
        """
        return self._view(self._find(proposal))

    def bound_hash(self, proposal: str) -> str:
        """Return what an approval given now would be bound to."""
        return self._hash(self._find(proposal))

    # ---- proposing ----------------------------------------------------------------------

    async def propose(
        self, candidate: Candidate, actor: str, roles: Roles, *, id: str | None = None,
        cycle: str = "",
    ) -> ProposalView:  # fmt: skip
        """Draft a candidate, gate it, and show it; the same ``id`` again is the same proposal.

        The answer's state says what became of it: proposed, blocked or discarded.

        Raises:
            Forbidden: the caller may not propose. Invalid: it is no candidate.
        """
        if not roles & PROPOSERS:
            needed = ", ".join(sorted(PROPOSERS))
            raise Forbidden("role", f"to propose a change needs one of the roles {needed}")
        name = id or "p-" + self._new_id()
        drafted = draft(candidate, actor, name, cycle)
        async with self.docket.deciding:
            if name not in self.docket.proposals:
                await self._write_draft(drafted)
        return self.get(name)

    async def _write_draft(self, drafted: ProposalDrafted) -> None:
        try:
            await self._write(*self.intake.gate(drafted, self._clock()))
        except Conflict:
            if drafted.proposal not in self.docket.proposals:
                raise  # it is not this draft that somebody else wrote first

    # ---- deciding -----------------------------------------------------------------------

    async def approve(
        self, proposal: str, actor: str, roles: Roles, expected_hash: str | None = None
    ) -> ProposalView:
        """Approve what was read, bound to the hash of diff, evidence, base and policy.

        Raises:
            Forbidden: no approver, the author, or an agent. Conflict: it is not the thing
                that was read, it went stale, the policy no longer lets it pass, or it is
                not up for approval.
        """
        async with self.docket.deciding:
            found = self._find(proposal)
            self._may_approve(found, actor, roles)
            self._must_be(found, Move.APPROVE)
            await self._must_be_fresh(found)
            now = self._hash(found)
            if expected_hash is not None and expected_hash != now:
                raise Conflict(
                    "stale_approval", f"{proposal} is no longer what was read",
                    f"read it again; its hash is now {now}",
                )  # fmt: skip
            against = self.intake.refusals(found.drafted)
            if against:
                raise Conflict("blocked", "; ".join(r.text for r in against), "change the policy")
            decision = Decision.about(found, self._clock(), self.policy.hash)
            decision.move(Move.APPROVE, Hand.APPROVER, Reason.APPROVED, actor, bound_hash=now)
            await self._write(decision)
        return self.get(proposal)

    async def reject(
        self, proposal: str, actor: str, roles: Roles, reason: str = "rejected", note: str = ""
    ) -> ProposalView:
        """Reject, with a code and words; the same content is suppressed from then on."""
        if reason not in {r.value for r in REJECTIONS}:
            known = ", ".join(r.value for r in REJECTIONS)
            raise Invalid([f"reason: {reason!r} is none of {known}"])
        async with self.docket.deciding:
            found = self._find(proposal)
            hand = _hand(roles, {"reviewer": Hand.REVIEWER, "approver": Hand.APPROVER}, "reject")
            self._must_be(found, Move.REJECT)
            decision = self._about(found)
            decision.move(Move.REJECT, hand, Reason(reason), actor, note=note)
            text = lesson(found, Reason(reason), None) + (f": {note}" if note else "")
            apply.teach(decision, Reason(reason), text)
            await self._write(decision)
        return self.get(proposal)

    async def withdraw(
        self, proposal: str, actor: str, roles: Roles, note: str = ""
    ) -> ProposalView:
        """Withdraw a proposal that has not started: by its author or an operator."""
        async with self.docket.deciding:
            found = self._find(proposal)
            if actor != found.drafted.author:
                _hand(roles, OPERATORS, "withdraw another's proposal")
            self._must_be(found, Move.WITHDRAW)
            hand = Hand.AUTHOR if actor == found.drafted.author else Hand.OPERATOR
            decision = self._about(found)
            decision.move(Move.WITHDRAW, hand, Reason.WITHDRAWN, actor, note=note)
            await self._write(decision)
        return self.get(proposal)

    async def rollback(
        self, proposal: str, actor: str, roles: Roles, note: str = ""
    ) -> ProposalView:
        """Take a live or kept change back. Needs no statistics and no other service.

        A kept change has its own keys set back to what they were before it. What was
        approved and has not started is withdrawn.
        """
        async with self.docket.deciding:
            found = self._find(proposal)
            _hand(roles, OPERATORS, "roll a change back")
            if found.state in (State.APPROVED, State.SCHEDULED):
                decision = self._about(found)
                decision.move(
                    Move.WITHDRAW, Hand.OPERATOR, Reason.OPERATOR, actor, note=note
                )  # fmt: skip
                await self._write(decision)
                return self.get(proposal)
            self._must_be(found, Move.ROLL_BACK)
            await self._write(*self._taken_back(found, actor, note))
        return self.get(proposal)

    async def pause(self, proposal: str, actor: str, roles: Roles, note: str = "") -> ProposalView:
        """Draw no new unit to the candidate until it is resumed."""
        async with self.docket.deciding:
            found = self._find(proposal)
            _hand(roles, OPERATORS, "pause a trial")
            self._must_be(found, Move.PAUSE)
            decision = self._about(found)
            paused = ExperimentPaused(found.experiment, actor, note)
            decision.add(apply.experiment_stream(found.experiment), paused)
            decision.move(Move.PAUSE, Hand.OPERATOR, Reason.OPERATOR, actor, note=note)
            await self._write(decision)
        return self.get(proposal)

    async def resume(self, proposal: str, actor: str, roles: Roles) -> ProposalView:
        """Go on with a paused trial."""
        async with self.docket.deciding:
            found = self._find(proposal)
            _hand(roles, OPERATORS, "resume a trial")
            self._must_be(found, Move.RESUME)
            decision = self._about(found)
            resumed = ExperimentResumed(found.experiment, actor)
            decision.add(apply.experiment_stream(found.experiment), resumed)
            decision.move(Move.RESUME, Hand.OPERATOR, Reason.OPERATOR, actor)
            await self._write(decision)
        return self.get(proposal)

    # ---- parts --------------------------------------------------------------------------

    def policy_for(self, proposal: Proposal) -> Policy:
        """Return what a proposal obeys: its approved policy and today's, the stricter."""
        approval = proposal.approval
        approved = self.docket.policy(approval.event.policy_hash) if approval else None
        return self.policy if approved is None else tighten(approved, self.policy)

    def _find(self, proposal: str) -> Proposal:
        try:
            return self.docket.proposals[proposal]
        except KeyError:
            raise NotFound("proposal", proposal) from None

    def _about(self, proposal: Proposal) -> Decision:
        return Decision.about(proposal, self._clock(), self.policy.hash)

    def _hash(self, proposal: Proposal) -> str:
        scope = self.docket.scope(*proposal.scope)
        base = base_of(proposal.drafted, scope.stable if scope is not None else {})
        return bound_hash(proposal.drafted, base, self.policy.hash)

    def _may_approve(self, proposal: Proposal, actor: str, roles: Roles) -> None:
        _hand(roles, {"approver": Hand.APPROVER}, "approve")
        if actor == proposal.drafted.author:
            raise Forbidden("own_proposal", f"{actor} wrote {proposal.id}: another approves it")
        if self.policy.mode != "review":
            text = f"the policy's mode is {self.policy.mode}: nothing may be approved"
            raise Forbidden("policy_mode", text)

    def _must_be(self, proposal: Proposal, move: Move) -> None:
        if move not in MOVES[proposal.state]:
            allowed = ", ".join(m.value for m in MOVES[proposal.state]) or "nothing more"
            text = f"{proposal.id} is {proposal.state.value} and cannot {move.value}"
            raise Conflict("state", text, f"from here: {allowed}")

    async def _must_be_fresh(self, proposal: Proposal) -> None:
        """Mark a proposal stale when its ground has moved, and refuse."""
        scope = self.docket.scope(*proposal.scope)
        moved = self.docket.has_moved(proposal)
        now = self._clock()
        reason = staleness(proposal, Facts(now, self.policy, scope, moved=moved))
        if reason is None:
            return
        decision = self._about(proposal)
        decision.move(Move.INVALIDATE, Hand.INVALIDATOR, reason)
        await self._write(decision)
        raise Conflict("stale", f"{proposal.id} is stale: {words(reason)}", "propose it again")

    def _taken_back(self, proposal: Proposal, actor: str, note: str) -> Sequence[Decision]:
        decision = self._about(proposal)
        if proposal.state in LIVE:
            apply.roll_back(decision, Hand.OPERATOR, Reason.OPERATOR, actor=actor, note=note)
            return [decision]
        self._must_own(proposal)
        kept = self.docket.overlay_of(proposal)
        if kept is None:
            raise Conflict("state", f"{proposal.id} has no overlay entry", "nothing to set back")
        apply.set_back(
            decision, previous=kept.previous, now=self.docket.previous(proposal, kept.bound),
            bound=kept.bound, approver=actor, reason="rolled back",
        )  # fmt: skip
        apply.roll_back(
            decision, Hand.OPERATOR, Reason.OPERATOR, actor=actor, note=note,
            experiment_live=False,
        )  # fmt: skip
        return [decision, *self._unsettled_by(proposal)]

    def _must_own(self, proposal: Proposal) -> None:
        """A kept change is taken back only while its own keys are still its own."""
        owners = self.docket.owners(*proposal.scope)
        others = {
            owners.get(line["knob"])
            for line in proposal.drafted.diff
            if owners.get(line["knob"]) != proposal.id
        }
        if others:
            names = ", ".join(sorted(str(o) for o in others))
            raise Conflict(
                "changed_since", f"its values were changed since by {names}",
                f"roll back {names} first",
            )  # fmt: skip

    def _unsettled_by(self, proposal: Proposal) -> Sequence[Decision]:
        """A trial on the same step loses the control it was measured against."""
        out = []
        for other in self.docket.lock_holders(*proposal.scope):
            if other.state in LIVE and other.id != proposal.id:
                decision = self._about(other)
                apply.roll_back(decision, Hand.INVALIDATOR, Reason.BASE_MOVED)
                out.append(decision)
        return out

    def _view(self, proposal: Proposal) -> ProposalView:
        policy, now = self.policy_for(proposal), self._hash(proposal)
        return view(self.docket, self.intake, proposal, policy, now)

    async def _write(self, *decisions: Decision) -> None:
        try:
            await self.docket.write(*decisions)
        except StreamMoved as moved:
            raise Conflict("moved", f"{moved.stream} has moved on", "try again") from moved


def _hand(roles: Roles, hands: Mapping[str, Hand], what: str) -> Hand:
    """Return the hand that the roles give for this, or refuse. An agent has no such hand."""
    if "agent" in roles:
        raise Forbidden("agent", f"an agent may not {what}")
    for role, hand in hands.items():
        if role in roles:
            return hand
    raise Forbidden("role", f"to {what} needs the role {' or '.join(hands)}")

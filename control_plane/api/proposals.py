"""Proposals over HTTP: list, read with evidence, decide, take back.

Who may decide is a guard; that the approver is never the author, and that what is
approved is what was read, is the review service's to say.
"""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from control_plane.api.guards import requires
from control_plane.api.problems import Anyone
from control_plane.api.schemas import Approve, Note, Propose, Reject
from control_plane.proposal_view import ProposalView
from control_plane.reviews import ReviewService
from control_plane.run_views import EventView
from control_plane.runs import Runs
from optimizer.proposal import Candidate

InState = Annotated[str | None, QueryParameter(name="state")]


class ProposalsController(Controller):
    """What there is to do with proposals."""

    path = "/api/proposals"
    tags = ("proposals",)

    @get(guards=[requires("viewer")], operation_id="listProposals", sync_to_thread=False)
    def page(
        self, reviews: NamedDependency[ReviewService], in_state: InState = None
    ) -> list[ProposalView]:
        """List proposals, the newest first; ``state`` keeps one state of their life."""
        return reviews.list(in_state)

    @get(
        "/{proposal:str}", guards=[requires("viewer")], operation_id="getProposal",
        sync_to_thread=False,
    )  # fmt: skip
    def read(
        self, proposal: FromPath[str], reviews: NamedDependency[ReviewService]
    ) -> ProposalView:
        """Read a proposal: diff, evidence, predicted effect, measurements, history."""
        return reviews.get(proposal)

    @get(
        "/{proposal:str}/events", guards=[requires("viewer")],
        operation_id="listProposalEvents", sync_to_thread=False,
    )  # fmt: skip
    def events(
        self, proposal: FromPath[str], reviews: NamedDependency[ReviewService],
        runs: NamedDependency[Runs],
    ) -> list[EventView]:  # fmt: skip
        """List what happened to a proposal, in order."""
        reviews.get(proposal)
        return runs.stream(f"proposal/{proposal}")

    @post(guards=[requires("author", "agent")], operation_id="propose")
    async def propose(
        self, data: JSONBody[Propose], request: Anyone, reviews: NamedDependency[ReviewService]
    ) -> ProposalView:
        """Propose a change or an experiment. Whoever proposes can never approve it."""
        candidate = Candidate(
            data.kind, data.playbook, data.step, data.knob_class, data.objective, data.diff,
            data.base, data.evidence, data.predicted, data.note,
        )  # fmt: skip
        return await reviews.propose(candidate, request.user.name, request.user.roles)

    @post(
        "/{proposal:str}/approve", guards=[requires("approver")], status_code=200,
        operation_id="approveProposal",
    )  # fmt: skip
    async def approve(
        self, proposal: FromPath[str], data: JSONBody[Approve], request: Anyone,
        reviews: NamedDependency[ReviewService],
    ) -> ProposalView:  # fmt: skip
        """Approve. With ``bound_hash``, only what was read under that hash."""
        who = request.user
        return await reviews.approve(proposal, who.name, who.roles, data.bound_hash)

    @post(
        "/{proposal:str}/reject", guards=[requires("reviewer")], status_code=200,
        operation_id="rejectProposal",
    )  # fmt: skip
    async def reject(
        self, proposal: FromPath[str], data: JSONBody[Reject], request: Anyone,
        reviews: NamedDependency[ReviewService],
    ) -> ProposalView:  # fmt: skip
        """Reject, with a reason that becomes a lesson."""
        who = request.user
        return await reviews.reject(proposal, who.name, who.roles, data.reason, data.note)

    @post("/{proposal:str}/withdraw", status_code=200, operation_id="withdrawProposal")
    async def withdraw(
        self, proposal: FromPath[str], data: JSONBody[Note], request: Anyone,
        reviews: NamedDependency[ReviewService],
    ) -> ProposalView:  # fmt: skip
        """Withdraw what has not started. Its author may, and any operator."""
        who = request.user
        return await reviews.withdraw(proposal, who.name, who.roles, data.note)

    @post(
        "/{proposal:str}/rollback", guards=[requires("operator", "approver")], status_code=200,
        operation_id="rollBackProposal",
    )  # fmt: skip
    async def roll_back(
        self, proposal: FromPath[str], data: JSONBody[Note], request: Anyone,
        reviews: NamedDependency[ReviewService],
    ) -> ProposalView:  # fmt: skip
        """Take a live or kept change back."""
        who = request.user
        return await reviews.rollback(proposal, who.name, who.roles, data.note)

    @post(
        "/{proposal:str}/pause", guards=[requires("operator", "approver")], status_code=200,
        operation_id="pauseProposal",
    )  # fmt: skip
    async def pause(
        self, proposal: FromPath[str], data: JSONBody[Note], request: Anyone,
        reviews: NamedDependency[ReviewService],
    ) -> ProposalView:  # fmt: skip
        """Give the candidate no new work until it is resumed."""
        who = request.user
        return await reviews.pause(proposal, who.name, who.roles, data.note)

    @post(
        "/{proposal:str}/resume", guards=[requires("operator", "approver")], status_code=200,
        operation_id="resumeProposal",
    )  # fmt: skip
    async def resume(
        self, proposal: FromPath[str], request: Anyone, reviews: NamedDependency[ReviewService]
    ) -> ProposalView:
        """Let a paused experiment go on."""
        return await reviews.resume(proposal, request.user.name, request.user.roles)

"""Decisions of the pages, handed to the review service in its own words."""

from __future__ import annotations

from control_plane.auth import Principal
from control_plane.reviews import ReviewService
from control_plane.web.port import Judgement


class ReviewDesk:
    """Answers `control_plane.web.port.Desk` with the review service."""

    def __init__(self, reviews: ReviewService) -> None:
        self._reviews = reviews

    async def judge(self, proposal: str) -> Judgement:
        view = self._reviews.get(proposal)
        against = [(check["reason"], check["text"]) for check in view.checks]
        return Judgement(view.bound_hash, against, view.plan)

    async def approve(self, proposal: str, who: Principal, expected: str) -> None:
        await self._reviews.approve(proposal, who.name, _roles(who), expected or None)

    async def reject(self, proposal: str, who: Principal, reason: str, note: str) -> None:
        await self._reviews.reject(proposal, who.name, _roles(who), reason, note)

    async def roll_back(self, proposal: str, who: Principal, note: str) -> None:
        await self._reviews.rollback(proposal, who.name, _roles(who), note)

    async def pause(self, proposal: str, who: Principal) -> None:
        await self._reviews.pause(proposal, who.name, _roles(who))

    async def resume(self, proposal: str, who: Principal) -> None:
        await self._reviews.resume(proposal, who.name, _roles(who))


def _roles(who: Principal) -> frozenset[str]:
    return frozenset(who.roles)

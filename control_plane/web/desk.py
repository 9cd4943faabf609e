"""Decisions of the pages, handed to the review service in its own words."""

from __future__ import annotations

from control_plane.auth import Principal
from control_plane.reviews import ReviewService


class ReviewDesk:
    """Answers `control_plane.web.port.Desk` with the review service."""

    def __init__(self, reviews: ReviewService) -> None:
        self._reviews = reviews

    async def bound_hash(self, proposal: str) -> str:
        return self._reviews.get(proposal).bound_hash

    async def approve(self, proposal: str, who: Principal, expected: str) -> None:
        await self._reviews.approve(proposal, who.name, who.roles, expected or None)

    async def reject(self, proposal: str, who: Principal, reason: str, note: str) -> None:
        await self._reviews.reject(proposal, who.name, reason, note)

    async def roll_back(self, proposal: str, who: Principal, note: str) -> None:
        await self._reviews.rollback(proposal, who.name, note)

    async def pause(self, proposal: str, who: Principal) -> None:
        await self._reviews.pause(proposal, who.name)

    async def resume(self, proposal: str, who: Principal) -> None:
        await self._reviews.resume(proposal, who.name)

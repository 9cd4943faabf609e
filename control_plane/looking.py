"""Looking: what is under review, read off a journal by a process that writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from control_plane.clock import Clock
from control_plane.playbooks import folded
from control_plane.review.policy import Policy
from control_plane.reviews import ReviewService
from runtime.data.folder import DataFolder
from runtime.engine.catalogue import Catalogue
from runtime.journal.port import Append, JournalReader
from runtime.run.events import Recorded


@dataclass(frozen=True, slots=True)
class Onlooker:
    """A journal and its catalogue, for the review to read."""

    journal: JournalReader
    catalogue: Catalogue

    async def append(self, appends: Sequence[Append]) -> list[Recorded]:
        """Refuse: whoever looks on owns nothing to write to."""
        raise PermissionError("this process only reads the journal")

    def subscribe(self, listener: Callable[[Sequence[Recorded]], None]) -> Callable[[], None]:
        """Hear nothing: the journal is read as it stands."""
        return lambda: None


def look_on(
    folder: DataFolder, journal: JournalReader, policy: Policy, clock: Clock
) -> ReviewService:
    """Return the proposals of a journal, to be listed and read."""
    catalogue, _ = folded(folder, journal)
    return ReviewService(
        Onlooker(journal, catalogue), policy, clock=clock, new_id=lambda: "nobody"
    )

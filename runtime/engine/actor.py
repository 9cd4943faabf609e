"""An actor: a live run, and the few words that the rooms of the machine share about one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from runtime.engine.catalogue import Version
from runtime.engine.edge import RunEdge
from runtime.engine.errors import UnknownPlaybook
from runtime.net.net import NetError
from runtime.playbook.faults import PlaybookError
from runtime.run.decide import Ended
from runtime.run.events import Fault, Recorded
from runtime.run.life import Status
from runtime.run.state import RunState, Try

ENDING: Final = ("failing", "cancelling")
"""States of a run in which nothing new of its flow may begin."""
UNREADABLE: Final = (PlaybookError, NetError, UnknownPlaybook)
"""What a stored version may raise once the language has moved on."""

T = TypeVar("T")
Listener = Callable[[Sequence[Recorded]], None]


@dataclass(slots=True)
class Actor:
    """A live run: its state, its version and the edge that answers for it."""

    state: RunState
    version: Version
    edge: RunEdge

    @property
    def ends_by_itself(self) -> bool:
        """Whether it is ending: told to, or with nothing left but what runs at every end."""
        beside = self.version.net.beside
        return self.state.status in ENDING or any(
            tried.step in beside for tried in self.state.attempts.values()
        )

    def gives_up_at(self, tried: Try) -> float | None:
        """When a try that no worker took has waited long enough, or None for never."""
        patience_s = self.version.playbook.step(tried.step).queue_timeout_s
        return None if patience_s is None else tried.at + patience_s


@dataclass(slots=True)
class Parked:
    """A run that has not ended and cannot go on here: its version cannot be read, say.

    ``length`` is how many events it has. It waits for the next start, or to be cancelled.
    """

    playbook: str
    why: str
    status: Status
    length: int
    parent: str | None


def settle(future: asyncio.Future[T], value: T) -> None:
    """Give a future its result, unless whoever waited has left."""
    if not future.done():
        future.set_result(value)


def unreadable(path: str, error: Exception) -> str:
    """What to say of a run whose version this release cannot read."""
    return f"its version of {path} can no longer be read: {str(error)[:2000]}"


def withheld(attempt: str) -> Ended:
    """The end of a try that never began, since its run was ending."""
    return Ended(attempt, "cancelled", Fault("cancelled", "the run was ending before it began"))

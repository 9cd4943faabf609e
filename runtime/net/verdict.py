"""What can be said of a flow: it is sound, it is not and here is why, or we cannot tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from runtime.net.net import NetError

Reason: TypeAlias = Literal[
    "missing_step", "unreachable_step", "deadlock", "two_entries", "join_on_cycle",
    "quorum_too_large", "loop_without_exit", "endless_loop", "loop_without_max",
    "branch_ends_in_loop", "unbounded_place", "lost_token",
]  # fmt: skip
TEXTS: Final[dict[Reason, str]] = {
    "missing_step": "an arc leads to a step that does not exist",
    "unreachable_step": "a step cannot be reached",
    "deadlock": "steps wait for each other, so that none can begin",
    "two_entries": "a loop has two entries, so that its rounds cannot be told apart",
    "join_on_cycle": "a join counts on its own loop, but an arc back is no input of a join",
    "quorum_too_large": "a join cannot have as many tokens as it asks for",
    "loop_without_exit": "a loop has no exit that can be reached",
    "endless_loop": "no step of a loop has a tool or sets a value, so no round differs",
    "loop_without_max": "a loop does not say how many rounds it may take: it needs a max",
    "branch_ends_in_loop": "a branch ends within a loop instead of going back or leaving",
    "unbounded_place": "every round of a loop leaves one more token",
    "lost_token": "a loop is left while a token is still in it",
}


class NotSound(NetError):
    """The playbook's net could not end properly; ``steps`` shows where, ``firings`` how."""

    def __init__(self, reason: str, steps: list[str], firings: tuple[str, ...] = ()) -> None:
        text = f"{reason}: {' → '.join(steps)}"
        super().__init__(f"{text} (the way there: {told(firings)})" if firings else text)
        self.reason, self.steps, self.firings = reason, steps, firings


@dataclass(frozen=True, slots=True)
class Sound:
    """Every run can end properly; so many states had to be looked at."""

    states: int = 0


@dataclass(frozen=True, slots=True)
class Unsound:
    """Some run could not; ``firings`` is the shortest way to see it, from the start."""

    reason: Reason
    firings: tuple[str, ...]
    steps: tuple[str, ...]

    @property
    def text(self) -> str:
        """The reason in a sentence."""
        return TEXTS[self.reason]


@dataclass(frozen=True, slots=True)
class Undecided:
    """We cannot tell: the budget was spent."""

    states: int
    why: str


Verdict: TypeAlias = Sound | Unsound | Undecided


def told(firings: tuple[str, ...], most: int = 12) -> str:
    """Return firings in one line, without the middle of a long way."""
    if len(firings) <= most:
        return ", ".join(firings)
    half = most // 2
    left = len(firings) - 2 * half
    return ", ".join([*firings[:half], f"… {left} more …", *firings[-half:]])

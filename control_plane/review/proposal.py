"""A proposal: the fold of its stream, and the values that its arms would have.

The fold believes what it reads: the table of `lifecycle` is asked before an event is
written, never again afterwards, so that an old journal keeps its meaning.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from control_plane.review.lifecycle import LIVE, LOCKING, State
from runtime.run.events import (
    Json,
    LessonRecorded,
    OutcomeRecorded,
    ProposalDrafted,
    ProposalMoved,
    Recorded,
    VerdictReached,
)

Scope: TypeAlias = tuple[str, str]
"""Playbook and step: what a proposal is about, and the lock that it needs."""

CANDIDATE: Final = "candidate"


@dataclass(frozen=True, slots=True)
class Moved:
    """One line of a proposal's history."""

    seq: int
    at: float
    event: ProposalMoved


@dataclass(slots=True)
class Proposal:
    """A proposal as its stream tells it. Changed by `evolve` alone."""

    drafted: ProposalDrafted
    drafted_at: float
    length: int = 1
    state: State = State.DRAFT
    since: float = 0.0
    stage: int = 0
    bound: str = ""
    moves: list[Moved] = field(default_factory=list)
    verdict: VerdictReached | None = None
    outcome: OutcomeRecorded | None = None
    lesson: LessonRecorded | None = None

    @property
    def id(self) -> str:
        """The proposal's id."""
        return self.drafted.proposal

    @property
    def stream(self) -> str:
        """The name of its stream."""
        return stream_of(self.id)

    @property
    def experiment(self) -> str:
        """The id of the experiment that tries it."""
        return "x-" + self.id.removeprefix("p-")

    @property
    def scope(self) -> Scope:
        """Playbook and step."""
        return self.drafted.playbook, self.drafted.step

    @property
    def is_live(self) -> bool:
        """Whether it may be touching real work."""
        return self.state in LIVE

    @property
    def holds_lock(self) -> bool:
        """Whether it holds the lock of its step."""
        return self.state in LOCKING

    @property
    def approval(self) -> Moved | None:
        """The approval, when there was one."""
        return self.last("approve")

    @property
    def reason(self) -> str:
        """The code of the last move that decided something.

        How a way back went on says less than why it was taken.
        """
        back = self.last("roll_back")
        if back is not None and self.moves[-1].event.move in ("settle", "get_stuck"):
            return back.event.reason
        return self.moves[-1].event.reason if self.moves else ""

    def last(self, move: str) -> Moved | None:
        """The last move of this name, or None."""
        return next((m for m in reversed(self.moves) if m.event.move == move), None)

    def evolve(self, recorded: Recorded) -> None:
        """Take the next event of its stream into account."""
        self.length = recorded.stream_seq
        match recorded.event:
            case ProposalMoved() as event:
                self._moved(recorded, event)
            case VerdictReached() as event:
                self.verdict = event
            case OutcomeRecorded() as event:
                self.outcome = event
            case LessonRecorded() as event:
                self.lesson = event

    def _moved(self, recorded: Recorded, event: ProposalMoved) -> None:
        self.state = State(event.target)
        self.stage = event.stage or self.stage
        self.bound = event.facts.get("bound", self.bound)
        if event.source != event.target:
            self.since = recorded.at
        self.moves.append(Moved(recorded.stream_seq, recorded.at, event))


def begin(recorded: Recorded) -> Proposal:
    """Return the proposal that a stream's first event begins."""
    if not isinstance(recorded.event, ProposalDrafted):
        raise ValueError(f"{recorded.stream} does not begin with a draft")
    return Proposal(recorded.event, recorded.at, recorded.stream_seq, since=recorded.at)


def stream_of(proposal: str) -> str:
    """Return the name of a proposal's stream."""
    return f"proposal/{proposal}"


def arms(drafted: ProposalDrafted) -> dict[str, dict[str, Json]]:
    """Return the knob values of each arm beside the control.

    A change has one, ``candidate``; an experiment has ``candidate.1`` and so on.
    """
    if drafted.kind == "change":
        return {CANDIDATE: {line["knob"]: line["to"] for line in drafted.diff}}
    line = drafted.diff[0]
    return {f"{CANDIDATE}.{i}": {line["knob"]: v} for i, v in enumerate(line["values"], 1)}


def knobs(drafted: ProposalDrafted) -> list[str]:
    """Return the names of the knobs that a proposal is about."""
    return [line["knob"] for line in drafted.diff]

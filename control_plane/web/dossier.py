"""A proposal as a reviewer reads it: its stream and its experiment's, folded into one value.

Everything that can be decided, measured or said about a proposal is an event, so the
dossier of a proposal that was rolled back last month is as full as that of one under
review. The fold is pure; what may be done next comes from the lifecycle's table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from control_plane.review.lifecycle import MOVES, Move, State
from optimizer.knobs import said
from runtime.run.events import (
    ExperimentEnded,
    ExperimentRamped,
    ExperimentStarted,
    Json,
    LessonRecorded,
    OutcomeRecorded,
    ProposalDrafted,
    ProposalMoved,
    Recorded,
    VerdictReached,
)

OPEN: Final = ("proposed", "blocked", "draft", "gated")
TRYING: Final = (
    "approved", "scheduled", "shadow", "canary", "paused", "inconclusive", "watch",
    "rolling_back", "rollback_failed",
)  # fmt: skip
GROUPS: Final = (
    ("review", "Needs review", ("proposed",)),
    ("trying", "Being tried", TRYING),
    ("kept", "Kept", ("kept",)),
    ("learned", "Learned", ("learned",)),
    ("back", "Rolled back", ("rolled_back",)),
    ("closed", "Closed", ("rejected", "superseded", "expired", "stale", "withdrawn",
                          "discarded", "failed", "blocked", "draft", "gated")),
)  # fmt: skip
"""The inbox: a name for the address, a title, and the states that it gathers."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the diff. ``values`` holds what an experiment would try."""

    knob: str
    before: Json
    after: Json
    values: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Range:
    """A relative change with its interval; -0.4 is 40% less."""

    objective: str
    lower: float
    median: float
    upper: float


@dataclass(slots=True)
class Dossier:
    """A proposal so far."""

    id: str
    drafted: ProposalDrafted
    drafted_at: float
    length: int = 0
    state: str = "draft"
    moves: list[tuple[float, ProposalMoved]] = field(default_factory=list)
    verdicts: list[tuple[float, VerdictReached]] = field(default_factory=list)
    outcome: OutcomeRecorded | None = None
    lessons: list[LessonRecorded] = field(default_factory=list)
    experiment: ExperimentStarted | None = None
    experiment_at: float | None = None
    stages: list[tuple[float, ExperimentRamped]] = field(default_factory=list)
    experiment_end: tuple[float, ExperimentEnded] | None = None

    @property
    def changes(self) -> list[Change]:
        """The diff, line by line."""
        return [
            Change(d["knob"], d.get("from"), d.get("to"), tuple(d.get("values") or ()))
            for d in self.drafted.diff
        ]

    @property
    def title(self) -> str:
        """The change in one line."""
        return "; ".join(_say(change) for change in self.changes)

    @property
    def predicted(self) -> list[Range]:
        """The predicted effects that carry an interval, the objective first."""
        found = [_range(name, value) for name, value in self.drafted.predicted.items()]
        ranges = [r for r in found if r is not None]
        return sorted(ranges, key=lambda r: r.objective != self.drafted.objective)

    @property
    def observed(self) -> Range | None:
        """What was measured at the end, with its interval."""
        out = self.outcome
        if out is None or out.realised is None:
            return None
        low, high = [*out.interval, None, None][:2]
        return Range(
            out.objective,
            out.realised if low is None else low,
            out.realised,
            out.realised if high is None else high,
        )

    @property
    def bound_hash(self) -> str:
        """The hash that the approval was bound to, or nothing before it."""
        bound = [m.bound_hash for _, m in self.moves if m.bound_hash]
        return bound[-1] if bound else ""

    @property
    def moved_at(self) -> float:
        """When it last moved."""
        return self.moves[-1][0] if self.moves else self.drafted_at

    @property
    def approver(self) -> str:
        """Who approved it, or nothing."""
        return next((m.actor for _, m in self.moves if m.move == "approve"), "")

    @property
    def gate(self) -> ProposalMoved | None:
        """The policy's latest judgement, or None before it."""
        judged = [m for _, m in self.moves if m.move in ("gate", "block")]
        return judged[-1] if judged else None

    def can(self, move: str) -> bool:
        """Whether the lifecycle knows this move from the present state."""
        return Move(move) in MOVES[State(self.state)]

    def take(self, recorded: Recorded) -> None:
        """Take the next event of the proposal's or its experiment's stream into account."""
        at, event = recorded.at, recorded.event
        match event:
            case ProposalMoved():
                self.state, self.length = event.target, recorded.stream_seq
                self.moves.append((at, event))
            case VerdictReached():
                self.verdicts.append((at, event))
            case OutcomeRecorded():
                self.outcome = event
            case LessonRecorded():
                self.lessons.append(event)
            case ExperimentStarted():
                self.experiment, self.experiment_at = event, at
            case ExperimentRamped():
                self.stages.append((at, event))
            case ExperimentEnded():
                self.experiment_end = (at, event)
            case _:
                pass  # pauses show as moves; nothing else concerns a reviewer


def gather(proposal: str, events: Iterable[Recorded]) -> Dossier | None:
    """Fold the events of a proposal (its own stream first) into its dossier; None without any."""
    dossier: Dossier | None = None
    for recorded in events:
        if dossier is None:
            if isinstance(recorded.event, ProposalDrafted):
                dossier = Dossier(proposal, recorded.event, recorded.at, recorded.stream_seq)
        else:
            dossier.take(recorded)
    return dossier


def _say(change: Change) -> str:
    if change.values:
        tried = ", ".join(said(change.knob, v) for v in change.values)
        return f"{change.knob}: try {tried} beside {said(change.knob, change.before)}"
    ends = (said(change.knob, value) for value in (change.before, change.after))
    return f"{change.knob}: {' → '.join(ends)}"


def _range(name: str, value: Any) -> Range | None:
    if not isinstance(value, dict):
        return None
    numbers = [value.get(key) for key in ("lower", "median", "upper")]
    if any(not isinstance(n, int | float) for n in numbers):
        return None
    lower, median, upper = (float(n) for n in numbers if n is not None)
    return Range(name, lower, median, upper)

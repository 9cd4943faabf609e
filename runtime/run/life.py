"""The lives of a run, of a step and of a piece of work: one table each.

A run moves by the events of its own, and each of them leads to one state whatever it came
from. A pair that is not in the table cannot be: the fold refuses it, and says which moves
there are instead. Steps and pieces of work (a step, or a batch of
one, over all its tries) follow from the tokens and the attempts, so their tables are what
the fold may come to, and the tests hold every run against them.

>>> after("running", Move.PAUSED)
'paused'
>>> Move.COMPLETED in RUN["paused"]
False
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from runtime.net.net import NetError

Status: TypeAlias = Literal[
    "new", "submitted", "running", "paused", "failing", "cancelling",
    "completed", "failed", "cancelled",
]  # fmt: skip
StepStatus: TypeAlias = Literal["waiting", "active", "done", "failed", "skipped", "cancelled"]
WorkStatus: TypeAlias = Literal["none", "scheduled", "leased", "waiting", "ended"]


class Move(StrEnum):
    """Events that move a run, by the type they have in the journal."""

    SUBMITTED = "run.submitted"
    STARTED = "run.started"
    PAUSED = "run.paused"
    RESUMED = "run.resumed"
    CANCEL_REQUESTED = "run.cancel.requested"
    FAILING = "run.failing"
    COMPLETED = "run.completed"
    FAILED = "run.failed"
    CANCELLED = "run.cancelled"


LEADS_TO: Final[Mapping[Move, Status]] = {
    Move.SUBMITTED: "submitted",
    Move.STARTED: "running",
    Move.PAUSED: "paused",
    Move.RESUMED: "running",
    Move.CANCEL_REQUESTED: "cancelling",
    Move.FAILING: "failing",
    Move.COMPLETED: "completed",
    Move.FAILED: "failed",
    Move.CANCELLED: "cancelled",
}
"""The state that follows an event, wherever it may happen."""

RUN: Final[Mapping[Status, tuple[Move, ...]]] = {
    "new": (Move.SUBMITTED,),
    "submitted": (Move.STARTED, Move.CANCEL_REQUESTED),
    "running": (Move.PAUSED, Move.CANCEL_REQUESTED, Move.FAILING, Move.COMPLETED),
    "paused": (Move.RESUMED, Move.CANCEL_REQUESTED, Move.FAILING),
    "failing": (Move.CANCEL_REQUESTED, Move.FAILED),  # only journals of old hold the first
    "cancelling": (Move.CANCELLED,),
    "completed": (),
    "failed": (),
    "cancelled": (),
}
"""What may happen to a run in each state."""


class StepMove(StrEnum):
    """What may happen to a step."""

    BEGIN = "begin"
    SUCCEED = "succeed"
    FAIL = "fail"
    SKIP = "skip"
    CANCEL = "cancel"
    AGAIN = "again"


STEP: Final[Mapping[StepStatus, Mapping[StepMove, StepStatus]]] = {
    "waiting": {
        StepMove.BEGIN: "active",
        StepMove.SUCCEED: "done",  # a step without a tool, or over no items, passes at once
        StepMove.FAIL: "failed",  # what it needs cannot be had
        StepMove.SKIP: "skipped",
    },
    "active": {
        StepMove.SUCCEED: "done",
        StepMove.FAIL: "failed",
        StepMove.CANCEL: "cancelled",  # the join it worked for has fired without it
    },
    "done": {
        StepMove.FAIL: "failed",  # it gave a value, and no arc goes on from there
        StepMove.AGAIN: "waiting",
        StepMove.BEGIN: "active",  # a compensation, for the round before
    },
    "failed": {StepMove.AGAIN: "waiting", StepMove.BEGIN: "active"},
    "skipped": {StepMove.AGAIN: "waiting"},
    "cancelled": {StepMove.AGAIN: "waiting"},
}
"""``again`` is the next round of a loop."""


class WorkMove(StrEnum):
    """What may happen to a piece of work."""

    HOLD = "hold"
    SCHEDULE = "schedule"
    LEASE = "lease"
    RETRY = "retry"
    END = "end"
    DROP = "drop"


WORK: Final[Mapping[WorkStatus, Mapping[WorkMove, WorkStatus]]] = {
    "none": {WorkMove.SCHEDULE: "scheduled", WorkMove.HOLD: "waiting"},
    "scheduled": {
        WorkMove.LEASE: "leased",
        WorkMove.RETRY: "waiting",
        WorkMove.END: "ended",
    },
    "leased": {WorkMove.RETRY: "waiting", WorkMove.END: "ended"},
    "waiting": {WorkMove.SCHEDULE: "scheduled", WorkMove.DROP: "ended"},
    "ended": {WorkMove.SCHEDULE: "scheduled"},
}
"""``hold``: it waits for its hours of the day, as a whole if it is an ``each``. ``lease`` is
written for ``effect: once`` alone; ``drop``: the run or step ends meanwhile. Work that has ended
is scheduled again in the next round of a loop."""


class NotInTheTable(NetError):
    """The state knows no such move. Says which moves there are instead."""

    def __init__(self, status: Status, move: Move) -> None:
        allowed = ", ".join(RUN[status])
        instead = f"it can have {allowed}" if allowed else "nothing more can happen to it"
        super().__init__(f"a {status} run cannot have {move.value}; {instead}")
        self.status, self.move = status, move


def after(status: Status, move: Move) -> Status:
    """Return the state of a run that follows.

    Raises:
        NotInTheTable: the pair is not in the table.
    """
    if move not in RUN[status]:
        raise NotInTheTable(status, move)
    return LEADS_TO[move]


def pictures() -> dict[str, str]:
    """Return the tables as Mermaid state diagrams, for the docs."""
    runs = [(state, LEADS_TO[move], move.value) for state, moves in RUN.items() for move in moves]
    steps = [(s, to, move.value) for s, moves in STEP.items() for move, to in moves.items()]
    work = [(s, to, move.value) for s, moves in WORK.items() for move, to in moves.items()]
    ends = [state for state, moves in RUN.items() if not moves]
    return {
        "run": _picture("new", runs, ends),
        "step": _picture("waiting", steps, ["done", "failed", "skipped", "cancelled"]),
        "work": _picture("none", work, ["ended"]),
    }


def _picture(first: str, moves: Sequence[tuple[str, str, str]], ends: Sequence[str]) -> str:
    return "\n".join(_lines(first, moves, ends))


def _lines(
    first: str, moves: Sequence[tuple[str, str, str]], ends: Sequence[str]
) -> Iterator[str]:
    yield "stateDiagram-v2"
    yield f"    [*] --> {first}"
    yield from (f"    {state} --> {to}: {move}" for state, to, move in moves)
    yield from (f"    {state} --> [*]" for state in ends)

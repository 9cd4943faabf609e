"""The life of a proposal: one enum of states, one of moves, one mapping of all legal pairs.

A proposal is drafted, gated by the policy and shown to a person. Once approved it waits
for the lock of its step, is tried on a share of real work (`canary`), and is kept only
when it is proven better. While it is *live* it holds the lock of its step, and one move
leads from each live state to `rolling_back`. A pair that is not in the mapping is
refused, with the moves that would have been allowed, and nothing changes.

>>> advance(State.CANARY, Move.ROLL_BACK).value
'rolling_back'
>>> may(Move.APPROVE, Hand.OPTIMIZER)
False
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a proposal is in its life."""

    DRAFT = "draft"
    GATED = "gated"
    BLOCKED = "blocked"
    PROPOSED = "proposed"
    APPROVED = "approved"
    SCHEDULED = "scheduled"
    SHADOW = "shadow"
    CANARY = "canary"
    PAUSED = "paused"
    INCONCLUSIVE = "inconclusive"
    WATCH = "watch"
    KEPT = "kept"
    LEARNED = "learned"
    ROLLING_BACK = "rolling_back"
    ROLLBACK_FAILED = "rollback_failed"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    STALE = "stale"
    WITHDRAWN = "withdrawn"
    DISCARDED = "discarded"
    FAILED = "failed"


class Move(StrEnum):
    """What may happen to a proposal."""

    GATE = "gate"
    BLOCK = "block"
    DISCARD = "discard"
    PROPOSE = "propose"
    APPROVE = "approve"
    REJECT = "reject"
    SUPERSEDE = "supersede"
    EXPIRE = "expire"
    INVALIDATE = "invalidate"
    WITHDRAW = "withdraw"
    SCHEDULE = "schedule"
    START = "start"
    ENROL = "enrol"
    FAIL = "fail"
    RAMP = "ramp"
    PAUSE = "pause"
    RESUME = "resume"
    GIVE_UP = "give_up"
    EXTEND = "extend"
    PROMOTE = "promote"
    KEEP = "keep"
    LEARN = "learn"
    ROLL_BACK = "roll_back"
    SETTLE = "settle"
    GET_STUCK = "get_stuck"


class Hand(StrEnum):
    """Who moves a proposal: a role of a person, or a part of the control plane."""

    OPTIMIZER = "optimizer"
    AUTHOR = "author"
    REVIEWER = "reviewer"
    APPROVER = "approver"
    OPERATOR = "operator"
    POLICY = "policy"
    CLOCK = "clock"
    INVALIDATOR = "invalidator"
    SCHEDULER = "scheduler"
    EXPERIMENTS = "experiments"
    VERIFIER = "verifier"
    KILL_SWITCH = "kill_switch"


MOVES: Final[Mapping[State, Mapping[Move, State]]] = {
    State.DRAFT: {Move.GATE: State.GATED, Move.DISCARD: State.DISCARDED},
    State.GATED: {Move.PROPOSE: State.PROPOSED, Move.BLOCK: State.BLOCKED},
    State.BLOCKED: {Move.GATE: State.GATED, Move.EXPIRE: State.EXPIRED},
    State.PROPOSED: {
        Move.APPROVE: State.APPROVED,
        Move.REJECT: State.REJECTED,
        Move.SUPERSEDE: State.SUPERSEDED,
        Move.EXPIRE: State.EXPIRED,
        Move.INVALIDATE: State.STALE,
        Move.WITHDRAW: State.WITHDRAWN,
    },
    State.APPROVED: {
        Move.SCHEDULE: State.SCHEDULED,
        Move.INVALIDATE: State.STALE,
        Move.WITHDRAW: State.WITHDRAWN,
    },
    State.SCHEDULED: {
        Move.START: State.SHADOW,
        Move.INVALIDATE: State.STALE,
        Move.EXPIRE: State.EXPIRED,
        Move.WITHDRAW: State.WITHDRAWN,
    },
    State.SHADOW: {
        Move.ENROL: State.CANARY,
        Move.FAIL: State.FAILED,
        Move.ROLL_BACK: State.ROLLING_BACK,
    },
    State.CANARY: {
        Move.RAMP: State.CANARY,
        Move.PAUSE: State.PAUSED,
        Move.GIVE_UP: State.INCONCLUSIVE,
        Move.PROMOTE: State.WATCH,
        Move.LEARN: State.LEARNED,
        Move.ROLL_BACK: State.ROLLING_BACK,
    },
    State.PAUSED: {Move.RESUME: State.CANARY, Move.ROLL_BACK: State.ROLLING_BACK},
    State.INCONCLUSIVE: {Move.EXTEND: State.CANARY, Move.ROLL_BACK: State.ROLLING_BACK},
    State.WATCH: {Move.KEEP: State.KEPT, Move.ROLL_BACK: State.ROLLING_BACK},
    State.KEPT: {Move.ROLL_BACK: State.ROLLING_BACK},
    State.ROLLING_BACK: {
        Move.SETTLE: State.ROLLED_BACK,
        Move.GET_STUCK: State.ROLLBACK_FAILED,
    },
    State.ROLLBACK_FAILED: {Move.SETTLE: State.ROLLED_BACK},
    State.LEARNED: {},
    State.ROLLED_BACK: {},
    State.REJECTED: {},
    State.SUPERSEDED: {},
    State.EXPIRED: {},
    State.STALE: {},
    State.WITHDRAWN: {},
    State.DISCARDED: {},
    State.FAILED: {},
}

LIVE: Final = frozenset(
    {State.SHADOW, State.CANARY, State.PAUSED, State.INCONCLUSIVE, State.WATCH}
)  # fmt: skip
"""States in which a change may touch real work: each leads to `rolling_back` in one move."""

LOCKING: Final = LIVE | {State.ROLLING_BACK, State.ROLLBACK_FAILED}
"""States that hold the lock of their step: at most one proposal per step is in them."""

SETTLED: Final = frozenset(state for state, moves in MOVES.items() if not moves) | {State.KEPT}
"""States in which nothing more happens by itself. Only `kept` can still be taken back."""

WHO: Final[Mapping[Move, frozenset[Hand]]] = {
    Move.GATE: frozenset({Hand.POLICY}),
    Move.BLOCK: frozenset({Hand.POLICY}),
    Move.DISCARD: frozenset({Hand.POLICY, Hand.OPTIMIZER}),
    Move.PROPOSE: frozenset({Hand.POLICY}),
    Move.APPROVE: frozenset({Hand.APPROVER}),
    Move.REJECT: frozenset({Hand.REVIEWER, Hand.APPROVER}),
    Move.SUPERSEDE: frozenset({Hand.POLICY}),
    Move.EXPIRE: frozenset({Hand.CLOCK, Hand.POLICY}),
    Move.INVALIDATE: frozenset({Hand.INVALIDATOR}),
    Move.WITHDRAW: frozenset({Hand.AUTHOR, Hand.OPERATOR}),
    Move.SCHEDULE: frozenset({Hand.SCHEDULER}),
    Move.START: frozenset({Hand.SCHEDULER}),
    Move.ENROL: frozenset({Hand.EXPERIMENTS}),
    Move.FAIL: frozenset({Hand.EXPERIMENTS}),
    Move.RAMP: frozenset({Hand.VERIFIER}),
    Move.PAUSE: frozenset({Hand.OPERATOR}),
    Move.RESUME: frozenset({Hand.OPERATOR}),
    Move.GIVE_UP: frozenset({Hand.VERIFIER}),
    Move.EXTEND: frozenset({Hand.APPROVER}),
    Move.PROMOTE: frozenset({Hand.VERIFIER}),
    Move.KEEP: frozenset({Hand.VERIFIER}),
    Move.LEARN: frozenset({Hand.VERIFIER}),
    Move.ROLL_BACK: frozenset({Hand.VERIFIER, Hand.OPERATOR, Hand.KILL_SWITCH, Hand.INVALIDATOR}),
    Move.SETTLE: frozenset({Hand.EXPERIMENTS, Hand.OPERATOR}),
    Move.GET_STUCK: frozenset({Hand.EXPERIMENTS}),
}


class MoveNotAllowed(Exception):
    """The state knows no such move. Says which moves there are instead."""

    def __init__(self, state: State, move: Move) -> None:
        allowed = [m.value for m in MOVES[state]]
        instead = f"it can {' or '.join(allowed)}" if allowed else "it can do nothing more"
        super().__init__(f"a {state.value} proposal cannot {move.value}; {instead}")
        self.state, self.move, self.allowed = state, move, tuple(allowed)


class NotYours(Exception):
    """This hand may not make the move. Says whose it is."""

    def __init__(self, move: Move, hand: Hand) -> None:
        owners = ", ".join(sorted(h.value for h in WHO[move]))
        super().__init__(f"{hand.value} may not {move.value} a proposal; that is for: {owners}")
        self.move, self.hand = move, hand


def advance(state: State, move: Move) -> State:
    """Return the state that follows.

    Raises:
        MoveNotAllowed: the pair is not in the mapping.
    """
    try:
        return MOVES[state][move]
    except KeyError:
        raise MoveNotAllowed(state, move) from None


def may(move: Move, hand: Hand) -> bool:
    """Whether this hand may make the move at all, whatever the state."""
    return hand in WHO[move]


def step(state: State, move: Move, hand: Hand) -> State:
    """Return the state that follows when ``hand`` makes the move.

    Raises:
        NotYours: the move is not this hand's to make.
        MoveNotAllowed: the pair is not in the mapping.
    """
    if not may(move, hand):
        raise NotYours(move, hand)
    return advance(state, move)


def diagram() -> str:
    """Return the table as a Mermaid state diagram, for the docs."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.DRAFT.value}"]
    for state, moves in MOVES.items():
        lines += [f"    {state.value} --> {to.value}: {move.value}" for move, to in moves.items()]
        if state in SETTLED:
            lines.append(f"    {state.value} --> [*]")
    return "\n".join(lines)

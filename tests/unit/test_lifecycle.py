from __future__ import annotations

from itertools import product

import pytest

from control_plane.review.lifecycle import (
    LIVE,
    LOCKING,
    MOVES,
    SETTLED,
    WHO,
    Hand,
    Move,
    MoveNotAllowed,
    NotYours,
    State,
    advance,
    diagram,
    step,
)
from control_plane.review.reasons import WORDS, Reason


@pytest.mark.parametrize(("state", "move"), list(product(State, Move)))
def test_every_pair_is_in_the_table_or_refused_with_what_is_allowed(
    state: State, move: Move
) -> None:
    if move in MOVES[state]:
        assert advance(state, move) is MOVES[state][move]
        return
    with pytest.raises(MoveNotAllowed) as refused:
        advance(state, move)
    assert refused.value.allowed == tuple(m.value for m in MOVES[state])
    assert all(m.value in str(refused.value) for m in MOVES[state])


@pytest.mark.parametrize(("move", "hand"), list(product(Move, Hand)))
def test_a_move_is_made_by_its_own_hands_alone(move: Move, hand: Hand) -> None:
    state = next(s for s in State if move in MOVES[s])
    if hand in WHO[move]:
        assert step(state, move, hand) is MOVES[state][move]
    else:
        with pytest.raises(NotYours):
            step(state, move, hand)


def test_the_table_names_every_state_and_every_move() -> None:
    assert set(MOVES) == set(State)
    assert {m for moves in MOVES.values() for m in moves} == set(Move) == set(WHO)


def test_only_an_approver_approves_and_no_machine_does() -> None:
    assert WHO[Move.APPROVE] == {Hand.APPROVER}
    assert WHO[Move.EXTEND] == {Hand.APPROVER}


@pytest.mark.parametrize("state", sorted(LIVE))
def test_every_live_state_leads_to_rolling_back_in_one_move(state: State) -> None:
    assert MOVES[state][Move.ROLL_BACK] is State.ROLLING_BACK


def test_every_state_leads_to_a_settled_one() -> None:
    reached = set(SETTLED)
    for _ in State:
        reached |= {s for s, moves in MOVES.items() if reached & set(moves.values())}
    assert reached == set(State)


def test_every_state_is_reached_from_draft() -> None:
    reached = {State.DRAFT}
    for _ in State:
        reached |= {to for s in reached for to in MOVES[s].values()}
    assert reached == set(State)


def test_the_way_into_the_lock_is_start_alone_and_taking_back_what_was_kept() -> None:
    entries = {
        (state, move)
        for state, moves in MOVES.items()
        for move, to in moves.items()
        if state not in LOCKING and to in LOCKING
    }
    assert entries == {(State.SCHEDULED, Move.START), (State.KEPT, Move.ROLL_BACK)}


def test_a_stuck_rollback_leaves_only_to_rolled_back() -> None:
    assert dict(MOVES[State.ROLLBACK_FAILED]) == {Move.SETTLE: State.ROLLED_BACK}


def test_nothing_is_kept_without_canary_and_watch() -> None:
    def sources(target: State) -> set[State]:
        return {s for s, moves in MOVES.items() if target in moves.values()}

    assert sources(State.KEPT) == {State.WATCH}
    assert sources(State.WATCH) == {State.CANARY}
    assert sources(State.CANARY) <= {
        State.SHADOW,
        State.CANARY,
        State.PAUSED,
        State.INCONCLUSIVE,
    }


def test_the_diagram_draws_every_move() -> None:
    drawn = diagram().splitlines()
    assert sum(": " in line for line in drawn) == sum(len(moves) for moves in MOVES.values())


def test_every_reason_has_words() -> None:
    assert set(WORDS) == set(Reason)

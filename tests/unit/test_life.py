"""The tables of a run's life are the fold: each pair of state and event is as they say."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from runtime.net.compile import compile_net
from runtime.playbook.model import Playbook, Step
from runtime.run import events as ev
from runtime.run.evolve import evolve
from runtime.run.life import (
    LEADS_TO,
    RUN,
    STEP,
    WORK,
    Move,
    NotInTheTable,
    Status,
    StepMove,
    StepStatus,
    WorkMove,
    WorkStatus,
    after,
)
from runtime.run.state import ENDED, RunState, new_run

EVENTS: dict[Move, ev.RunEvent] = {
    Move.SUBMITTED: ev.RunSubmitted("p", "v", 1, {}, "me"),
    Move.STARTED: ev.RunStarted(),
    Move.PAUSED: ev.RunPaused("me"),
    Move.RESUMED: ev.RunResumed("me"),
    Move.CANCEL_REQUESTED: ev.RunCancelRequested("me"),
    Move.FAILING: ev.RunFailing("", ev.Fault("timeout", "")),
    Move.COMPLETED: ev.RunCompleted(),
    Move.FAILED: ev.RunFailed("", ev.Fault("timeout", "")),
    Move.CANCELLED: ev.RunCancelled(),
}


def run_in(status: Status) -> RunState:
    state = new_run("r", compile_net(Playbook("p", (Step("a", {"kind": "x"}),))))
    state.status = status
    return state


@pytest.mark.parametrize(("status", "move"), list(product(get_args(Status), Move)))
def test_every_state_takes_every_event_as_the_table_says_or_refuses_it(
    status: Status, move: Move
) -> None:
    state = run_in(status)
    if move in RUN[status]:
        assert evolve(state, EVENTS[move], 1.0).status == after(status, move) == LEADS_TO[move]
        return
    with pytest.raises(NotInTheTable) as refused:
        evolve(state, EVENTS[move], 1.0)
    assert state.status == status
    assert all(m.value in str(refused.value) for m in RUN[status])


@pytest.mark.parametrize("status", get_args(Status))
def test_no_other_event_moves_a_run(status: Status) -> None:
    others = (
        ev.ContextSet({"x": 1}), ev.TimerSet("t", 2.0), ev.SignalReceived("go", None, "me"),
        ev.StepRouted("a", []),
    )  # fmt: skip
    for event in others[:3] if status in ("new", "submitted") else others:
        state = evolve(run_in("submitted"), ev.RunStarted(), 1.0)
        state.status = status
        assert evolve(state, event, 1.0).status == status


def test_the_tables_name_every_state_and_every_move() -> None:
    assert set(RUN) == set(get_args(Status))
    assert {m for moves in RUN.values() for m in moves} == set(Move) == set(LEADS_TO)
    assert {m.value for m in Move} <= set(ev.TYPES)
    assert set(STEP) == set(get_args(StepStatus))
    assert {m for moves in STEP.values() for m in moves} == set(StepMove)
    assert set(WORK) == set(get_args(WorkStatus))
    assert {m for moves in WORK.values() for m in moves} == set(WorkMove)


def test_a_run_has_ended_where_nothing_can_happen_to_it_any_more() -> None:
    assert {status for status, moves in RUN.items() if not moves} == ENDED


def test_from_every_state_a_run_can_come_to_an_end_and_every_state_is_reached() -> None:
    ends, reached = set(ENDED), {"new"}
    for _ in RUN:
        ends |= {s for s, moves in RUN.items() if any(LEADS_TO[m] in ends for m in moves)}
        reached |= {LEADS_TO[m] for s in list(reached) for m in RUN[s]}  # type: ignore[index]
    assert ends == reached == set(RUN)

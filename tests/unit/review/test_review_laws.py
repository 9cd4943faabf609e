"""The invariants of the loop, over interleavings that nobody would think of."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from control_plane.errors import ControlPlaneError
from control_plane.review.lifecycle import LIVE, LOCKING, MOVES, WHO, Hand, Move, State
from control_plane.review.reasons import Reason
from runtime.data.folder import DataFolder
from runtime.journal.port import Append
from runtime.run.events import (
    ExperimentEnded,
    ExperimentStarted,
    KillSet,
    OverlayAppended,
    ProposalDrafted,
    ProposalMoved,
)

WRITES = (ExperimentStarted, OverlayAppended)
DEEDS = st.lists(
    st.tuples(
        st.sampled_from(
            ["propose", "approve", "approve", "reject", "rollback", "pause", "resume", "tick",
             "tick", "play", "kill", "register", "restart", "late"]
        ),
        st.integers(0, 9),
        st.sampled_from(["opt", "ann", "bot"]),
    ),
    min_size=4,
    max_size=24,
)  # fmt: skip


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(deeds=DEEDS, seed=st.integers(0, 2**16))
def test_whatever_people_and_machines_do_in_whatever_order_the_invariants_hold(
    deeds: list[tuple[str, int, str]], seed: int, kit: Any, demo: Any
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = DataFolder(Path(folder))
        data.prepare()
        house = kit.House(data, random.Random(seed))
        house.register()
        asyncio.run(_play(house, deeds, kit, demo))
        _check(house)


async def _play(house: Any, deeds: list[tuple[str, int, str]], kit: Any, demo: Any) -> None:
    room = await kit.open_room(house, demo)
    waiting: list[Any] = []
    for deed, number, actor in deeds:
        known = sorted(room.docket_ids())
        target = known[number % len(known)] if known else "p-none"
        roles = kit.APPROVER | ({"agent"} if actor == "bot" else set())
        if deed == "late":
            waiting.append(room.reviews.approve(target, actor, roles))
        elif deed == "restart":
            await _all(waiting)
            waiting.clear()
            house.forget()
            room = await kit.open_room(house, demo)
        else:
            await _all([*waiting, _do(room, house, kit, deed, number, target, actor, roles)])
            waiting.clear()
    await _all(waiting)
    await room.tick()


async def _all(asked: list[Any]) -> None:
    """Ask all at once; what is refused is refused in our own words."""
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(answer, BaseException) and not isinstance(answer, ControlPlaneError):
            raise answer


async def _do(
    room: Any, house: Any, kit: Any, deed: str, number: int, target: str, actor: str, roles: Any
) -> None:
    if deed == "propose":
        faster = kit.change(3 + number % 2, before=2, knob="each.in_flight", cls="concurrency")
        candidate = faster if number % 3 == 0 else kit.change(40 + number)
        await room.reviews.propose(candidate, actor, kit.AUTHOR)
    elif deed in ("approve", "reject", "rollback", "pause", "resume"):
        await getattr(room.reviews, deed)(target, actor, roles)
    elif deed == "play":
        await room.play(600)
    elif deed == "kill":
        event = KillSet("*", number % 2 == 0, actor)
        length = house.journal.length("kill")
        await house.append([Append("kill", length, house.now, (event,))])
    elif deed == "register":
        house.register(code=f"items[{number % 2}:]")
    else:
        await room.tick()


def _check(house: Any) -> None:
    states: dict[str, State] = {}
    scopes: dict[str, tuple[str, str]] = {}
    authors: dict[str, str] = {}
    committed: list[Any] = []
    for recorded in house.events():
        event = recorded.event
        if committed and recorded.at != committed[-1].at:
            committed.clear()
        committed.append(recorded)
        if isinstance(event, ProposalDrafted):
            states[event.proposal] = State.DRAFT
            scopes[event.proposal] = (event.playbook, event.step)
            authors[event.proposal] = event.author
        elif isinstance(event, ProposalMoved):
            _legal(event, states, authors)
            states[event.proposal] = State(event.target)
            _one_live(event, states, scopes)
        elif isinstance(event, OverlayAppended):
            assert states[event.proposal] in (State.CANARY, State.WATCH, State.KEPT)
    started = [r.event.experiment for r in house.events(ExperimentStarted)]
    ended = [r.event.experiment for r in house.events(ExperimentEnded)]
    assert len(set(started)) == len(started)
    assert len(set(ended)) == len(ended)
    live = {"x-" + p[2:] for p, s in states.items() if s in LIVE - {State.SHADOW}}
    assert set(started) - set(ended) == live


def _legal(event: ProposalMoved, states: dict[str, State], authors: dict[str, str]) -> None:
    source, move = State(event.source), Move(event.move)
    assert states[event.proposal] is source
    assert MOVES[source][move] is State(event.target)
    assert Reason(event.reason)
    assert event.actor
    if move is Move.APPROVE:
        assert event.actor not in (authors[event.proposal], "bot")
        assert event.bound_hash
    if event.actor in {h.value for h in Hand}:
        assert Hand(event.actor) in WHO[move]


def _one_live(
    event: ProposalMoved, states: dict[str, State], scopes: dict[str, tuple[str, str]]
) -> None:
    if event.move != Move.START.value:
        return
    scope = scopes[event.proposal]
    holders = [p for p, s in states.items() if scopes[p] == scope and s in LOCKING]
    assert holders == [event.proposal]

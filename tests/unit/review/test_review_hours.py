"""Hours of the day, from a proposal to the overlay: nights are cheaper, or they are not."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from optimizer.proposal import Candidate
from runtime.run.events import (
    AttemptScheduled,
    EachCut,
    ExperimentStarted,
    ProposalMoved,
    StepHeld,
    VerdictReached,
)

DAY, NOON, TEN = 86_400.0, 12 * 3600.0, 22 * 3600.0
MAY_WAIT = "      start.hours: [any, 22-6]\n    start: {at_most: 12h}\n"
RUNS = 24
"""Runs that begin at noon, each day."""


def proposal(path: str) -> Candidate:
    gain = {"lower": -0.5, "median": -0.4, "upper": -0.3}
    return Candidate(
        "change", path, "enrich", "schedule", "cost",
        [{"knob": "start.hours", "from": "any", "to": "22-6"}], {"start.hours": "any"},
        {"support": 1.0}, {"cost": gain},
    )  # fmt: skip


def work(house: Any, night: float) -> Callable[[int, random.Random], tuple[float, bool]]:
    """What an attempt takes: at night so much of what it takes by day."""

    def seconds(items: int, rng: random.Random) -> tuple[float, bool]:
        dark = house.now % DAY >= TEN or house.now % DAY < 6 * 3600
        return (night if dark else 1.0) * 0.1 * rng.lognormvariate(0.0, 0.1), True

    return seconds


async def play_day(room: Any) -> None:
    """Let a day's runs begin at noon, and everything happen that follows."""
    house = room.house
    house.now = (house.now // DAY + 1) * DAY + NOON
    for _ in range(RUNS):
        house.submit(50)
    while house.step():
        if room.experiments.woken:
            await room.tick()
    await room.tick()


async def tried(room: Any, kit: Any, days: int) -> list[str]:
    """Propose hours, approve them and play some days; returns the state after each."""
    view = await room.reviews.propose(proposal(kit.PATH), "opt", kit.AUTHOR)
    await room.reviews.approve(view.id, "ann", kit.APPROVER)
    await room.tick()
    states = []
    for _ in range(days):
        await play_day(room)
        states.append(room.state(view.id))
    return states


def test_a_candidate_waits_beside_a_control_that_does_not_and_is_kept_where_nights_are_cheaper(
    house, demo, kit
) -> None:
    async def story() -> list[str]:
        house.register(more=MAY_WAIT)
        house.work = work(house, 0.6)
        room = await kit.open_room(house, replace(demo, gates=replace(demo.gates, days=10)))
        return await tried(room, kit, 11)

    assert asyncio.run(story()) == ["canary"] * 9 + ["kept"] * 2  # not before the tenth night
    started = house.events(ExperimentStarted)[0].event
    assert (started.shares, started.block_items) == ({"candidate": 0.5}, 1)
    held = [r for r in house.events(StepHeld) if r.event.experiment]
    cuts = [r.event for r in house.events(EachCut) if r.event.experiment]
    assert {r.event.arm for r in held} == {"candidate"}
    assert all(r.event.due % DAY == TEN and r.at % DAY < NOON + 60 for r in held)
    assert {(c.kind, c.stop) for c in cuts} == {("block", 50)}
    assert len(held) == sum(c.arm == "candidate" for c in cuts)


def test_hours_that_bring_nothing_are_taken_back(house, demo, kit) -> None:
    async def story() -> list[str]:
        house.register(more=MAY_WAIT)
        house.work = work(house, 1.0)
        return await tried(await kit.open_room(house, demo), kit, 5)

    assert asyncio.run(story())[-1] == "rolled_back"
    assert house.events(VerdictReached)[-1].event.reason == "gain_refuted"


def test_nights_that_happened_to_be_cheap_do_not_prove_that_nights_are(house, demo, kit) -> None:
    def luck(items: int, rng: random.Random) -> tuple[float, bool]:
        night = int((house.now - 8 * 3600) // DAY)
        dark = house.now % DAY >= TEN or house.now % DAY < 6 * 3600
        shared = random.Random(f"16-{night}-{dark}").gauss(0.0, 0.3)
        return 0.1 * math.exp(shared) * rng.lognormvariate(0.0, 0.1), True

    async def story() -> list[str]:
        house.rng = random.Random(16)  # by runs alone, the gain is proven
        house.register(more=MAY_WAIT)
        house.work = luck
        room = await kit.open_room(house, replace(demo, gates=replace(demo.gates, days=7)))
        return await tried(room, kit, 15)

    assert "kept" not in asyncio.run(story())
    (back,) = [r.event for r in house.events(ProposalMoved) if r.event.move == "roll_back"]
    assert back.reason in ("gates_unmet", "inconclusive")


def test_once_they_are_kept_every_run_waits_for_them_and_a_rollback_ends_that(
    house, demo, kit
) -> None:
    async def story() -> None:
        house.register(more=MAY_WAIT)
        house.work = work(house, 0.6)
        room = await kit.open_room(house, demo)
        states = await tried(room, kit, 11)
        assert states[-1] == "kept"
        before = len(house.events(StepHeld))
        await play_day(room)
        assert len(house.events(StepHeld)) == before + RUNS
        (view,) = room.reviews.list()
        await room.reviews.rollback(view.id, "bob", kit.APPROVER, "needed by noon")
        await room.tick()
        before = len(house.events(AttemptScheduled))
        await play_day(room)
        fresh = [r for r in house.events(AttemptScheduled)[before:] if r.event.step == "enrich"]
        assert {r.at % DAY // 3600 for r in fresh} == {12.0}

    asyncio.run(story())


def test_what_waits_as_a_trial_is_taken_back_begins_at_once(house, demo, kit) -> None:
    async def story() -> None:
        house.register(more=MAY_WAIT)
        house.work = work(house, 0.6)
        room = await kit.open_room(house, demo)
        await tried(room, kit, 1)
        (view,) = room.reviews.list()
        house.now = (house.now // DAY + 1) * DAY + NOON
        runs = [house.submit(50) for _ in range(RUNS)]
        while any(not house.live[run].state.pauses for run in runs if run in house.live):
            house.step()
        waiting = [run for run in runs if run in house.live]
        assert waiting
        await room.reviews.rollback(view.id, "bob", kit.APPROVER, "needed by noon")
        await room.tick()
        while house.step():
            await room.tick()
        ended = [r for r in house.events(EachCut) if r.stream.removeprefix("run/") in waiting]
        assert {(r.event.arm, r.at % DAY // 3600) for r in ended} == {(None, 12.0)}

    asyncio.run(story())


def test_a_trial_tells_its_days_by_the_clock_of_the_step_s_zone(house, demo, kit) -> None:
    async def story() -> None:
        house.register(more=MAY_WAIT.replace("12h", "12h, zone: Europe/Berlin"))
        await tried(await kit.open_room(house, demo), kit, 1)

    asyncio.run(story())
    assert house.events(ExperimentStarted)[0].event.plan["zone"] == "Europe/Berlin"

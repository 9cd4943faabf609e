from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from control_plane.errors import NotFound
from runtime.data.objects import Objects
from runtime.journal.port import Append
from runtime.run.events import (
    PlaybookRegistered,
    ProposalDrafted,
    RunCompleted,
    RunStarted,
    RunSubmitted,
)

RUN = "0" * 31 + "1"


async def cycle(house: Any, result: Any, run: str = RUN, system: bool = True) -> str:
    submitted = RunSubmitted("system/optimize", "v", 1, {}, "scheduler", system=system)
    events = (submitted, RunStarted(), RunCompleted(result))
    await house.append([Append(f"run/{run}", 0, house.now, events)])
    return run


def result(*candidates: Any) -> dict[str, Any]:
    return {
        "candidates": [c.to_json() for c in candidates],
        "reasons": [{"scope": "x#y", "reason": "no_history", "text": "none yet"}],
    }


def test_a_cycle_taken_in_twice_drafts_nothing_twice(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        run = await cycle(house, result(kit.change(50)))
        first = await room.drafts.take(run)
        before = len(house.events())
        assert await room.drafts.take(run) == first
        assert len(house.events()) == before
        (view,) = first.proposals
        assert (view.state, view.author, view.cycle) == ("proposed", "optimizer", run)
        assert first.reasons[0]["reason"] == "no_history"

    asyncio.run(story())


def test_two_servers_that_take_in_the_same_cycle_draft_once(house, demo, kit) -> None:
    async def story() -> None:
        one, two = [await kit.open_room(house, demo) for _ in range(2)]
        run = await cycle(house, result(kit.change(50)))
        await asyncio.gather(one.drafts.take(run), two.drafts.take(run))
        assert len(house.events(ProposalDrafted)) == 1

    asyncio.run(story())


def test_a_completed_cycle_is_taken_in_by_itself_and_after_a_restart(house, demo, kit) -> None:
    async def drafted(room: Any) -> None:
        async with asyncio.timeout(240):
            while not room.reviews.list():
                await asyncio.sleep(0)

    async def story() -> None:
        room = await kit.open_room(house, demo)
        await cycle(house, result(kit.change(50)))
        await room.drafts.start()
        await drafted(room)
        await cycle(house, result(kit.change(40)), "0" * 31 + "2")
        async with asyncio.timeout(240):
            while len(room.reviews.list()) < 2:
                await asyncio.sleep(0)
        await room.drafts.close()
        assert [view.state for view in room.reviews.list("proposed")] == ["proposed"]

    asyncio.run(story())


def test_a_large_result_is_read_by_its_reference(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        ref = Objects(house.folder.objects).put_json(result(kit.change(50)))
        taken = await room.drafts.take(await cycle(house, ref))
        assert [view.state for view in taken.proposals] == ["proposed"]

    asyncio.run(story())


def test_what_is_no_candidate_is_refused_and_the_others_are_drafted(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        value = result(kit.change(50))
        value["candidates"].insert(0, {"kind": "change"})
        taken = await room.drafts.take(await cycle(house, value))
        assert len(taken.proposals) == 1
        assert "playbook: missing" in taken.refused[0]

    asyncio.run(story())


def test_a_run_that_somebody_named_like_the_optimizer_drafts_nothing(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        with pytest.raises(NotFound):
            await room.drafts.take(await cycle(house, result(kit.change(50)), system=False))

    asyncio.run(story())


def test_the_optimizer_is_told_of_each_tunable_step_and_of_what_became_of_its_advice(
    house, demo, kit
) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        (scope,) = room.drafts.scopes()
        version = house.catalogue.latest(kit.PATH)
        assert scope["bound"] == version.bound("enrich")
        assert scope["versions"] == [version.registered.version]
        assert scope["tune"][0] == {"name": "each.batch", "min": 10, "max": 1000, "choices": []}
        assert (scope["live"], scope["last"], scope["objective"]) == (False, [], "time")
        view = await room.reviews.propose(kit.change(50), "opt", kit.AUTHOR)
        assert room.drafts.scopes()[0]["live"] is False
        await room.reviews.reject(view.id, "ann", kit.APPROVER, "risky")
        (told,) = room.drafts.scopes()[0]["last"]
        assert (told["state"], told["reason"]) == ("rejected", "risky")
        assert told["content"] == kit.change(50).content
        other = await room.reviews.propose(kit.change(40), "opt", kit.AUTHOR)
        await room.reviews.approve(other.id, "ann", kit.APPROVER)
        assert room.drafts.scopes()[0]["live"] is True
        house.register(code="items[::-1]")
        assert room.drafts.scopes()[0]["last"] == []

    asyncio.run(story())


def test_what_the_policy_denies_is_not_asked_about(house, demo, kit) -> None:
    async def story() -> None:
        source = house.catalogue.latest(kit.PATH).registered.source
        system = PlaybookRegistered(
            "system/own", "v", 1, source.replace("demo/cohort", "system/own"), {}, "trimtab"
        )
        await house.append([Append("playbook/system/own", 0, house.now, (system,))])
        room = await kit.open_room(house, demo)
        assert [scope["playbook"] for scope in room.drafts.scopes()] == [kit.PATH]

    asyncio.run(story())


def test_a_workload_names_its_cycle_and_how_much_of_the_record_it_is_about(
    house, demo, kit
) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        one, two = room.drafts.workload(), room.drafts.workload()
        assert one["cycle"] != two["cycle"]
        assert one["cursor"] == {"1": len(house.events())}
        assert one["policy"]["ramp"][-1] == {"share": 0.5, "min_candidate": 60}
        assert replace(demo).hash == demo.hash

    asyncio.run(story())


def test_a_workload_says_what_each_step_runs_so_that_steps_can_be_held_against_each_other(
    house, demo, kit
) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        told = {one["step"]: one for one in room.drafts.asked()["described"]}
        assert {"load", "enrich"} <= set(told)
        assert told["load"]["playbook"] == kit.PATH
        assert told["load"]["tool"] == "python"
        assert "load" in told["load"]["text"]
        assert told["load"]["code"] != told["enrich"]["code"]

    asyncio.run(story())

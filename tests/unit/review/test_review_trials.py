from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from control_plane.errors import Conflict
from control_plane.review.policy import Blast, Freeze, Gates
from optimizer.verify import Unit
from runtime.journal.port import Append
from runtime.run.events import (
    EachCut,
    ExperimentEnded,
    ExperimentRamped,
    ExperimentStarted,
    KillSet,
    LessonRecorded,
    OutcomeRecorded,
    OverlayAppended,
    ProposalMoved,
    VerdictReached,
)


def moves(room: Any, proposal: str) -> list[str]:
    return [line["target"] for line in room.reviews.get(proposal).history]


def test_a_better_batch_size_is_tried_on_a_share_proven_and_kept(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        await room.play()
        view = await room.reviews.propose(kit.change(50), "opt", kit.AUTHOR)
        await room.reviews.approve(view.id, "ann", kit.APPROVER, view.bound_hash)
        assert await room.tried(view.id) == "kept"
        kept = room.reviews.get(view.id)
        assert moves(room, view.id) == [
            "gated", "proposed", "approved", "scheduled", "shadow", "canary", "canary",
            "watch", "kept",
        ]  # fmt: skip
        assert house.layers.stable("demo/cohort", "enrich", bound(house)) == {"each.batch": 50}
        assert kept.outcome is not None
        assert kept.verdict is not None
        assert kept.verdict["verdict"] == "better"
        assert kept.outcome["realised"] < -0.2
        last = house.events(OverlayAppended)[-1]
        together = [
            r for r in house.events() if r.at == last.at and not r.stream.startswith("run")
        ]
        kinds = {type(r.event) for r in together}
        assert {
            OverlayAppended, ExperimentEnded, ProposalMoved, OutcomeRecorded, VerdictReached,
        } <= kinds  # fmt: skip

    asyncio.run(story())


def bound(house: Any) -> str:
    return house.catalogue.latest("demo/cohort").bound("enrich")


def test_a_harmful_change_is_rolled_back_by_itself_and_no_item_is_lost(house, demo, kit) -> None:
    async def story() -> None:
        house.work = kit.Work(limit=40)
        room = await kit.open_room(house, demo)
        await room.play()
        view = await room.reviews.propose(kit.change(50), "opt", kit.AUTHOR)
        await room.reviews.approve(view.id, "ann", kit.APPROVER)
        assert await room.tried(view.id) == "rolled_back"
        ended = room.reviews.get(view.id)
        assert ended.verdict["verdict"] == "worse"
        assert [m["reason"] for m in ended.history if m["move"] == "roll_back"] == ["harm"]
        assert house.events(OverlayAppended) == []
        assert [r.event.reason for r in house.events(ExperimentEnded)] == ["harm"]
        (lesson,) = house.events(LessonRecorded)
        assert lesson.event.reason == "harm"
        for row in house.journal.runs(limit=100):
            assert (
                items_done(house, row.run)
                == house.journal.event(f"run/{row.run}", 1).event.workload["items"]
            )
        await room.play()
        assert not any(r.event.experiment for r in house.events(EachCut)[-1:])

    asyncio.run(story())


def items_done(house: Any, run: str) -> int:
    """Items of succeeded batches, each counted once."""
    starts: dict[int, int] = {}
    tried: dict[str, Any] = {}
    for r in house.journal.read(f"run/{run}"):
        if type(r.event).__name__ == "AttemptScheduled":
            tried[r.event.attempt] = r.event
        if type(r.event).__name__ == "AttemptFinished" and r.event.outcome == "succeeded":
            batch = tried[r.event.attempt]
            if batch.batch >= 0:
                assert batch.start not in starts
                starts[batch.start] = batch.items
    return sum(starts.values())


def test_an_experiment_over_several_values_teaches_and_opens_the_way(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        await room.play()
        far = await room.reviews.propose(kit.change(100), "opt", kit.AUTHOR)
        assert (far.state, far.reason) == ("blocked", "step_too_large")
        view = await room.reviews.propose(kit.experiment([50, 100, 200]), "opt", kit.AUTHOR)
        await room.reviews.approve(view.id, "ann", kit.APPROVER)
        assert await room.tried(view.id) == "learned"
        started = house.events(ExperimentStarted)[0].event
        assert started.block_items == 200
        assert started.shares == {f"candidate.{i}": pytest.approx(0.2) for i in (1, 2, 3)}
        assert house.events(OverlayAppended) == []
        covered = await room.reviews.propose(kit.change(100), "opt", kit.AUTHOR)
        assert covered.state == "proposed"
        beyond = await room.reviews.propose(kit.change(400), "opt", kit.AUTHOR)
        assert beyond.state == "blocked"

    asyncio.run(story())


def test_arms_found_harmful_are_dropped_and_not_covered(house, demo, kit) -> None:
    async def story() -> None:
        house.work = kit.Work(limit=120)
        room = await kit.open_room(house, demo)
        view = await room.reviews.propose(kit.experiment([50, 100, 200]), "opt", kit.AUTHOR)
        await room.reviews.approve(view.id, "ann", kit.APPROVER)
        assert await room.tried(view.id) == "learned"
        ramped = house.events(ExperimentRamped)[-1].event
        assert set(ramped.shares) == {"candidate.1", "candidate.2"}
        states = {
            to: (await room.reviews.propose(kit.change(to), "opt", kit.AUTHOR)).state
            for to in (100, 200)
        }
        assert states == {100: "proposed", 200: "blocked"}

    asyncio.run(story())


def test_concurrency_alternates_in_drained_pairs_and_is_judged_by_wall_time(
    house, demo, kit
) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        await room.play()
        candidate = kit.change(4, before=2, knob="each.in_flight", cls="concurrency")
        view = await room.reviews.propose(candidate, "opt", kit.AUTHOR)
        await room.reviews.approve(view.id, "ann", kit.APPROVER)
        assert await room.tried(view.id) == "kept"
        started = house.events(ExperimentStarted)[0].event
        assert (started.design, started.block_items) == ("switchback", 20 * 25)
        assert room.reviews.get(view.id).outcome["realised"] < -0.35
        cuts = [r.event for r in house.events(EachCut) if r.event.kind == "block"]
        assert all(cut.drained and cut.pair is not None for cut in cuts)

    asyncio.run(story())


def test_a_change_without_effect_is_inconclusive_at_the_horizon_and_taken_back(
    house, demo, kit
) -> None:
    async def story() -> None:
        house.work = kit.Work(base=0.0, per_item=0.001)
        room = await kit.open_room(house, demo)
        proposal = await in_canary(room, kit, 30)
        assert await room.tried(proposal, items=1000) == "rolled_back"
        assert moves(room, proposal)[-3:] == ["inconclusive", "rolling_back", "rolled_back"]
        assert len(house.journal.runs(limit=100)) == demo.verify.horizon_runs
        assert house.events(OverlayAppended) == []

    asyncio.run(story())


async def kept_change(room: Any, kit: Any, to: int = 50) -> str:
    view = await room.reviews.propose(kit.change(to), "opt", kit.AUTHOR)
    await room.reviews.approve(view.id, "ann", kit.APPROVER)
    assert await room.tried(view.id) == "kept"
    return str(view.id)


def test_a_kept_change_is_taken_back_by_setting_its_own_keys_back(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        first = await kept_change(room, kit)
        faster = kit.change(4, before=2, knob="each.in_flight", cls="concurrency")
        view = await room.reviews.propose(faster, "opt", kit.AUTHOR)
        await room.reviews.approve(view.id, "ann", kit.APPROVER)
        assert await room.tried(view.id) == "kept"
        await room.reviews.rollback(first, "bob", kit.APPROVER, "found slow elsewhere")
        assert house.layers.stable(kit.PATH, "enrich", bound(house)) == {"each.in_flight": 4}
        await room.tick()
        assert room.state(first) == "rolled_back"
        entry = house.events(OverlayAppended)[-1].event
        assert (entry.knobs, entry.previous) == ({"each.batch": None}, {"each.batch": 50})

    asyncio.run(story())


def test_what_a_later_change_stands_on_is_not_taken_back_beneath_it(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        first = await kept_change(room, kit)
        view = await room.reviews.propose(kit.change(100, before=50), "opt", kit.AUTHOR)
        await room.reviews.approve(view.id, "ann", kit.APPROVER)
        assert await room.tried(view.id) == "kept"
        with pytest.raises(Conflict) as refused:
            await room.reviews.rollback(first, "bob", kit.APPROVER)
        assert refused.value.reason == "changed_since"
        await room.reviews.rollback(view.id, "bob", kit.APPROVER)
        await room.reviews.rollback(first, "bob", kit.APPROVER)
        assert house.layers.stable(kit.PATH, "enrich", bound(house)) == {}

    asyncio.run(story())


def test_taking_back_what_a_trial_is_measured_against_ends_the_trial_too(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        first = await kept_change(room, kit)
        faster = kit.change(4, before=2, knob="each.in_flight", cls="concurrency")
        view = await room.reviews.propose(faster, "opt", kit.AUTHOR)
        await room.reviews.approve(view.id, "ann", kit.APPROVER)
        await room.tick()
        assert room.state(view.id) == "canary"
        await room.reviews.rollback(first, "bob", kit.APPROVER)
        await room.tick()
        assert (room.state(first), room.state(view.id)) == ("rolled_back", "rolled_back")

    asyncio.run(story())


async def in_canary(room: Any, kit: Any, to: int = 50) -> str:
    view = await room.reviews.propose(kit.change(to), "opt", kit.AUTHOR)
    await room.reviews.approve(view.id, "ann", kit.APPROVER)
    await room.tick()
    assert room.state(view.id) == "canary"
    return str(view.id)


def test_a_paused_trial_draws_no_new_unit_until_it_is_resumed(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await in_canary(room, kit)
        await room.reviews.pause(proposal, "bob", kit.APPROVER, "month end")
        before = len(house.events(EachCut))
        await room.play()
        assert all(r.event.experiment is None for r in house.events(EachCut)[before:])
        await room.reviews.resume(proposal, "bob", kit.APPROVER)
        assert await room.tried(proposal) == "kept"

    asyncio.run(story())


@pytest.mark.parametrize("scope", ["*", "demo/cohort", "demo/cohort#enrich"])
def test_the_kill_switch_rolls_back_whatever_it_covers(house, demo, kit, scope: str) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await in_canary(room, kit)
        kill = KillSet(scope, True, "bob")
        await house.append([Append("kill", 0, house.now, (kill,))])
        await room.tick()
        assert room.state(proposal) == "rolled_back"
        waiting = await room.reviews.propose(kit.change(40), "opt", kit.AUTHOR)
        await room.reviews.approve(waiting.id, "ann", kit.APPROVER)
        await room.play()
        assert room.state(waiting.id) == "scheduled"

    asyncio.run(story())


def test_new_code_of_the_step_ends_its_trial(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await in_canary(room, kit)
        house.register(code="items[::-1]")
        await room.tick()
        assert room.state(proposal) == "rolled_back"
        assert room.reviews.get(proposal).lesson["reason"] == "code_changed"

    asyncio.run(story())


def test_a_rollback_is_over_only_when_stable_work_was_seen(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await in_canary(room, kit)
        run = house.submit()
        while not any(r.event.experiment for r in house.events(EachCut)):
            house.step()
        await room.reviews.rollback(proposal, "bob", kit.APPROVER)
        await room.tick()
        seen = room.reviews.get(proposal)
        if seen.state == "rolling_back":
            while run in house.live and house.step():
                await room.tick()
        seen = room.reviews.get(proposal)
        assert seen.state == "rolled_back"
        assert seen.history[-1]["reason"] in ("effect_seen", "no_run_live")

    asyncio.run(story())


def test_a_rollback_without_effect_gets_stuck_and_freezes_its_step(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await in_canary(room, kit)
        house.submit()
        await room.reviews.rollback(proposal, "bob", kit.APPROVER)
        await room.tick()
        assert room.state(proposal) == "rolling_back"
        house.now += demo.rollback_deadline_s
        await room.tick()
        assert room.state(proposal) == "rollback_failed"
        other = await room.reviews.propose(kit.change(40), "opt", kit.AUTHOR)
        await room.reviews.approve(other.id, "ann", kit.APPROVER)
        await room.tick()
        assert room.state(other.id) == "scheduled"
        while house.live and house.step():
            await room.tick()
        assert room.state(proposal) == "rolled_back"
        assert room.state(other.id) == "canary"

    asyncio.run(story())


def test_a_freeze_is_looked_at_when_the_effect_would_come_not_when_it_was_approved(
    house, demo, kit
) -> None:
    async def story() -> None:
        freeze = Freeze(house.now + 1, house.now + 1000)
        room = await kit.open_room(house, replace(demo, freeze=(freeze,)))
        view = await room.reviews.propose(kit.change(50), "opt", kit.AUTHOR)
        await room.reviews.approve(view.id, "ann", kit.APPROVER)
        house.now += 2
        await room.tick()
        assert room.state(view.id) == "scheduled"
        house.now += 1000
        await room.tick()
        assert room.state(view.id) == "canary"

    asyncio.run(story())


def test_many_approvals_after_a_restart_start_slowly(house, demo, kit) -> None:
    async def story() -> None:
        few = replace(demo, blast=Blast(max_live=10, starts_per_hour=2, cold_start_s=60.0))
        for name in ("a/one", "a/two", "a/three"):
            house.register(path=name)
        room = await kit.open_room(house, few)
        for name in ("a/one", "a/two", "a/three"):
            view = await room.reviews.propose(kit.change(50, path=name), "opt", kit.AUTHOR)
            await room.reviews.approve(view.id, "ann", kit.APPROVER)
        await room.tick()
        assert len(house.events(ExperimentStarted)) == 0
        house.now += 60
        await room.tick()
        assert len(house.events(ExperimentStarted)) == 2
        house.now += 3601
        await room.tick()
        assert len(house.events(ExperimentStarted)) == 3

    asyncio.run(story())


def test_calendar_and_nodes_hold_a_better_change_back_in_production(house, demo, kit) -> None:
    async def story() -> None:
        gates = Gates(hold_s=0.0, daily_cycle=True, nodes=2, watch_s=0.0)
        patient = replace(demo, gates=gates, verify=replace(demo.verify, horizon_runs=50))
        room = await kit.open_room(house, patient)
        proposal = await in_canary(room, kit)
        for _ in range(12):
            await room.play()
        assert room.state(proposal) == "canary"
        house.now += 86400
        await room.play()
        assert room.state(proposal) == "canary", "one machine alone is not two"
        house.now += 14 * 86400
        await room.play()
        ended = room.reviews.get(proposal)
        assert (ended.state, ended.reason) == ("rolled_back", "gates_unmet")
        (back,) = [m for m in ended.history if m["move"] == "roll_back"]
        assert back["note"] == "kept only when seen on 2 machines (it ran on 1)"
        assert house.events(OverlayAppended) == []
        assert any("on 2 machines and over a whole day" in line for line in ended.plan)

    asyncio.run(story())


def test_a_watch_keeps_a_holdback_and_ends_in_its_own_time(house, demo, kit) -> None:
    async def story() -> None:
        gates = Gates(hold_s=0.0, daily_cycle=False, nodes=1, watch_s=3600.0)
        room = await kit.open_room(house, replace(demo, gates=gates))
        proposal = await in_canary(room, kit)
        for _ in range(12):
            if room.state(proposal) == "watch":
                break
            await room.play()
        assert house.events(ExperimentRamped)[-1].event.shares == {"candidate": 0.95}
        await room.play()
        assert room.state(proposal) == "watch"
        house.now += 3600
        await room.play()
        assert room.state(proposal) == "kept"

    asyncio.run(story())


async def in_watch(room: Any, kit: Any, policy: Any) -> str:
    proposal = await in_canary(room, kit)
    for _ in range(12):
        if room.state(proposal) == "watch":
            break
        await room.play()
    assert room.state(proposal) == "watch"
    return proposal


def test_a_watch_that_shows_terminal_failures_does_not_end_in_keeping(house, demo, kit) -> None:
    async def story() -> None:
        gates = Gates(hold_s=0.0, daily_cycle=False, nodes=1, watch_s=3600.0)
        room = await kit.open_room(house, replace(demo, gates=gates))
        proposal = await in_watch(room, kit, demo)
        check = room.experiments.trials["x-" + proposal[2:]].verification
        for _ in range(30):
            check.add(Unit("candidate", 0.95, 50, 1, 0.001, failed_items=50))
        house.now += 3600
        await room.tick()
        await room.play()
        assert room.state(proposal) == "rolled_back"
        assert house.events(OverlayAppended) == []

    asyncio.run(story())


def test_a_kept_change_has_its_outcome_however_long_it_was_watched(house, demo, kit) -> None:
    async def story() -> None:
        gates = Gates(hold_s=0.0, daily_cycle=False, nodes=1, watch_s=3600.0)
        room = await kit.open_room(house, replace(demo, gates=gates))
        proposal = await in_watch(room, kit, demo)
        for _ in range(demo.verify.horizon_runs):
            await room.play()
        house.now += 3600
        await room.play()
        kept = room.reviews.get(proposal)
        assert kept.state == "kept"
        assert kept.outcome["realised"] < -0.1
        assert (kept.verdict["verdict"], kept.verdict["reason"]) == ("better", "gain_proven")

    asyncio.run(story())


def test_a_trial_whose_units_cannot_be_read_is_taken_back_at_once(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await in_canary(room, kit)

        def broken(unit: Any) -> None:
            raise ValueError("no such arm")

        room.experiments.trials["x-" + proposal[2:]].verification.add = broken
        await room.play()
        assert room.state(proposal) == "rolled_back"
        assert "units cannot be read" in str(room.reviews.get(proposal).history)
        assert house.events(OverlayAppended) == []

    asyncio.run(story())


def test_a_way_back_never_leads_to_a_value_approved_for_other_code(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        first = await room.reviews.propose(kit.change(50), "opt", kit.AUTHOR)
        await room.reviews.approve(first.id, "ann", kit.APPROVER)
        assert await room.tried(first.id) == "kept"
        house.register(code="items + []")
        assert house.layers.stable("demo/cohort", "enrich", bound(house)) == {}
        second = await room.reviews.propose(kit.change(40), "opt", kit.AUTHOR)
        await room.reviews.approve(second.id, "ann", kit.APPROVER)
        assert await room.tried(second.id) == "kept"
        await room.reviews.rollback(second.id, "ann", kit.APPROVER)
        await room.play()
        assert house.layers.stable("demo/cohort", "enrich", bound(house)) == {}

    asyncio.run(story())


def test_an_experiment_that_only_harms_says_so_in_its_reason_and_lesson(house, demo, kit) -> None:
    async def story() -> None:
        house.work = kit.Work(limit=40)
        room = await kit.open_room(house, demo)
        view = await room.reviews.propose(kit.experiment([50, 100]), "opt", kit.AUTHOR)
        await room.reviews.approve(view.id, "ann", kit.APPROVER)
        assert await room.tried(view.id) == "rolled_back"
        ended = room.reviews.get(view.id)
        assert (ended.reason, ended.verdict["verdict"]) == ("harm", "worse")
        assert "every value tried is proven worse" in ended.lesson["text"]

    asyncio.run(story())


def test_a_crash_in_any_state_changes_nothing_that_follows(house, demo, kit) -> None:
    """Services that know only the journal, opened anew in each state, end the same way."""

    async def story() -> None:
        room = await kit.open_room(house, demo)
        view = await room.reviews.propose(kit.change(50), "opt", kit.AUTHOR)
        await room.reviews.approve(view.id, "ann", kit.APPROVER)
        woken, before = 0, ""
        while room.state(view.id) != "kept":
            run = house.submit()
            while run in house.live and house.step():
                if not room.experiments.woken:
                    continue
                woken += 1
                if room.state(view.id) != before or woken % 20 == 0:
                    before = room.state(view.id)
                    house.forget()
                    room = await kit.open_room(house, demo)
                await room.tick()
        assert len(house.events(OverlayAppended)) == 1
        assert len(house.events(ExperimentStarted)) == 1
        assert len(house.events(ExperimentEnded)) == 1

    asyncio.run(story())


def test_a_trial_read_again_from_the_journal_has_the_same_units(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await in_canary(room, kit)
        run = house.submit()
        for _ in range(150):
            house.step()
        trial = "x-" + proposal[2:]
        heard = room.experiments.trials[trial].finding(1)
        house.forget()
        again = await kit.open_room(house, demo)
        assert again.experiments.trials[trial].finding(1) == heard
        while run in house.live and house.step():
            pass
        assert again.experiments.trials[trial].units.ended_runs == 1

    asyncio.run(story())

"""Shadow: history is replayed before live work, and may only speak against a change."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from control_plane.intake import draft
from control_plane.review.explain import explain
from control_plane.review.plan import plan
from control_plane.review.policy import Freeze, Shadow
from control_plane.review.policy_file import PolicyFaults, parse
from control_plane.review.reasons import Reason
from control_plane.review.shadow import Replayed, judge
from control_plane.review.tighten import tighten
from control_plane.shadows import Shadows
from control_plane.web.dossier import gather
from control_plane.web.trial import replay
from control_plane.what_if import Rehearsal, rehearse
from optimizer.simulate.estimate import Band
from optimizer.simulate.shadow import Check
from runtime.journal.port import Append, JournalReader
from runtime.run.events import (
    ExperimentEnded,
    ExperimentStarted,
    KillSet,
    LessonRecorded,
    ProposalMoved,
)


def check(lower: float, **facts: Any) -> Check:
    """What five runs say: from ``lower`` up by a fifth."""
    plain = Check(5, Band(lower, lower + 0.1, lower + 0.2), 0, 0.02)
    return replace(plain, **facts)


WORSE, BETTER = check(0.5), check(-0.5)
NOBODY = check(0, runs=0, makespan_delta=None, calibration_error=None, cannot_say={"one_size": 5})


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (WORSE, "simulated_worse"),
        (BETTER, "simulated"),
        (check(0.19), "simulated"),
        (check(0.5, calibration_error=0.3), "simulated"),
        (check(0.5, runs=2), "cannot_simulate"),
        (NOBODY, "cannot_simulate"),
        (replace(NOBODY, cannot_say={"run_would_fail": 5}), "simulated_worse"),
        (replace(NOBODY, cannot_say={"run_would_fail": 2}), "cannot_simulate"),
    ],
)
def test_a_change_fails_only_when_replays_that_can_be_trusted_are_clearly_worse(
    kit, said: Check, reason: str
) -> None:
    drafted = draft(kit.change(50), "opt", "p-1", "")
    ruling = judge(drafted, Shadow(), Replayed({"candidate": said}))
    assert ruling.reason.value == reason
    assert ruling.facts == said.to_json()


def test_a_proposal_for_less_cost_is_judged_by_its_cost(kit) -> None:
    drafted = draft(kit.change(50), "opt", "p-1", "").but(objective="cost")

    def reason(said: Check) -> str:
        return judge(drafted, Shadow(), Replayed({"candidate": said})).reason.value

    assert reason(check(0.5, cost_delta=Band(-0.3, -0.2, -0.1))) == "simulated"
    assert reason(check(-0.5, cost_delta=Band(0.3, 0.4, 0.5))) == "simulated_worse"
    assert reason(check(0.5, cost_delta=None)) == "cannot_simulate"


def test_hours_are_not_held_to_how_long_a_run_waits_for_them(kit) -> None:
    drafted = draft(kit.change(50), "opt", "p-1", "").but(knob_class="schedule")
    ruling = judge(drafted, Shadow(), Replayed({"candidate": check(40.0)}))
    assert ruling.reason is Reason.CANNOT_SIMULATE
    cost = check(40.0, cost_delta=Band(-0.3, -0.2, -0.1))
    priced = judge(drafted.but(objective="cost"), Shadow(), Replayed({"candidate": cost}))
    assert priced.reason is Reason.SIMULATED


def test_an_experiment_never_fails_and_tells_what_is_said_of_each_arm(kit) -> None:
    drafted = draft(kit.experiment([10, 50]), "opt", "p-1", "")
    arms = {"candidate.1": WORSE, "candidate.2": NOBODY}
    ruling = judge(drafted, Shadow(), Replayed(arms))
    assert ruling.reason is Reason.SIMULATED
    assert ruling.facts["arms"]["candidate.2"]["cannot_say"] == {"one_size": 5}
    silent = judge(drafted, Shadow(), Replayed(dict.fromkeys(arms, NOBODY)))
    assert silent.reason is Reason.CANNOT_SIMULATE


def test_what_will_happen_is_said_before_the_approval(kit, demo) -> None:
    def said(candidate: Any) -> str:
        return explain(plan(draft(candidate, "opt", "p-1", ""), demo))[1]

    assert "latest 5 runs" in said(kit.change(50))
    assert "ends here if they clearly took over 20% more time" in said(kit.change(50))
    assert "the experiment goes on" in said(kit.experiment([10, 50]))
    hours = draft(kit.change(50), "opt", "p-1", "").but(knob_class="schedule")
    assert "ends here" not in explain(plan(hours, demo))[1]


def test_of_two_policies_the_one_that_fails_a_change_sooner_holds(demo) -> None:
    loose = replace(demo, verify=replace(demo.verify, shadow=Shadow(5, 3, 0.5, 0.05)))
    for both in (tighten(loose, demo), tighten(demo, loose)):
        assert (both.verify.shadow.max_worse, both.verify.shadow.max_error) == (0.20, 0.15)
    with pytest.raises(PolicyFaults, match="min_runs"):
        parse("verify: {shadow: {runs: 2, min_runs: 3}}")


# ---- stories ------------------------------------------------------------------------------


def vetoing(policy):
    """The policy with a replay that may fail a change, as in production."""
    shadow = replace(policy.verify.shadow, vetoes=True)
    return replace(policy, verify=replace(policy.verify, shadow=shadow))


async def played(house: Any, demo: Any, kit: Any, runs: int = 3) -> Any:
    room = await kit.open_room(house, demo)
    for _ in range(runs):
        await room.play()
    return room


async def approved(room: Any, candidate: Any, kit: Any) -> str:
    view = await room.reviews.propose(candidate, "opt", kit.AUTHOR)
    assert view.state == "proposed", view.reason_words
    await room.reviews.approve(view.id, "ann", kit.APPROVER, view.bound_hash)
    return str(view.id)


def out_of_shadow(room: Any, proposal: str) -> Any:
    (line,) = [m for m in room.reviews.get(proposal).history if m["source"] == "shadow"]
    return line


def page(house: Any, proposal: str) -> Sequence[str]:
    dossier = gather(proposal, house.journal.read(f"proposal/{proposal}"))
    assert dossier is not None
    return replay(dossier)


def test_a_size_never_seen_is_tried_because_history_cannot_say(house, demo, kit) -> None:
    async def story() -> None:
        house.work = kit.Work(limit=40)
        room = await played(house, demo, kit)
        proposal = await approved(room, kit.change(50), kit)
        await room.tick()
        moved = out_of_shadow(room, proposal)
        assert (moved["target"], moved["reason"]) == ("canary", "cannot_simulate")
        assert moved["facts"]["cannot_say"] == {"one_size": 3}
        assert page(house, proposal) == ["3 runs cannot say: only one size was ever seen."]
        assert await room.tried(proposal) == "rolled_back"

    asyncio.run(story())


def test_without_a_completed_run_there_is_nothing_to_replay_and_it_is_tried(
    house, demo, kit
) -> None:
    async def story() -> None:
        room = await played(house, demo, kit, runs=0)
        proposal = await approved(room, kit.change(50), kit)
        await room.tick()
        assert out_of_shadow(room, proposal)["reason"] == "cannot_simulate"
        assert page(house, proposal)[0].startswith("No run of this version has completed yet")

    asyncio.run(story())


def test_a_change_that_history_speaks_against_fails_before_live_work_and_is_not_proposed_again(
    house, demo, kit
) -> None:
    async def story() -> None:
        room = await played(house, vetoing(demo), kit)
        learned = await approved(room, kit.experiment([10, 50]), kit)
        assert await room.tried(learned) == "learned"
        started = len(house.events(ExperimentStarted))
        bad = await approved(room, kit.change(13), kit)
        await room.tick()
        assert room.state(bad) == "failed"
        moved = out_of_shadow(room, bad)
        assert (moved["move"], moved["reason"]) == ("fail", "simulated_worse")
        assert moved["facts"]["makespan_range"][0] > 0.2
        assert moved["facts"]["runs"] >= 3
        assert "replayed under it: time of the run" in page(house, bad)[0]
        assert len(house.events(ExperimentStarted)) == started, "no live work was touched"
        assert house.events(LessonRecorded)[-1].event.reason == "simulated_worse"
        again = await room.reviews.propose(kit.change(13), "opt", kit.AUTHOR)
        assert (again.state, again.reason) == ("discarded", "suppressed")
        told = {p["proposal"]: p["reason"] for p in room.drafts.scopes()[0]["last"]}
        assert told[bad] == "simulated_worse"
        harmless = {p["proposal"]: p["harmless"] for p in room.drafts.scopes()[0]["last"]}
        assert harmless == {learned: {"each.batch": [25, 50]}, bad: {}}, "10 did harm"
        good = await approved(room, kit.change(50), kit)
        await room.tick()
        moved = out_of_shadow(room, good)
        assert (moved["target"], moved["reason"]) == ("canary", "simulated")
        assert moved["facts"]["makespan_delta"] < -0.1
        assert moved["facts"]["calibration_error"] < 0.15

    asyncio.run(story())


def test_a_replay_that_breaks_down_neither_blocks_nor_advances_silently(
    house, demo, kit, caplog
) -> None:
    async def story() -> None:
        room = await played(house, demo, kit)
        room.experiments.shadows = Shadows(lambda: closing(Broken()))  # type: ignore[arg-type]
        with caplog.at_level(logging.ERROR):
            proposal = await approved(room, kit.change(50), kit)
            await room.tick()
        moved = out_of_shadow(room, proposal)
        assert (moved["target"], moved["reason"]) == ("canary", "simulation_failed")
        assert moved["facts"] == {"error": "OSError: the disk is gone"}
        assert "the disk is gone" in page(house, proposal)[0]
        assert proposal in caplog.text

    asyncio.run(story())


class Broken:
    """A journal whose disk is gone."""

    def runs(self, **_: Any) -> list[Any]:
        raise OSError("the disk is gone")

    def close(self) -> None:
        pass


class Slow:
    """A reader that waits until it is let go."""

    def __init__(self, journal: JournalReader) -> None:
        self.journal, self.go = journal, threading.Event()

    @contextmanager
    def __call__(self) -> Iterator[JournalReader]:
        assert self.go.wait(30)
        yield self.journal


async def in_shadow(room: Any, house: Any, kit: Any, **limits: float) -> tuple[str, Slow]:
    """A proposal whose replay does not end before it is let go."""
    slow = Slow(house.journal)
    room.experiments.shadows = Shadows(slow, **limits)
    proposal = await approved(room, kit.change(50), kit)
    await room.experiments.tick()
    assert room.state(proposal) == "shadow"
    return proposal, slow


def test_a_replay_that_does_not_end_in_time_is_given_up(house, demo, kit) -> None:
    async def story() -> None:
        room = await played(house, demo, kit)
        proposal, slow = await in_shadow(room, house, kit, limit_s=0.01, grace_s=0.01)
        await room.tick()
        slow.go.set()
        moved = out_of_shadow(room, proposal)
        assert (moved["target"], moved["reason"]) == ("canary", "simulation_failed")
        assert moved["facts"]["error"] == "TimeoutError: it was not done after 0.02 s"

    asyncio.run(story())


def test_the_kill_switch_and_a_person_take_a_proposal_back_out_of_shadow(house, demo, kit) -> None:
    async def story() -> None:
        room = await played(house, demo, kit)
        first, slow = await in_shadow(room, house, kit)
        await room.reviews.rollback(first, "ann", kit.APPROVER, "not now")
        slow.go.set()
        await room.tick()
        assert room.state(first) == "rolled_back"
        second = await approved(room, kit.change(40), kit)
        room.experiments.shadows = Shadows(slow)
        slow.go.clear()
        await room.experiments.tick()
        await house.append([Append("kill", 0, house.now, (KillSet("*", True, "ann", "stop"),))])
        await room.experiments.tick()
        slow.go.set()
        await room.tick()
        assert room.state(second) == "rolled_back"
        assert house.events(ExperimentStarted) == house.events(ExperimentEnded) == []

    asyncio.run(story())


def test_a_restart_in_shadow_replays_again_and_goes_on(house, demo, kit) -> None:
    async def story() -> None:
        room = await played(house, demo, kit)
        proposal, slow = await in_shadow(room, house, kit)
        await room.experiments.close()
        slow.go.set()
        house.forget()
        again = await kit.open_room(house, demo)
        await again.tick()
        assert again.state(proposal) == "canary"
        starts = [r for r in house.events(ProposalMoved) if r.event.move == "start"]
        assert len(starts) == 1

    asyncio.run(story())


def test_a_freeze_that_begins_meanwhile_holds_a_proposal_in_shadow(house, demo, kit) -> None:
    async def story() -> None:
        room = await played(house, demo, kit)
        proposal, slow = await in_shadow(room, house, kit)
        ends = house.now + 3600.0
        room.reviews.policy = replace(demo, freeze=(Freeze(house.now, ends),))
        slow.go.set()
        await room.tick()
        assert room.state(proposal) == "shadow"
        house.now = ends
        await room.tick()
        assert room.state(proposal) == "canary"

    asyncio.run(story())


# ---- the rehearsal ----------------------------------------------------------------------------


def test_a_rehearsal_reads_the_version_s_own_runs_within_bounds(house, demo, kit) -> None:
    async def story() -> None:
        room = await played(house, demo, kit, runs=2)
        old = house.catalogue.latest(kit.PATH)
        house.register(code="list(items)")
        await room.play()
        wanted = Rehearsal(
            old.playbook, kit.PATH, old.registered.version, "enrich",
            {"each.in_flight": 2}, {"candidate": {"each.in_flight": 4}}, 5, "seed",
        )  # fmt: skip
        said = rehearse(house.journal, wanted, 2, lambda: True)["candidate"]
        assert said.runs == 2
        assert said == rehearse(house.journal, wanted, 2, lambda: True)["candidate"]
        late = rehearse(house.journal, wanted, 2, lambda: False)["candidate"]
        assert (late.runs, late.cannot_say) == (0, {"too_long": 2})
        one = replace(wanted, runs=1)
        assert rehearse(house.journal, one, 2, lambda: True)["candidate"].runs == 1

    asyncio.run(story())


def test_only_runs_on_the_values_in_force_are_asked_and_the_others_are_history(
    house, demo, kit
) -> None:
    async def story() -> None:
        room = await played(house, demo, kit)
        kept = await approved(room, kit.change(50), kit)
        assert await room.tried(kept) == "kept"
        await room.play()
        version = house.catalogue.latest(kit.PATH)
        wanted = Rehearsal(
            version.playbook, kit.PATH, version.registered.version, "enrich",
            {"each.batch": 50}, {"candidate": {"each.batch": 25}}, 5, "seed",
        )  # fmt: skip
        said = rehearse(house.journal, wanted, 2, lambda: True)["candidate"]
        assert (said.runs, said.cannot_say) == (1, {"other_values": 4})
        assert said.makespan_delta.lower > 0.2, "from the runs at 25 it is known what they took"

    asyncio.run(story())


def test_a_run_past_the_bound_is_left_out_and_said_to_be(house, demo, kit, monkeypatch) -> None:
    async def story() -> None:
        room = await played(house, demo, kit, runs=2)
        await room.play(items=8000)
        monkeypatch.setattr("control_plane.what_if.REHEARSED", 600)
        version = house.catalogue.latest(kit.PATH)
        wanted = Rehearsal(
            version.playbook, kit.PATH, version.registered.version, "enrich",
            {"each.in_flight": 2}, {"candidate": {"each.in_flight": 4}}, 3, "seed",
        )  # fmt: skip
        said = rehearse(house.journal, wanted, 2, lambda: True)["candidate"]
        assert (said.runs, said.cannot_say) == (2, {"too_long": 1})

    asyncio.run(story())

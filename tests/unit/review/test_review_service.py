from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from control_plane.errors import Conflict, Forbidden, Invalid, NotFound
from control_plane.review.candidate import candidate_of
from control_plane.review.policy_file import parse
from optimizer.evidence import is_intact
from runtime.journal.port import Append
from runtime.run.events import LessonRecorded, OverlayAppended, PolicySet, ProposalMoved


async def proposed(room: Any, kit: Any, to: int = 50) -> str:
    view = await room.reviews.propose(kit.change(to), "opt", kit.AUTHOR)
    assert view.state == "proposed", view.checks
    return str(view.id)


@pytest.mark.parametrize(
    ("actor", "roles", "reason"),
    [
        ("opt", {"approver"}, "own_proposal"),
        ("ann", {"reviewer"}, "role"),
        ("ann", set(), "role"),
        ("bot", {"approver", "agent"}, "agent"),
        ("bot", {"agent"}, "agent"),
    ],
)
def test_who_may_not_approve_is_told_why_and_nothing_is_written(
    house, demo, kit, actor: str, roles: set[str], reason: str
) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await proposed(room, kit)
        before = len(house.events())
        with pytest.raises(Forbidden) as refused:
            await room.reviews.approve(proposal, actor, frozenset(roles))
        assert refused.value.reason == reason
        assert len(house.events()) == before

    asyncio.run(story())


@pytest.mark.parametrize("verb", ["approve", "reject", "rollback", "pause", "resume"])
def test_an_agent_decides_nothing(house, demo, kit, verb: str) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await proposed(room, kit)
        everything = frozenset({"approver", "reviewer", "operator", "agent"})
        with pytest.raises(Forbidden):
            await getattr(room.reviews, verb)(proposal, "bot", everything)

    asyncio.run(story())


def test_an_approval_is_bound_to_what_was_read(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await proposed(room, kit)
        read = room.reviews.get(proposal).bound_hash
        with pytest.raises(Conflict) as refused:
            await room.reviews.approve(proposal, "ann", kit.APPROVER, "0" * 32)
        assert (refused.value.reason, refused.value.hint != "") == ("stale_approval", True)
        approved = await room.reviews.approve(proposal, "ann", kit.APPROVER, read)
        assert (approved.state, approved.approved_hash) == ("approved", read)
        with pytest.raises(Conflict) as again:
            await room.reviews.approve(proposal, "ann", kit.APPROVER, read)
        assert again.value.reason == "state"

    asyncio.run(story())


def test_new_code_voids_an_approval_that_comes_and_one_that_was_given(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        early, late = await proposed(room, kit), ""
        await room.reviews.approve(early, "ann", kit.APPROVER)
        view = await room.reviews.propose(kit.change(40), "opt", kit.AUTHOR)
        late = view.id
        house.register(code="items[::-1]")
        with pytest.raises(Conflict) as refused:
            await room.reviews.approve(late, "ann", kit.APPROVER)
        assert refused.value.reason == "stale"
        await room.tick()
        assert [room.state(p) for p in (early, late)] == ["stale", "stale"]
        assert room.reviews.get(early).reason == "code_changed"
        assert house.layers.experiments == {}

    asyncio.run(story())


def test_a_moved_base_makes_a_proposal_stale_and_is_never_merged(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await proposed(room, kit)
        await room.reviews.approve(proposal, "ann", kit.APPROVER)
        bound = house.catalogue.latest(kit.PATH).bound("enrich")
        other = OverlayAppended(
            kit.PATH, "enrich", {"each.batch": 30}, {"each.batch": None}, bound, "p-x", "a", "b"
        )  # fmt: skip
        await house.append([Append(f"overlay/{kit.PATH}", 0, house.now, (other,))])
        await room.tick()
        assert (room.state(proposal), room.reviews.get(proposal).reason) == ("stale", "base_moved")

    asyncio.run(story())


def test_another_key_that_moved_makes_nothing_stale(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await proposed(room, kit)
        bound = house.catalogue.latest(kit.PATH).bound("enrich")
        other = OverlayAppended(
            kit.PATH, "enrich", {"each.in_flight": 4}, {"each.in_flight": None}, bound, "p-x",
            "a", "b",
        )  # fmt: skip
        await house.append([Append(f"overlay/{kit.PATH}", 0, house.now, (other,))])
        await room.reviews.approve(proposal, "ann", kit.APPROVER)
        await room.tick()
        assert room.state(proposal) == "canary"

    asyncio.run(story())


def test_of_two_proposals_for_one_step_one_wins_the_lock_and_the_other_waits(
    house, demo, kit
) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        first = await proposed(room, kit)
        faster = kit.change(4, before=2, knob="each.in_flight", cls="concurrency")
        second = (await room.reviews.propose(faster, "opt", kit.AUTHOR)).id
        both = [room.reviews.approve(p, "ann", kit.APPROVER) for p in (first, second)]
        await asyncio.gather(*both)
        await asyncio.gather(room.tick(), room.tick())
        assert sorted([room.state(first), room.state(second)]) == ["canary", "scheduled"]
        winner, waiting = sorted([first, second], key=room.state)
        await room.reviews.rollback(winner, "bob", kit.APPROVER)
        await room.tick()
        assert room.state(waiting) == "canary"

    asyncio.run(story())


def test_what_was_rejected_is_suppressed_until_something_material_is_new(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await proposed(room, kit)
        await room.reviews.reject(proposal, "ann", kit.APPROVER, "risky", "year end")
        (lesson,) = house.events(LessonRecorded)
        assert "year end" in lesson.event.text
        again = await room.reviews.propose(kit.change(50), "opt", kit.AUTHOR)
        assert (again.state, again.reason) == ("discarded", "suppressed")
        assert again.history[-1]["facts"]["of"] == proposal
        surer = await room.reviews.propose(kit.change(50, gain=-0.6), "opt", kit.AUTHOR)
        assert surer.state == "proposed"
        await room.reviews.reject(surer.id, "ann", kit.APPROVER)
        regime = await room.reviews.propose(kit.change(50, regime="r2"), "opt", kit.AUTHOR)
        assert regime.state == "proposed"
        await room.reviews.reject(regime.id, "ann", kit.APPROVER)
        house.now += demo.snooze_s
        later = await room.reviews.propose(kit.change(50), "opt", kit.AUTHOR)
        assert later.state == "proposed"

    asyncio.run(story())


def test_the_same_change_again_is_a_duplicate_and_another_value_supersedes(
    house, demo, kit
) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        first = await proposed(room, kit)
        twin = await room.reviews.propose(kit.change(50), "opt", kit.AUTHOR)
        assert (twin.state, twin.reason) == ("discarded", "duplicate")
        newer = await proposed(room, kit, 40)
        assert [room.state(p) for p in (first, newer)] == ["superseded", "proposed"]
        faster = kit.change(4, before=2, knob="each.in_flight", cls="concurrency")
        await room.reviews.propose(faster, "opt", kit.AUTHOR)
        assert room.state(newer) == "proposed"

    asyncio.run(story())


def test_nobody_decides_in_time_and_it_expires(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await proposed(room, kit)
        house.now += demo.expire_s
        await room.tick()
        assert room.state(proposal) == "expired"

    asyncio.run(story())


def test_what_was_approved_is_withdrawn_by_its_author_or_an_operator_before_it_starts(
    house, demo, kit
) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        one, two = await proposed(room, kit), ""
        with pytest.raises(Forbidden):
            await room.reviews.withdraw(one, "eve", frozenset({"reviewer"}))
        await room.reviews.withdraw(one, "opt", kit.AUTHOR)
        two = await proposed(room, kit)
        await room.reviews.approve(two, "ann", kit.APPROVER)
        await room.reviews.rollback(two, "bob", kit.APPROVER)
        assert [room.state(p) for p in (one, two)] == ["withdrawn", "withdrawn"]

    asyncio.run(story())


def test_modes_take_nothing_show_only_or_let_people_approve(house, demo, kit) -> None:
    async def story() -> None:
        off = await kit.open_room(house, replace(demo, mode="off"))
        nothing = await off.reviews.propose(kit.change(50), "opt", kit.AUTHOR)
        assert (nothing.state, nothing.reason) == ("discarded", "policy_off")
        house.forget()
        advise = await kit.open_room(house, replace(demo, mode="advise"))
        proposal = await proposed(advise, kit)
        with pytest.raises(Forbidden) as refused:
            await advise.reviews.approve(proposal, "ann", kit.APPROVER)
        assert refused.value.reason == "policy_mode"

    asyncio.run(story())


def test_a_policy_in_force_is_an_event_and_gates_again_what_was_blocked(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        blocked = await room.reviews.propose(kit.change(75), "opt", kit.AUTHOR)
        assert blocked.state == "blocked"
        house.forget()
        wider = parse(demo.source.replace("each.batch: x2", "each.batch: x3"))
        room = await kit.open_room(house, wider)
        assert room.state(blocked.id) == "proposed"
        assert [r.event.policy_hash for r in house.events(PolicySet)] == [demo.hash, wider.hash]

    asyncio.run(story())


def test_a_looser_policy_does_not_reach_what_was_approved_and_a_stricter_one_does(
    house, demo, kit
) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await proposed(room, kit)
        await room.reviews.approve(proposal, "ann", kit.APPROVER)
        house.forget()
        loose = parse(demo.source.replace("harm_alpha: 5%", "harm_alpha: 1%"))
        room = await kit.open_room(house, loose)
        await room.tick()
        live = house.layers.experiments[(kit.PATH, "enrich")]
        assert live.started.plan["harm_alpha"] == 0.05
        house.forget()
        bounds = "bounds:\n  - {knob: each.batch, max: 40}"
        strict = parse(demo.source.replace("bounds:", bounds))
        room = await kit.open_room(house, strict)
        await room.tick()
        assert room.state(proposal) == "rolled_back"
        assert room.reviews.get(proposal).lesson["reason"] == "policy_changed"

    asyncio.run(story())


def test_a_live_trial_survives_a_policy_whose_only_change_is_a_looser_one(
    house, demo, kit
) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await proposed(room, kit)
        await room.reviews.approve(proposal, "ann", kit.APPROVER)
        await room.tick()
        house.forget()
        loose = parse(demo.source.replace("max_live: 5", "max_live: 9"))
        room = await kit.open_room(house, loose)
        await room.tick()
        assert room.state(proposal) == "canary"

    asyncio.run(story())


def test_unknown_ids_states_and_reasons_are_refused_in_words(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        proposal = await proposed(room, kit)
        with pytest.raises(NotFound, match="p-none"):
            room.reviews.get("p-none")
        with pytest.raises(Invalid, match="rolled_back"):
            room.reviews.list("gone")
        with pytest.raises(Invalid, match="risky"):
            await room.reviews.reject(proposal, "ann", kit.APPROVER, "because")
        with pytest.raises(Conflict, match="is proposed and cannot roll_back"):
            await room.reviews.rollback(proposal, "ann", kit.APPROVER)

    asyncio.run(story())


def test_a_proposal_shows_what_a_reviewer_needs(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        view = room.reviews.get(await proposed(room, kit))
        assert view.allowed == [
            "approve", "reject", "supersede", "expire", "invalidate", "withdraw",
        ]  # fmt: skip
        assert view.checks == []
        assert view.plan[0].startswith("wait until no other proposal is live")
        assert "each.batch = 50" in view.plan[-1]
        assert is_intact(view.evidence)
        assert room.reviews.list("proposed") == [view]
        blocked = await room.reviews.propose(kit.change(60), "opt", kit.AUTHOR)
        assert [check["reason"] for check in blocked.checks] == ["step_too_large"]

    asyncio.run(story())


def test_every_fault_of_a_candidate_is_named_at_once(kit) -> None:
    good = kit.change(50).to_json()
    with pytest.raises(Invalid) as refused:
        candidate_of({**good, "diff": "each.batch", "base": None})
    assert [e.split(":")[0] for e in refused.value.errors] == ["diff", "base"]
    with pytest.raises(Invalid):
        candidate_of([good])
    assert candidate_of(good) == kit.change(50)


def test_evidence_that_was_edited_is_refused(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        view = room.reviews.get(await proposed(room, kit))
        edited = replace(kit.change(40), evidence={**view.evidence, "support": 0.99})
        with pytest.raises(Invalid, match="its id is not the hash"):
            await room.reviews.propose(edited, "opt", kit.AUTHOR)

    asyncio.run(story())


def test_whoever_is_neither_author_nor_optimizer_proposes_nothing(house, demo, kit) -> None:
    async def story() -> None:
        room = await kit.open_room(house, demo)
        with pytest.raises(Forbidden):
            await room.reviews.propose(kit.change(50), "eve", frozenset({"viewer"}))
        assert house.events(ProposalMoved) == []

    asyncio.run(story())

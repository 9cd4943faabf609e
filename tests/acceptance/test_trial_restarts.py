"""A trial over the real engine, whose server stops, whose code changes, whose switch is thrown.

The playbook's calls take a few milliseconds; a batch above 12 items fails, as services do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from calls import change, write
from control_plane.experiments import ExperimentService
from control_plane.review.policy import Policy, Stage
from control_plane.review.profiles import load as load_policy
from control_plane.reviews import ReviewService
from control_plane.shadows import Shadows
from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.engine.local import open_local
from runtime.journal.port import Append
from runtime.journal.sqlite import SqliteReader
from runtime.playbook.bundle import load
from runtime.run.events import (
    AttemptFinished,
    AttemptScheduled,
    EachCut,
    ExperimentEnded,
    ExperimentStarted,
    KillSet,
    OutcomeRecorded,
    OverlayAppended,
    VerdictReached,
)

ITEMS = 900
PEOPLE = frozenset({"approver"})


@dataclass
class Shop:
    """One server's life: the engine with the two services over it."""

    engine: Engine
    reviews: ReviewService
    experiments: ExperimentService

    def state(self, proposal: str) -> str:
        return self.reviews.get(proposal).state

    async def until(self, holds: Callable[[], bool], within_s: float = 240.0) -> None:
        """Wait until something holds; the services act by themselves."""
        async with asyncio.timeout(within_s):
            while not holds():
                await asyncio.sleep(0.005)

    async def proposed(self, values: tuple[int, int] = (5, 10)) -> str:
        view = await self.reviews.propose(change(*values), "opt", frozenset({"author"}))
        assert view.state == "proposed", view.reason_words
        await self.reviews.approve(view.id, "ann", PEOPLE, view.bound_hash)
        return view.id

    def events(self, kind: type) -> list[Any]:
        found = self.engine.journal.follow({}, 10_000_000)
        return [r.event for r in found if isinstance(r.event, kind)]


@asynccontextmanager
async def opened(root: Path, policy: Policy) -> AsyncIterator[Shop]:
    async with open_local(DataFolder(root / "data"), slots=2) as engine:
        await engine.register(load(root / "calls.yaml"), "author")
        count = len(engine.journal.streams("proposal/"))
        ids = iter(f"{0xFFF - n:012x}" for n in range(count, 100))  # later ids sort first
        reviews = ReviewService(engine, policy, clock=time.time, new_id=lambda: next(ids))
        await reviews.start()
        shadows = Shadows(lambda: closing(SqliteReader.open(engine.folder.journal)), 2)
        experiments = ExperimentService(
            engine, reviews, time.time, lambda: "pinch of salt", shadows
        )
        await experiments.start()
        try:
            yield Shop(engine, reviews, experiments)
        finally:
            await experiments.close()
            reviews.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, ITEMS)
    return tmp_path


@pytest.fixture
def policy() -> Policy:
    return replace(load_policy("demo"), ramp=(Stage(0.2, 5), Stage(0.5, 40)))


def play(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(story())  # type: ignore[arg-type]


async def taken_back(shop: Shop, proposal: str) -> None:
    await shop.until(lambda: shop.state(proposal) == "rolled_back")


def test_a_server_that_stops_in_the_middle_of_each_stage_ends_the_trial_once(
    root: Path, policy: Policy
) -> None:
    async def story() -> None:
        async with opened(root, policy) as shop:
            proposal = await shop.proposed()
            await shop.until(lambda: shop.state(proposal) == "canary")
        for _ in range(12):
            async with opened(root, policy) as shop:
                live = shop.engine.journal.runs(state="live")
                run = live[0].run if live else await shop.engine.submit(Submit("test/calls"))
                stage = shop.reviews.get(proposal).stage
                done = len(shop.events(AttemptFinished))
                await shop.until(
                    lambda d=done, s=stage, r=run, at=shop: (
                        len(at.events(AttemptFinished)) > d + 60
                        or at.reviews.get(proposal).stage != s
                        or at.state(proposal) == "kept"
                        or at.engine.journal.run(r).state == "completed"
                    )
                )
                if shop.state(proposal) == "kept":
                    break
        async with opened(root, policy) as shop:
            assert shop.state(proposal) == "kept"
            for kind in (
                ExperimentStarted, ExperimentEnded, OverlayAppended, VerdictReached,
                OutcomeRecorded,
            ):  # fmt: skip
                assert len(shop.events(kind)) == 1, kind
            for row in shop.engine.journal.runs(state="live"):
                assert (await shop.engine.wait(row.run)).state == "completed"
            for row in shop.engine.journal.runs():
                assert shop.engine.values(row.run)["call"]["items"] == 900

    play(story)


def test_a_restart_after_an_older_trial_draws_for_the_live_one(root: Path, policy: Policy) -> None:
    async def story() -> None:
        async with opened(root, policy) as shop:
            older = await shop.proposed((5, 9))
            await shop.until(lambda: shop.state(older) == "canary")
            await shop.reviews.rollback(older, "ann", PEOPLE)
            await taken_back(shop, older)
            newer = await shop.proposed((5, 10))
            assert newer < older
            await shop.until(lambda: shop.state(newer) == "canary")
        async with opened(root, policy) as shop:
            await shop.engine.wait(await shop.engine.submit(Submit("test/calls")))
            drawn = {cut.experiment for cut in shop.events(EachCut)}
            assert drawn == {"x" + newer[1:]}

    play(story)


def test_a_server_that_stops_before_the_rescue_rescues_at_its_next_start(
    root: Path, policy: Policy
) -> None:
    """The end of a trial is durable; what it left half cut is cut again after the restart."""

    write(root, ITEMS, call_s=0.03)

    async def story() -> None:
        async with opened(root, policy) as shop:
            proposal = await shop.proposed((5, 3))  # five batches a block, two at once
            await shop.until(lambda: shop.state(proposal) == "canary")
            run = await shop.engine.submit(Submit("test/calls"))
            await shop.until(lambda: any(c.arm == "candidate" for c in shop.events(EachCut)))
            shop.engine._rescue = lambda experiment: None  # type: ignore[method-assign]
            await shop.reviews.rollback(proposal, "ann", PEOPLE)
        async with opened(root, policy) as shop:
            assert (await shop.engine.wait(run)).state == "completed"
            await taken_back(shop, proposal)
            assert shop.engine.values(run)["call"]["items"] == 900
            assert shop.engine.values(run)["call"]["failed"] == 0
            found = shop.engine.journal.follow({}, 10_000_000)
            again = [r.event for r in found if r.writer == max(shop.engine.journal.heads())]
            later = [e for e in again if isinstance(e, AttemptScheduled)]
            assert {a.arm for a in later} <= {None, "control"}, "no candidate's batch goes on"

    play(story)


def test_new_code_in_the_middle_of_a_trial_ends_it_and_suspends_what_was_kept(
    root: Path, policy: Policy
) -> None:
    async def story() -> None:
        async with opened(root, policy) as shop:
            engine = shop.engine
            bound = engine.catalogue.latest("test/calls").bound("call")
            kept = OverlayAppended(
                "test/calls", "call", {"each.batch": 8}, {"each.batch": None}, bound, "p-0",
                "opt", "ann", "kept",
            )  # fmt: skip
            await engine.append([Append("overlay/test/calls", 0, time.time(), (kept,))])
            proposal = await shop.proposed((8, 10))
            run = await engine.submit(Submit("test/calls"))
            await shop.until(lambda: len(shop.events(AttemptFinished)) > 10)
            write(root, ITEMS, more="\nMORE = 1\n")
            await engine.register(load(root / "calls.yaml"), "author")
            await taken_back(shop, proposal)
            view = shop.reviews.get(proposal)
            assert [m["reason"] for m in view.history if m["move"] == "roll_back"] == [
                "code_changed"
            ]
            assert (await engine.wait(run)).state == "completed"
            now = engine.catalogue.latest("test/calls").bound("call")
            assert engine.layers.suspended("test/calls", "call", now) == ["each.batch"]
            await engine.wait(await engine.submit(Submit("test/calls")))
            assert shop.events(EachCut)[-1].size == 5, "the author's own value, until approved"

    play(story)


def test_the_kill_switch_takes_a_live_trial_back_and_nothing_is_drawn_while_it_is_set(
    root: Path, policy: Policy
) -> None:
    async def story() -> None:
        async with opened(root, policy) as shop:
            proposal = await shop.proposed()
            await shop.until(lambda: shop.state(proposal) == "canary")
            run = await shop.engine.submit(Submit("test/calls"))
            await shop.until(lambda: any(c.arm == "candidate" for c in shop.events(EachCut)))
            kill = KillSet("test/calls", True, "ann", "look into it")
            await shop.engine.append([Append("kill", 0, time.time(), (kill,))])
            await taken_back(shop, proposal)
            assert (await shop.engine.wait(run)).state == "completed"
            again = await shop.proposed((5, 9))
            await shop.engine.wait(await shop.engine.submit(Submit("test/calls")))
            assert shop.state(again) == "scheduled", "it waits until the switch is released"
            assert shop.events(EachCut)[-1].experiment is None

    play(story)

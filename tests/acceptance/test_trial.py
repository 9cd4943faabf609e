"""A proposal's whole life over the real engine, journal and workers, without any record."""

from __future__ import annotations

import asyncio
import itertools
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from calls import change, write
from control_plane.experiments import ExperimentService
from control_plane.review.policy import Policy, Stage
from control_plane.review.profiles import load as load_policy
from control_plane.reviews import ReviewService
from control_plane.shadows import Shadows
from runtime.data.folder import DataFolder
from runtime.engine.engine import Engine, Submit
from runtime.engine.local import open_local
from runtime.journal.sqlite import SqliteReader
from runtime.playbook.bundle import load
from runtime.run.events import EachCut, ExperimentEnded, OverlayAppended

PASSING = ("approved", "scheduled", "shadow", "rolling_back")
CALM = frozenset({"approver"})
PATIENT_S = 120.0
"""A busy machine replays the same runs as a quiet one."""


async def opened(engine: Engine, policy: Policy) -> tuple[ReviewService, ExperimentService]:
    ids = (f"{n:012x}" for n in itertools.count(1))
    reviews = ReviewService(engine, policy, clock=time.time, new_id=lambda: next(ids))
    await reviews.start()
    shadows = Shadows(
        lambda: closing(SqliteReader.open(engine.folder.journal)), 2, limit_s=PATIENT_S
    )
    experiments = ExperimentService(engine, reviews, time.time, lambda: "pinch of salt", shadows)
    await experiments.start()
    return reviews, experiments


async def passed(reviews: ReviewService, proposal: str) -> None:
    """Wait until a proposal is where only work, or nothing, moves it on."""
    async with asyncio.timeout(PATIENT_S):
        while reviews.get(proposal).state in PASSING:
            await asyncio.sleep(0.01)


async def settled(engine: Engine, reviews: ReviewService, proposal: str) -> str:
    for _ in range(8):
        await engine.wait(await engine.submit(Submit("test/calls")))
        await passed(reviews, proposal)
        if reviews.get(proposal).state in ("kept", "rolled_back"):
            break
    return reviews.get(proposal).state


def test_a_better_size_is_kept_and_a_harmful_one_rolled_back_with_real_workers(
    tmp_path: Path,
) -> None:
    book = write(tmp_path, 1200)
    demo = load_policy("demo")
    policy = replace(demo, ramp=(Stage(0.2, 5), Stage(0.5, 40)))

    async def story() -> None:
        folder = DataFolder(tmp_path / "data")
        async with open_local(folder, slots=2) as engine:
            await engine.register(load(book), "author")
            reviews, experiments = await opened(engine, policy)
            good = await reviews.propose(change(5, 10), "opt", frozenset({"author"}))
            await reviews.approve(good.id, "ann", CALM, good.bound_hash)
            assert await settled(engine, reviews, good.id) == "kept"
            bound = engine.catalogue.latest("test/calls").bound("call")
            assert engine.layers.stable("test/calls", "call", bound) == {"each.batch": 10}
            bad = await reviews.propose(change(10, 20), "opt", frozenset({"author"}))
            await reviews.approve(bad.id, "ann", CALM, bad.bound_hash)
            assert await settled(engine, reviews, bad.id) == "rolled_back"
            assert reviews.get(bad.id).verdict["verdict"] == "worse"
            run = engine.journal.runs(limit=1)[0]
            assert run.state == "completed", "rescued batches failed nobody"
            assert engine.values(run.run)["call"]["failed"] == 0
            events = [r.event for r in engine.journal.follow({}, 1_000_000)]
            await experiments.close()
            reviews.close()
        assert sum(isinstance(e, OverlayAppended) for e in events) == 1
        reasons = [e.reason for e in events if isinstance(e, ExperimentEnded)]
        assert reasons == ["kept", "harm"]
        assert any(isinstance(e, EachCut) and e.kind == "rescue" for e in events)

    asyncio.run(story())


def test_what_history_speaks_against_never_touches_live_work_and_what_it_cannot_say_is_tried(
    tmp_path: Path,
) -> None:
    book = write(tmp_path, 300, call_s=0.02)
    demo = load_policy("demo")
    verify = replace(demo.verify, shadow=replace(demo.verify.shadow, vetoes=True))
    policy = replace(demo, verify=verify, ramp=(Stage(0.2, 5), Stage(0.5, 40)))

    async def story() -> None:
        async with open_local(DataFolder(tmp_path / "data"), slots=2) as engine:
            await engine.register(load(book), "author")
            reviews, experiments = await opened(engine, policy)
            for size in (3, 5, 5, 5):
                chosen = {} if size == 5 else {"call": {"each.batch": size}}
                wanted = Submit("test/calls", overrides=chosen)
                assert (await engine.wait(await engine.submit(wanted))).state == "completed"
            known = await reviews.propose(change(5, 3), "opt", frozenset({"author"}))
            await reviews.approve(known.id, "ann", CALM, known.bound_hash)
            await passed(reviews, known.id)
            ended = reviews.get(known.id)
            assert (ended.state, ended.reason) == ("failed", "simulated_worse"), ended.history[-1]
            assert ended.history[-1]["facts"]["makespan_delta"] > 0.2
            assert ended.experiment is None
            unknown = await reviews.propose(change(5, 9), "opt", frozenset({"author"}))
            await reviews.approve(unknown.id, "ann", CALM, unknown.bound_hash)
            await passed(reviews, unknown.id)
            tried = reviews.get(unknown.id)
            assert (tried.state, tried.reason) == ("canary", "cannot_simulate")
            silent = tried.history[-1]["facts"]["cannot_say"]
            assert silent == {"beyond_history": 3, "other_values": 1}
            await experiments.close()
            reviews.close()

    asyncio.run(story())

"""A house to review in: real journal, catalogue, decisions and folds; only work is played.

`House` has the engine's verbs over the in-memory journal. A run in it is decided by the
same code as in the engine; how long an attempt takes and how it ends is drawn by a `Work`.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from control_plane.drafts import Drafts
from control_plane.experiments import ExperimentService
from control_plane.review.policy import Policy
from control_plane.review.profiles import load
from control_plane.reviews import ReviewService
from control_plane.shadows import Shadows
from optimizer.proposal import Candidate
from runtime.data.folder import DataFolder
from runtime.engine.catalogue import Catalogue
from runtime.engine.edge import Configurations, RunEdge
from runtime.ids import new_id
from runtime.journal.memory import MemoryJournal
from runtime.journal.port import Append
from runtime.playbook.bundle import load_text
from runtime.run.decide import LET_RUN, Decision, Ended
from runtime.run.events import (
    AttemptScheduled,
    ExperimentEnded,
    Fault,
    PlaybookRegistered,
    Recorded,
    RunSubmitted,
)
from runtime.run.evolve import evolve
from runtime.run.layers import Layers
from runtime.run.state import RunState, new_run

PATH = "demo/cohort"
PLAYBOOK = """
apiVersion: trimtab/v1
kind: Playbook
metadata: {path: PATH}
objective: time
workload: {items: {type: integer, default: 2000}}
workflow:
  - step: load
    tool: {kind: python, code: "result = list(range(items))"}
    next: enrich
  - step: enrich
    each: {in: "{{ load }}", batch: 25, in_flight: 2, failures: {allow: 100%}}
    tool: {kind: python, code: "result = CODE"}
    effect: EFFECT
    retry: {attempts: 3, initial: 100ms, max: 1s, on: [transient, lost]}
    tune:
      each.batch: {min: 10, max: 1000}
      each.in_flight: {min: 1, max: 8}
      retry.attempts: {min: 1, max: 6}
MORE"""


@dataclass
class Work:
    """How attempts of ``enrich`` go: 60 ms each and ``per_item`` an item, with noise.

    Above ``limit`` items a batch most tries fail, as the services do that people call.
    """

    base: float = 0.060
    per_item: float = 0.0005
    limit: int = 250
    fails: float = 0.01
    noise: float = 0.25

    def __call__(self, items: int, rng: random.Random) -> tuple[float, bool]:
        seconds = (self.base + self.per_item * items) * rng.lognormvariate(0.0, self.noise)
        if items > self.limit:
            seconds *= (items / self.limit) ** 2
        return seconds, rng.random() >= (self.fails if items <= self.limit else 0.6)


@dataclass
class Live:
    state: RunState
    edge: RunEdge
    playbook: Any


@dataclass
class House:
    """The engine's verbs, over time that is played."""

    folder: DataFolder
    rng: random.Random
    journal: MemoryJournal = field(default_factory=MemoryJournal)
    now: float = 1_800_000_000.0
    work: Work = field(default_factory=Work)
    layers: Layers = field(default_factory=Layers)
    busy: bool = False

    def __post_init__(self) -> None:
        self.catalogue = Catalogue(self.folder)
        self._configs = Configurations()
        self._listeners: list[Callable[[Sequence[Recorded]], None]] = []
        self._queue: list[tuple[float, int, str, Any]] = []
        self._order = count()
        self.live: dict[str, Live] = {}
        self.taken_back: list[str] = []

    def clock(self) -> float:
        return self.now

    def subscribe(self, listener: Callable[[Sequence[Recorded]], None]) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def append(self, appends: Sequence[Append]) -> list[Recorded]:
        await asyncio.sleep(0)  # others may decide before this is durable
        recorded = self._put(appends)
        await asyncio.sleep(0)
        return recorded

    def _put(self, appends: Sequence[Append]) -> list[Recorded]:
        recorded = self.journal.append(appends)
        for r in recorded:
            if isinstance(r.event, PlaybookRegistered):
                self.catalogue.add(r.event)
            elif r.stream.startswith(("overlay/", "experiment/", "kill")):
                self.layers.evolve(r.event)  # type: ignore[arg-type]
            elif isinstance(r.event, AttemptScheduled):
                self._begin(r.stream[4:], r.event)
        for listener in list(self._listeners):
            listener(recorded)
        for r in recorded:
            if isinstance(r.event, ExperimentEnded) and r.event.reason not in LET_RUN:
                for live in list(self.live.values()):
                    self._act(live, lambda d, x=r.event.experiment: d.rescue(x))  # type: ignore[misc]
        return recorded

    def forget(self) -> None:
        """The control plane is gone; what is in the journal stays."""
        self._listeners.clear()

    def register(
        self, code: str = "items", effect: str = "idempotent", path: str = PATH, more: str = ""
    ) -> None:
        source = PLAYBOOK.replace("PATH", path).replace("CODE", code).replace("EFFECT", effect)
        source = source.replace("MORE", more)
        bundle = load_text(source, {})
        number = len(self.catalogue.versions(path)) + 1
        event = PlaybookRegistered(path, bundle.version, number, source, {}, "author")
        stream = f"playbook/{path}"
        self._put([Append(stream, self.journal.length(stream), self.now, (event,))])

    def submit(self, items: int = 2000, path: str = PATH) -> str:
        version = self.catalogue.latest(path)
        run = new_id(self.now, self.rng.getrandbits(80))
        named = version.registered
        edge = RunEdge(
            version, self.layers, self._configs, self.folder, self.clock, self.rng
        )  # fmt: skip
        live = Live(new_run(run, version.net), edge, version.playbook)
        self.live[run] = live
        submitted = RunSubmitted(
            path, named.version, named.number, {"items": items}, "somebody"
        )  # fmt: skip
        evolve(live.state, submitted, self.now)
        self._put([Append(f"run/{run}", 0, self.now, (submitted,))])
        self._act(live, Decision.begin)
        return run

    def _act(self, live: Live, command: Callable[[Decision], object]) -> None:
        before = live.state.seq
        decision = Decision(live.state, live.playbook, live.edge)
        command(decision)
        if not decision.events:
            return
        appends = [
            Append(f"config/{c.config}", 0, self.now, (c,)) for c in self._configs.take()
        ]  # fmt: skip
        run = live.state.run
        appends.append(Append(f"run/{run}", before, self.now, tuple(decision.events)))
        for pause in live.state.pauses.values():
            heapq.heappush(self._queue, (pause.at, next(self._order), run, None))
        if live.state.ended:
            del self.live[run]
        self._put(appends)

    def _begin(self, run: str, event: AttemptScheduled) -> None:
        """A worker takes the attempt; how it will end is drawn now."""
        if event.step == "load":
            items = self.live[run].state.workload["items"]
            ended = Ended(event.attempt, "succeeded", result=list(range(items)))
            seconds = 0.01
        else:
            seconds, well = self.work(event.items, self.rng)
            fault = None if well else Fault("transient", "503")
            facts = {"run_s": seconds, "worker": "local-0", "cost_usd": seconds / 3600}
            ended = Ended(
                event.attempt, "succeeded" if well else "failed", fault, None, facts
            )  # fmt: skip
        heapq.heappush(self._queue, (self.now + seconds, next(self._order), run, ended))

    def step(self) -> bool:
        """Let the next thing happen; False when nothing will."""
        if not self._queue:
            return False
        at, _, run, ended = heapq.heappop(self._queue)
        self.now = max(self.now, at)
        live = self.live.get(run)
        if live is not None and ended is None:
            self._act(live, Decision.due)
        elif live is not None:
            self._act(live, lambda d: d.ended(ended))
        return True

    def events(self, kind: type | None = None) -> list[Recorded]:
        found = self.journal.follow({}, 10_000_000)
        return [r for r in found if kind is None or isinstance(r.event, kind)]


@dataclass
class Room:
    """The three services over a house, driven by hand."""

    house: House
    reviews: ReviewService
    experiments: ExperimentService
    drafts: Drafts

    async def play(self, items: int = 2000, path: str = PATH) -> str:
        """Play one run to its end, and let the services decide as it goes."""
        run = self.house.submit(items, path)
        while run in self.house.live and self.house.step():
            if self.experiments.woken:
                await self.tick()
        await self.tick()
        return run

    async def tick(self) -> None:
        """Let the services decide, with what the replays of history said."""
        await self.experiments.tick()
        while await self.experiments.shadows.finished():
            await self.experiments.tick()

    async def tried(self, proposal: str, items: int = 5000, runs: int = 30) -> str:
        """Play runs until the proposal is settled; returns the state it ended in."""
        for _ in range(runs):
            if self.reviews.get(proposal).state in ENDS:
                break
            await self.play(items)
        return self.reviews.get(proposal).state

    def docket_ids(self) -> list[str]:
        return [view.id for view in self.reviews.list()]

    def state(self, proposal: str) -> str:
        return self.reviews.get(proposal).state


PATIENT_S = 600.0
"""A busy machine replays the same runs as a quiet one: the limit is tested where it is set."""
ENDS = ("kept", "learned", "rolled_back", "stale", "expired", "withdrawn", "rejected")
APPROVER = frozenset({"approver", "reviewer", "operator"})


async def open_room(house: House, policy: Policy) -> Room:
    """Open the services over what the house's journal holds."""
    ids = iter(f"{house.rng.getrandbits(48):012x}" for _ in count())
    reviews = ReviewService(house, policy, clock=house.clock, new_id=lambda: next(ids))
    await reviews.start()
    shadows = Shadows(lambda: nullcontext(house.journal), slots=2, limit_s=PATIENT_S)
    experiments = ExperimentService(
        house, reviews, house.clock, lambda: f"{house.rng.getrandbits(64):x}", shadows
    )  # fmt: skip
    experiments.listen()
    drafts = Drafts(house, reviews, clock=house.clock, new_id=lambda: next(ids))
    return Room(house, reviews, experiments, drafts)


def change(
    to: int, before: int = 25, knob: str = "each.batch", cls: str = "batch", gain: float = -0.3,
    path: str = PATH, regime: str = "r1",
) -> Candidate:  # fmt: skip
    """A change as the optimizer would propose it."""
    return Candidate(
        "change", path, "enrich", cls, "time", [{"knob": knob, "from": before, "to": to}],
        {knob: before}, {"support": 1.0, "regime": regime},
        {"time": {"lower": gain - 0.1, "median": gain, "upper": gain + 0.1}},
    )  # fmt: skip


def experiment(
    values: list[int], before: int = 25, knob: str = "each.batch", cls: str = "batch"
) -> Candidate:
    """A bounded experiment over several values."""
    return Candidate(
        "experiment", PATH, "enrich", cls, "time",
        [{"knob": knob, "from": before, "values": values}], {knob: before}, {"support": 0.0}, {},
    )  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> House:
    folder = DataFolder(tmp_path / "data")
    folder.prepare()
    made = House(folder, random.Random(7))
    made.register()
    return made


@pytest.fixture
def demo() -> Policy:
    return load("demo")


@pytest.fixture
def kit() -> SimpleNamespace:
    """What this file offers to tests that open rooms themselves."""
    return SimpleNamespace(
        open_room=open_room, change=change, experiment=experiment, Work=Work, House=House,
        APPROVER=APPROVER, AUTHOR=frozenset({"author"}), PATH=PATH,
    )  # fmt: skip

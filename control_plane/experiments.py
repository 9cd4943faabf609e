"""The experiment service: what happens to a proposal by itself, from approval to its end.

It hears every committed event, folds the units of live trials from it, and after each
commit asks the pure `next_decision` about every proposal that is not settled. Nothing
is kept that the journal does not hold: after a restart the same events give the same
trials. Neither the record nor the optimizer's playbook is needed for any of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from control_plane.docket import Docket, Host
from control_plane.review.drive import Facts, next_decision
from control_plane.review.gate import Refusal, refusals
from control_plane.review.lifecycle import LIVE, State
from control_plane.review.plan import design_of
from control_plane.review.policy import Policy
from control_plane.review.proposal import Proposal, arms
from control_plane.review.shadow import Replayed
from control_plane.review.units import Units
from control_plane.reviews import ReviewService
from control_plane.shadows import Shadows
from control_plane.what_if import Rehearsal
from optimizer.verify import Finding, Plan, Verification
from runtime.journal.port import StreamMoved
from runtime.run.events import (
    AttemptScheduled,
    EachCut,
    ExperimentEnded,
    ExperimentStarted,
    KillSet,
    PlaybookRegistered,
    ProposalMoved,
    Recorded,
    RunCancelled,
    RunCompleted,
    RunFailed,
)

_LOG: Final = logging.getLogger("trimtab.experiments")
TICK_S: Final = 5.0
"""How often clocks are looked at when nothing happens: horizons, deadlines, freezes."""
PAGE: Final = 5000


@dataclass(slots=True)
class Trial:
    """A live experiment: its units so far, and what they say."""

    units: Units
    plan: Plan
    verification: Verification

    @classmethod
    def of(cls, started: ExperimentStarted) -> Trial:
        """Begin with no unit."""
        frozen = Plan.from_json(started.plan)
        return cls(Units(started), frozen, Verification(frozen, tuple(started.arms)))

    def take(self, news: Sequence[Recorded]) -> bool:
        """Take a commit into account; True when a unit came of it."""
        for recorded in news:
            self.units.take(recorded)
        fresh = list(self.units.ready())
        for unit in fresh:
            self.verification.add(unit)
        return bool(fresh)

    def finding(self, stage: int) -> Finding:
        """What the units say in a stage, counted from 1."""
        return self.verification.finding(self._index(stage), self.units.ended_runs)

    def may_advance(self, stage: int) -> bool:
        """Whether the next stage may begin."""
        return self.verification.may_advance(self._index(stage))

    def _index(self, stage: int) -> int:
        return min(max(stage, 1), len(self.plan.ramp)) - 1


@dataclass(slots=True)
class Return:
    """A proposal on its way back: whether stable work was seen since."""

    playbook: str
    step: str
    seen: bool = False


@dataclass(slots=True)
class ExperimentService:
    """Drives proposals that were approved. Use it on the engine's loop.

    ``shadows`` replays history beside the loop, and is closed with this.
    """

    host: Host
    reviews: ReviewService
    clock: Callable[[], float]
    salt: Callable[[], str]
    shadows: Shadows
    tick_s: float = TICK_S
    began: float = 0.0
    trials: dict[str, Trial] = field(default_factory=dict)
    _returns: dict[str, Return] = field(default_factory=dict)
    _seen: dict[int, int] = field(default_factory=dict)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _task: asyncio.Task[None] | None = None
    _stop: Callable[[], None] | None = None

    @property
    def docket(self) -> Docket:
        """What is under review."""
        return self.reviews.docket

    async def start(self) -> None:
        """Go on with live trials, and decide whenever something may follow from the news."""
        self.listen()
        self._task = asyncio.create_task(self._run(), name="experiments")
        self._wake.set()

    def listen(self) -> None:
        """Read again what the journal holds of live trials, and hear the news from now on."""
        self.began = self.clock()
        self._recover()
        self._stop = self.host.subscribe(self.hear)

    async def close(self) -> None:
        """Stop; live trials go on at the next start."""
        if self._stop is not None:
            self._stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.shadows.close()

    @property
    def woken(self) -> bool:
        """Whether something was heard that a decision may follow from."""
        return self._wake.is_set()

    # ---- hearing ------------------------------------------------------------------------

    def hear(self, news: Sequence[Recorded]) -> None:
        """Take a commit into account, and wake up when something may follow from it."""
        fresh = [r for r in news if r.pos > self._seen.get(r.writer, 0)]
        if not fresh:
            return
        self._seen[fresh[-1].writer] = fresh[-1].pos
        woken = False
        for name, trial in list(self.trials.items()):
            woken |= self._counted(name, trial, fresh)
        for recorded in fresh:
            if self.trials or self._returns or not recorded.stream.startswith("run/"):
                woken |= self._hear_one(recorded)
        if woken:
            self._wake.set()

    def _counted(self, name: str, trial: Trial, fresh: Sequence[Recorded]) -> bool:
        """Let a trial take the news; one that cannot is no longer judged, and is taken back."""
        try:
            return trial.take(fresh)
        except Exception:
            _LOG.exception("%s: its units cannot be counted any more", name)
            del self.trials[name]
            return True

    def _hear_one(self, recorded: Recorded) -> bool:
        event = recorded.event
        match event:
            case ExperimentStarted():
                self.trials[event.experiment] = Trial.of(event)
            case ExperimentEnded():
                self.trials.pop(event.experiment, None)
            case ProposalMoved():
                self._hear_move(event)
            case EachCut() | AttemptScheduled() if self._returns and event.experiment is None:
                return self._stable_work(recorded.stream, event.step)
            case RunCompleted() | RunFailed() | RunCancelled():
                return bool(self._returns or self.trials)
            case KillSet() | PlaybookRegistered():
                pass
            case _:
                return recorded.stream.startswith(("overlay/", "policy/"))
        return True

    def _hear_move(self, event: ProposalMoved) -> None:
        if event.target == State.ROLLING_BACK.value:
            playbook, step = self.docket.proposals[event.proposal].scope
            self._returns[event.proposal] = Return(playbook, step)
        elif event.target == State.ROLLED_BACK.value:
            self._returns.pop(event.proposal, None)

    def _stable_work(self, stream: str, step: str) -> bool:
        """Work outside any experiment: the stable values are seen in force."""
        waiting = [r for r in self._returns.values() if r.step == step and not r.seen]
        row = self.host.journal.run(stream.removeprefix("run/")) if waiting else None
        found = [r for r in waiting if row is not None and r.playbook == row.playbook]
        for back in found:
            back.seen = True
        return bool(found)

    # ---- recovering ---------------------------------------------------------------------

    def _recover(self) -> None:
        """Hear again everything since the first trial that is not over began."""
        heads = self.host.journal.heads()
        starts = [(r.writer, r.pos) for r in self._beginnings()]
        if not starts:
            self._seen = dict(heads)
            return
        writer, pos = min(starts)
        cursor = {w: head for w, head in heads.items() if w < writer} | {writer: pos - 1}
        self._seen = dict(cursor)
        while page := self.host.journal.follow(dict(cursor), PAGE):
            commits = list(_commits(page))
            whole = commits[:-1] if len(page) == PAGE and len(commits) > 1 else commits
            for commit in whole:
                self.hear(commit)
                cursor[commit[-1].writer] = commit[-1].pos

    def _beginnings(self) -> Iterator[Recorded]:
        """Where the trials, and the ways back, of unsettled proposals begin."""
        for proposal in self.docket.proposals.values():
            if not proposal.holds_lock:
                continue
            started = self.host.journal.event(f"experiment/{proposal.experiment}", 1)
            moved = proposal.last("roll_back")
            if proposal.state in LIVE and started is not None:
                yield started
            elif moved is not None:
                found = self.host.journal.event(proposal.stream, moved.seq)
                if found is not None:
                    yield found

    # ---- driving ------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self.tick_s):  # `wait_for` may lose a cancellation
                    await self._wake.wait()
            except TimeoutError:
                _LOG.debug("looking at the clock")
            await self.tick()

    async def tick(self) -> None:
        """Decide whatever is to be decided now, until nothing follows any more."""
        self._wake.clear()
        while await self._round():
            pass

    async def _round(self) -> bool:
        moved = False
        for proposal in list(self.docket.unsettled()):
            try:
                moved |= await self._advance(proposal)
            except Exception:
                _LOG.exception("%s: no decision could be made; asked again later", proposal.id)
        return moved

    async def _advance(self, proposal: Proposal) -> bool:
        async with self.docket.deciding:
            decision = next_decision(proposal, self._facts(proposal), self.salt)
            if decision is None:
                return False
            try:
                await self.docket.write(decision)
            except StreamMoved as moved:
                _LOG.info("%s has moved on: deciding again", moved.stream)
                self._wake.set()
                return False
        return True

    # ---- facts --------------------------------------------------------------------------

    def _facts(self, proposal: Proposal) -> Facts:
        docket, policy = self.docket, self.reviews.policy_for(proposal)
        scope = docket.scope(*proposal.scope)
        trial = self.trials.get(proposal.experiment)
        live = docket.layers.experiments.get(proposal.scope)
        back = self._returns.get(proposal.id)
        against: tuple[Refusal, ...] = ()
        if scope is not None:
            covered = docket.covered(scope)
            against = tuple(refusals(proposal.drafted, scope, policy, covered))
        return Facts(
            now=self.clock(), policy=policy, policy_hash=self.reviews.policy.hash, scope=scope,
            moved=docket.has_moved(proposal),
            refusals=against, lock_free=not docket.lock_holders(*proposal.scope),
            room=self._room(proposal, policy.blast.max_live, policy.blast.starts_per_hour,
                            policy.blast.cold_start_s),
            killed=docket.layers.is_killed(*proposal.scope),
            replayed=self._replayed(proposal, policy),
            finding=trial.finding(proposal.stage) if trial is not None else None,
            may_advance=trial.may_advance(proposal.stage) if trial is not None else False,
            nodes=len({_node(w) for w in trial.units.workers}) if trial is not None else 0,
            days=len(trial.units.days) if trial is not None else 0,
            by_day=trial.units.by_day() if trial is not None else None,
            previous=docket.previous(proposal, scope.bound if scope is not None else ""),
            shares=live.shares if live is not None and live.id == proposal.experiment else None,
            stable_seen=back.seen if back is not None else False,
            runs_live=self._runs_live(proposal), run_items=self._run_items(proposal),
        )  # fmt: skip

    def _room(
        self, proposal: Proposal, max_live: int, per_hour: int, cold_start_s: float
    ) -> bool:  # fmt: skip
        """Whether the blast radius lets another trial begin."""
        if proposal.state is not State.SCHEDULED:
            return False
        now = self.clock()
        few = len(self.docket.live()) < max_live
        slow = self.docket.starts_since(now - 3600.0) < per_hour
        return few and slow and now - self.began >= cold_start_s

    def _replayed(self, proposal: Proposal, policy: Policy) -> Replayed | None:
        """What the replay of history says of a proposal in shadow; None until it is done."""
        if proposal.state is not State.SHADOW:
            self.shadows.forget(proposal.id)
            return None
        if self.docket.scope(*proposal.scope) is None:
            return None
        drafted = proposal.drafted
        version = self.host.catalogue.latest(drafted.playbook)
        wanted = Rehearsal(
            version.playbook, drafted.playbook, version.registered.version, drafted.step,
            {line["knob"]: line["from"] for line in drafted.diff}, arms(drafted),
            policy.verify.shadow.runs, proposal.id,
        )  # fmt: skip
        return self.shadows.of(proposal.id, wanted, self._wake.set)

    def _runs_live(self, proposal: Proposal) -> bool:
        if proposal.state not in (State.ROLLING_BACK, State.ROLLBACK_FAILED):
            return True
        playbook = proposal.drafted.playbook
        return bool(
            self.host.journal.runs(state="live", playbook=playbook, system=None, limit=1)
        )  # fmt: skip

    def _run_items(self, proposal: Proposal) -> int:
        """How many items the step had in its last run, or 0; asked for before a start alone."""
        waiting = proposal.state is State.SHADOW
        if not waiting or design_of(proposal.drafted) != "switchback":
            return 0
        for row in self.host.journal.runs(playbook=proposal.drafted.playbook, limit=5):
            for recorded in self.host.journal.read(f"run/{row.run}"):
                event = recorded.event
                if isinstance(event, EachCut) and event.step == proposal.drafted.step:
                    if event.items is not None:
                        return int(event.items["count"])
                    break
        return 0


def _commits(page: Sequence[Recorded]) -> Iterator[Sequence[Recorded]]:
    """Group what was committed by one decision: one stream, one moment."""
    group: list[Recorded] = []
    for recorded in page:
        if group and (recorded.stream, recorded.at) != (group[-1].stream, group[-1].at):
            yield group
            group = []
        group.append(recorded)
    if group:
        yield group


def _node(worker: str) -> str:
    """The machine a worker runs on: its name without the process's number."""
    return worker.rpartition("-")[0] or worker

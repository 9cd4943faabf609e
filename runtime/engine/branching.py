"""Branching: new runs that go on from old ones, at any event or from one of their steps."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runtime.engine.actor import UNREADABLE, Actor, settle
from runtime.engine.catalogue import Version
from runtime.engine.errors import CannotFork, CannotSteer, Draining
from runtime.engine.fork import Branch, copied, renamed
from runtime.engine.pinning import pin
from runtime.engine.recovery import Recovery
from runtime.engine.submit import full_workload
from runtime.ids import new_id, run_stream
from runtime.journal.sqlite import ENDED
from runtime.run.decide import Decision, Ended
from runtime.run.events import AttemptFinished, Fault, Json, Recorded, RunEvent, RunSubmitted
from runtime.run.evolve import evolve
from runtime.run.rewind import RewindFault, Rewound, Wanted, rewind

_DECIDED: Final = frozenset({
    "attempt", "step", "number", "outcome", "scheduled", "batch", "fault", "retry_at", "fatal",
    "result", "post_decision", "arcs", "sets", "value", "moot", "rescued", "folds",
    "no_way", "copied",
})  # fmt: skip
"""What a decision fills in of an `AttemptFinished`; the rest was measured."""


@dataclass(frozen=True, slots=True)
class Retried:
    """The run that goes on from an old one: the steps that begin again in it.

    ``undone`` are those of them that begin again because they were compensated.
    """

    run: str
    of: str
    seq: int
    steps: list[str]
    undone: list[str]


class Branching(Recovery):
    """Brings runs to life that have a history from the start."""

    async def fork(
        self, run: str, at: int, actor: str, *, workload: Mapping[str, Json] | None = None,
        version: str | None = None,
    ) -> str:  # fmt: skip
        """Go on from event ``at`` of a run as a new one, whose id is returned.

        ``workload`` replaces the inputs named in it, ``version`` is a hash, a prefix of one
        or a number. The old run stays as it is; its scratch folder is copied as it is now,
        unless nothing had ended by then.

        Raises:
            CannotFork, BadWorkload, UnknownRun, UnknownPlaybook: nothing was written.
            Draining: the engine is about to close.
        """
        row = self._row(run)
        to = self.catalogue.get(row.playbook, version or row.version)
        events = list(self.journal.read(run_stream(run)))
        first = events[0].event
        given = first.workload if isinstance(first, RunSubmitted) else {}
        inputs = None if workload is None else full_workload(to.playbook, {**given, **workload})
        branch = Branch(run, self._new_run(), at, to, actor, self._clock(), inputs)
        await self._branch(branch, copied(events, branch))
        return branch.new

    async def retry(
        self, run: str, actor: str, wanted: Wanted | None = None, *, reason: str = "",
        version: str | None = None,
    ) -> Retried:  # fmt: skip
        """Go on with an ended run from one of its steps, as a new run.

        Without a step it goes on where it stopped. ``version`` is a hash, a prefix of one or
        a number: with it the rest runs other code.

        Raises:
            CannotSteer: the run has not ended, or cannot go on from there; nothing was written.
            CannotFork, UnknownRun, UnknownPlaybook: as for `fork`.
        """
        plan, branch = self._rewound(run, actor, wanted or Wanted(), reason, version)
        await self._branch(
            branch, renamed(plan.events, branch),
            *(lambda d, s=step, b=batch: d.recut(s, b) for step, batch in plan.batches),
            *(lambda d, e=end: d.ended(_anew(e, branch)) for end in plan.drained),
        )  # fmt: skip
        return Retried(branch.new, run, branch.seq, plan.steps, plan.undone)

    def may_retry(self, run: str, wanted: Wanted | None = None) -> Retried:
        """Say what `retry` would do, or raise what it would; the new run has no id."""
        plan, branch = self._rewound(run, "", wanted or Wanted(), "", None)
        return Retried("", run, branch.seq, plan.steps, plan.undone)

    def _rewound(
        self, run: str, actor: str, wanted: Wanted, reason: str, version: str | None
    ) -> tuple[Rewound, Branch]:
        row = self._row(run)
        if row.state not in ENDED:
            raise CannotSteer(
                f"run {run} is {row.state}: one that has ended can be retried; cancel it first, "
                "or fork it at an event"
            )
        ran = self.catalogue.get(row.playbook, row.version)
        events = list(self.journal.read(run_stream(run)))
        try:
            plan = rewind(ran.playbook, ran.net, events, wanted)
        except RewindFault as fault:
            raise CannotSteer(f"run {run} cannot be retried so: {fault}") from None
        how = {
            "steps": plan.steps, "undone": plan.undone, "failed_only": wanted.failed_only,
            "once": wanted.once, "reason": reason,
        }  # fmt: skip
        to = self.catalogue.get(row.playbook, version) if version else ran
        return plan, Branch(run, self._new_run(), plan.seq, to, actor, self._clock(), retried=how)

    def _new_run(self) -> str:
        return new_id(self._clock(), self._chance.getrandbits(80))

    async def _branch(
        self, branch: Branch, made: Sequence[RunEvent], *then: Callable[[Decision], object]
    ) -> None:
        """Write a new run's history down and go on from it, with these commands first."""
        if self._draining:
            raise Draining("the server is ending and takes no more runs; ask again later")
        actor = self._told(branch, made)
        await pin(self.folder, made)
        if any(isinstance(event, AttemptFinished) for event in made):
            await self._loop.run_in_executor(None, self._copy_scratch, branch.old, branch.new)
        self._actors[branch.new] = actor
        written = self._loop.create_future()
        append = self._stamp(run_stream(branch.new), 0, *made)
        self._put([append], lambda: settle(written, None))
        flying = {t.attempt for t in actor.state.attempts.values() if not t.waits_here}
        for command in then:
            self._act(actor, command)
        fault = Fault("lost", "it was in flight where the run was forked")
        for attempt in sorted(flying & actor.state.attempts.keys()):
            self._act(actor, lambda d, a=attempt: d.ended(Ended(a, "lost", fault)))  # type: ignore[misc]
        self._act(actor, Decision.begin)
        self._act(actor, Decision.due)
        self._arm(actor)
        await written

    def _told(self, branch: Branch, made: Sequence[RunEvent]) -> Actor:
        """The new run as its history makes it.

        Raises:
            CannotFork: the version to go on with has another flow.
        """
        try:
            actor = self._actor(branch.new, branch.version)
            for event in made:
                evolve(actor.state, event, branch.at)
        except (*UNREADABLE, KeyError) as fault:
            named = branch.version.registered
            raise CannotFork(
                f"version {named.number} of {named.path} flows otherwise, so what has happened "
                f"cannot have happened in it: {fault}"
            ) from None
        return actor

    def _copy_scratch(self, run: str, new: str) -> None:
        """Copy a run's scratch folder for the run that goes on from it."""
        if self.folder.run(run).is_dir():
            shutil.copytree(self.folder.run(run), self.folder.run(new), dirs_exist_ok=True)


def _anew(end: AttemptFinished, branch: Branch) -> Ended:
    """The end of an attempt that no token followed from, told once more."""
    measured: dict[str, Any] = {
        name: getattr(end, name) for name in end.__struct_fields__ if name not in _DECIDED
    }
    attempt = branch.new + end.attempt.removeprefix(branch.old)
    return Ended(attempt, end.outcome, end.fault, end.result, measured)


__all__ = ["Branching", "Recorded", "Retried", "Version", "Wanted"]

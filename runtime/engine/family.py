"""The family: runs begin, start runs of their own, hear their ends and cancel them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from runtime.engine import children
from runtime.engine.actor import UNREADABLE, Actor, unreadable
from runtime.engine.catalogue import Version
from runtime.engine.due import Due
from runtime.engine.edge import RunEdge
from runtime.engine.errors import EngineError
from runtime.engine.submit import Submit, check_overrides, full_workload
from runtime.ids import run_stream
from runtime.run.decide import Decision, Ended
from runtime.run.events import (
    Fault,
    Json,
    RunCancelled,
    RunCancelRequested,
    RunEvent,
    RunFailed,
    RunSubmitted,
)
from runtime.run.evolve import evolve
from runtime.run.state import RunState, Try, new_run

CANCEL_GRACE_S: Final = 2.0


class Family(Due):
    """Runs, and the runs above and below them."""

    def _actor(self, run: str, version: Version) -> Actor:
        self._limit(version.registered.path)
        edge = RunEdge(
            version, self.layers, self._configs, self.folder, self._clock, self._chance,
            self._budgets,
        )  # fmt: skip
        return Actor(new_run(run, version.net), version, edge)

    def _limit(self, path: str) -> None:
        """Make a playbook's limits known: those of its newest version that can be read."""
        for version in reversed(self.catalogue.versions(path)):
            try:
                self._dispatch.ready.limit(version.limits)
            except UNREADABLE:
                continue
            return

    def _folded(self, run: str) -> Actor:
        row = self._row(run)
        actor = self._actor(run, self.catalogue.get(row.playbook, row.version))
        for event, at in self.journal.story(run_stream(run)):
            evolve(actor.state, event, at)  # type: ignore[arg-type]
        return actor

    def _submitted(
        self, version: Version, request: Submit, parent: Try | None = None, depth: int = 0,
        due: float | None = None,
    ) -> RunSubmitted:  # fmt: skip
        """The first event of a run.

        Raises:
            BadWorkload, BadOverride: the request does not fit the playbook.
        """
        workload = full_workload(version.playbook, request.workload)
        check_overrides(version, request.overrides, self._dispatch.hardware)
        named = version.registered
        return RunSubmitted(
            named.path, named.version, named.number, workload, request.actor, request.key,
            request.overrides, request.labels, request.priority, request.system,
            parent.attempt if parent is not None else None, depth,
            children.pins(version, self.catalogue), due=due,
        )  # fmt: skip

    def _begin(
        self, run: str, version: Version, submitted: RunSubmitted,
        written: Callable[[str], object] = lambda _: None,
    ) -> None:  # fmt: skip
        """Write a run down and let it start; ``written`` is told once that is durable."""
        actor = self._actor(run, version)
        self._actors[run] = actor
        evolve(actor.state, submitted, self._clock())
        self._put([self._stamp(run_stream(run), 0, submitted)], lambda: written(run))
        self._act(actor, Decision.begin)

    def _begin_child(self, actor: Actor, tried: Try) -> None:
        """Start the run that an attempt asks for, unless it was; hear its end if it has ended."""
        run = children.child_id(tried.attempt)
        if run in self._actors or run in self.parked:
            return
        try:
            if self.journal.run(run) is not None:
                self._child_ended(self._folded(run).state)
                return
            wanted = children.request(actor.state, tried, actor.version)
            version = self.catalogue.get(wanted.playbook, wanted.version)
            depth, due = actor.state.depth + 1, children.due(actor.state, tried)
            self._begin(run, version, self._submitted(version, wanted, tried, depth, due))
        except EngineError as error:
            fault = Fault("permanent", str(error))
            self._act(actor, lambda d: d.ended(Ended(tried.attempt, "failed", fault)))
        except UNREADABLE as error:
            fault = Fault("permanent", unreadable(str(_path_of(tried)), error))
            self._act(actor, lambda d: d.ended(Ended(tried.attempt, "failed", fault)))

    def _child_ended(self, child: RunState) -> None:
        """Tell the attempt that waits for a run how it ended."""
        if child.parent is not None:
            self._tell_parent(children.ended(child.parent, child))

    def _tell_parent(self, ended: Ended) -> None:
        run, _ = children.parent_of(ended.attempt)
        actor = self._actors.get(run)
        if actor is not None:
            self._act(actor, lambda d: d.ended(ended))

    def _cancel(
        self, actor: Actor, who: str, reason: str, then: Callable[[], object] | None = None, *,
        now: bool = False,
    ) -> None:  # fmt: skip
        """Ask a run and the runs below it to end; ``then`` is called once that is durable.

        What it does because it ends is left to end by itself, unless it was ending already
        and has to end ``now``.
        """
        ends_too = now and actor.ends_by_itself
        self._act(actor, lambda d: d.cancel(who, reason, now=now), then)
        self._cancel_below(actor, now=now)
        if now:
            self._end_flights(actor.state.run, beside=ends_too)
        else:
            self._loop.call_later(CANCEL_GRACE_S, self._end_flights, actor.state.run)

    def _cancel_below(self, actor: Actor, *, now: bool = False) -> None:
        """Cancel the runs that a run which is ending waits for; not those that end it."""
        for tried in list(actor.state.attempts.values()):
            if tried.kind == "playbook" and tried.step not in actor.version.net.beside:
                self._cancel_child(tried.attempt, f"is {actor.state.status}", now=now)

    def _cancel_child(self, attempt: str, why: str, *, now: bool = False) -> None:
        name, (run, _) = children.child_id(attempt), children.parent_of(attempt)
        child = self._actors.get(name)
        if child is not None and not child.state.ended:
            self._cancel(child, f"run {run}", f"run {run} {why}", now=now)
        elif name in self.parked:
            self._end_parked(name, f"run {run}", f"run {run} {why}")

    def _end_parked(self, run: str, who: str, reason: str) -> None:
        """End a run that cannot go on, and the runs below it; nothing of it runs any more."""
        parked = self.parked[run]
        ends: tuple[RunEvent, ...]
        match parked.status:
            case "cancelled" | "failed":
                return
            case "failing":
                ends = (RunFailed("", Fault("permanent", parked.why)),)
            case "cancelling":
                ends = (RunCancelled(),)
            case _:
                ends = (RunCancelRequested(who, reason), RunCancelled())
        self._put([self._stamp(run_stream(run), parked.length, *ends)])
        parked.status = "failed" if parked.status == "failing" else "cancelled"
        for below in [a for a in self._actors.values() if a.state.parent is not None]:
            if children.parent_of(str(below.state.parent))[0] == run:
                self._cancel(below, f"run {run}", f"run {run} is {parked.status}")


def _path_of(tried: Try) -> Json:
    return (tried.args or {}).get("tool", {}).get("path", "")
